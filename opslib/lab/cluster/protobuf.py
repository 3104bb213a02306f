"""Bodies that `kubectl create KIND` and `kubectl auth` send as protobuf, for the kinds that are written here.

Other kinds are refused: a decoder that knows only part of a kind would create half an object in silence.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import bad_request, not_acceptable_body

MAGIC = b"k8s\0"

_Kind = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message: its JSON name, how its value reads, and whether it is a map or a list."""

    name: str
    read: _Kind
    is_map: bool = False
    is_list: bool = False


def _text(raw: bytes) -> str:
    return raw.decode()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _message(fields: Mapping[int, _Field]) -> _Kind:
    def read(raw: bytes) -> Object:
        found: Object = {}
        for number, value in _fields(raw):
            field = fields.get(number)
            if field is None or not value:
                continue
            if field.is_map:
                entry = dict(_fields(value))
                found.setdefault(field.name, {})[entry.get(1, b"").decode()] = field.read(entry.get(2, b""))
            elif field.is_list:
                found.setdefault(field.name, []).append(field.read(value))
            else:
                found[field.name] = field.read(value)
        return found

    return read


def _names(text: str, start: int = 1) -> dict[int, _Field]:
    return {number: _Field(name, _text) for number, name in enumerate(text.split(), start)}


_META = _Field(
    "metadata",
    _message(
        _names("name generateName namespace")
        | {11: _Field("labels", _text, is_map=True), 12: _Field("annotations", _text, is_map=True)}
    ),
)
_ATTRIBUTES = _Field(
    "resourceAttributes", _message(_names("namespace verb group version resource subresource name"))
)
_ASKED = _Field(
    "spec", _message({1: _ATTRIBUTES, 2: _Field("nonResourceAttributes", _message(_names("path verb")))})
)
_SECONDS = _Field("expirationSeconds", int)
_KINDS: Mapping[str, Mapping[int, _Field]] = {
    "ConfigMap": {2: _Field("data", _text, is_map=True), 3: _Field("binaryData", _base64, is_map=True)},
    "Secret": {2: _Field("data", _base64, is_map=True), 3: _Field("type", _text)},
    "Namespace": {},
    "ServiceAccount": {},
    "SelfSubjectAccessReview": {2: _ASKED},
    "TokenRequest": {2: _Field("spec", _message({1: _Field("audiences", _text, is_list=True), 4: _SECONDS}))},
}


def parse(body: bytes) -> Object:
    """Return the object of a body. Raises StatusError 400 for what cannot be read, 415 for other kinds."""
    if not body.startswith(MAGIC):
        raise bad_request("the body is not protobuf as Kubernetes writes it")
    try:
        envelope = dict(_fields(body[len(MAGIC) :]))
        typed = _message(_names("apiVersion kind"))(envelope.get(1, b""))
        fields = _KINDS.get(typed.get("kind", ""))
        if fields is None:
            raise not_acceptable_body()
        return {**typed, **_message({1: _META, **fields})(envelope.get(2, b""))}
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise bad_request("the protobuf body cannot be read") from error


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a message: whole numbers, and the bytes of all others. Raises ValueError."""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        number, position = _varint(raw, position)
        if tag & 7 == 0:
            yield tag >> 3, number
            continue
        if tag & 7 != 2 or position + number > len(raw):
            raise ValueError("a field of an unknown kind, or one that is cut off")
        yield tag >> 3, raw[position : position + number]
        position += number


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = raw[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number that does not end")
