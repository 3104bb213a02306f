"""Protobuf bodies of the generator commands, as kubectl writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.lab.cluster.protobuf import MAGIC, parse
from opslib.lab.cluster.statuses import StatusError


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    typed = field(1, api_version.encode()) + field(2, kind.encode())
    return MAGIC + field(1, typed) + field(2, raw) + field(3, b"") + field(4, b"")


def entry(key: bytes, value: bytes) -> bytes:
    return field(1, key) + field(2, value)


META = field(1, b"c") + field(2, b"") + field(3, b"shop") + field(7, 0) + field(11, entry(b"app", b"web"))


def test_a_configmap() -> None:
    raw = (
        field(1, META)
        + field(2, entry(b"a", b"1"))
        + field(2, entry(b"b", b"2"))
        + field(3, entry(b"x", b"\0"))
    )
    assert parse(body("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "shop", "labels": {"app": "web"}},
        "data": {"a": "1", "b": "2"},
        "binaryData": {"x": "AA=="},
    }


def test_a_secret_and_an_access_review() -> None:
    secret = parse(body("v1", "Secret", field(1, META) + field(2, entry(b"p", b"q")) + field(3, b"Opaque")))
    assert (secret["data"], secret["type"]) == ({"p": "cQ=="}, "Opaque")
    attributes = field(1, b"shop") + field(2, b"get") + field(3, b"apps") + field(5, b"deployments")
    raw = field(1, b"") + field(2, field(1, attributes))
    asked = parse(body("authorization.k8s.io/v1", "SelfSubjectAccessReview", raw))
    assert asked["spec"]["resourceAttributes"] == {
        "namespace": "shop",
        "verb": "get",
        "group": "apps",
        "resource": "deployments",
    }


def test_a_token_request_with_its_numbers_and_lists() -> None:
    spec = field(1, b"vault") + field(1, b"db") + field(4, 1200)
    asked = parse(body("authentication.k8s.io/v1", "TokenRequest", field(2, spec)))
    assert asked["spec"] == {"audiences": ["vault", "db"], "expirationSeconds": 1200}


def test_other_kinds_are_refused_and_never_half_read() -> None:
    with pytest.raises(StatusError, match="accepted media types include: application/json") as raised:
        parse(body("apps/v1", "Deployment", field(1, META)))
    assert raised.value.code == 415


@given(st.binary(max_size=200))
def test_whatever_comes_is_answered(raw: bytes) -> None:
    for text in (raw, MAGIC + raw, body("v1", "ConfigMap", raw), body("v1", "Secret", field(1, raw))):
        assert answered(text) in {200, 400, 415}


def answered(text: bytes) -> int:
    try:
        parse(text)
    except StatusError as error:
        return error.code
    return 200
