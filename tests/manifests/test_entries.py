"""One object of a plan, where the server is a function: what other writers do in between is never our change."""

import pytest
from fake_api import FakeClock, FakeTransport, answer

from opslib.kube import Client, ref_of
from opslib.manifests.entries import SETTLE_TRIES, plan_object
from opslib.manifests.owners import is_applied
from opslib.manifests.placing import Placed

BODY = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "shop"},
    "data": {"x": "1"},
}


def at(version: int, **metadata) -> dict:
    return {**BODY, "metadata": {**BODY["metadata"], "uid": "u", "resourceVersion": str(version), **metadata}}


def planned(live: dict, answers: list[dict]):
    left = iter(answers)
    transport = FakeTransport(lambda _: answer(next(left)))
    client = Client(transport, FakeClock(), namespace="shop")
    placed = Placed(ref_of(BODY), "a.yaml:1", BODY)
    return plan_object(client, placed, live, take_over=(), coming=()), transport


def test_what_a_controller_wrote_in_between_is_no_change_of_ours() -> None:
    noted = {"annotations": {"controller": "was here"}}
    managed = {
        "managedFields": [{"manager": "opslib", "operation": "Apply", "fieldsV1": {"f:data": {"f:x": {}}}}]
    }

    entry, transport = planned(
        at(1, **managed), [at(2, **noted, **managed), at(2, **noted, **managed), at(2, **noted, **managed)]
    )

    assert entry.action == "unchanged"
    assert [r.method for r in transport.asked] == ["PATCH", "GET", "PATCH"]


OWN = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:args": {},
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
        "f:finalizers": {".": {}, 'v:"mine"': {}},
    },
}
STATED = {
    "apiVersion": "v1",
    "kind": "Thing",
    "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "a"}},
    "spec": {"args": ["x", "y"], "ports": [{"port": 80}], "finalizers": ["mine"]},
}
THERE = {
    **STATED,
    "metadata": {
        **STATED["metadata"],
        "labels": {"app": "a", "theirs": "1"},
        "managedFields": [{"manager": "opslib", "operation": "Apply", "apiVersion": "v1", "fieldsV1": OWN}],
    },
    "spec": {
        "args": ["x", "y"],
        "ports": [{"port": 443, "protocol": "TCP"}, {"port": 80, "protocol": "TCP", "targetPort": 80}],
        "finalizers": ["theirs", "mine"],
        "other": 1,
    },
}


def spec(**fields) -> dict:
    return {**STATED, "spec": {**STATED["spec"], **fields}}


def test_what_is_stated_and_owned_to_the_byte_is_known_to_be_unchanged() -> None:
    assert is_applied(STATED, THERE)


@pytest.mark.parametrize(
    "body",
    [
        spec(args=["y", "x"]),
        spec(ports=[{"port": 81}]),
        spec(ports=[{"port": 80, "targetPort": 80}]),  # the same value, and not ours yet
        spec(ports=[{"port": 80}, {"port": 443}]),
        spec(ports=[]),
        spec(finalizers=["mine", "new"]),
        spec(other=1),
        {key: value for key, value in STATED.items() if key != "spec"},  # we let go of what we own
        {**STATED, "apiVersion": "v2"},
    ],
)
def test_anything_else_is_asked(body: dict) -> None:
    assert not is_applied(body, THERE)


def test_values_that_python_holds_for_equal_are_told_apart() -> None:
    owned = {"f:spec": {"f:on": {}}}
    live = {
        **BODY,
        "spec": {"on": 1},
        "metadata": {"managedFields": [{**THERE["metadata"]["managedFields"][0], "fieldsV1": owned}]},
    }
    body = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}}

    assert [is_applied({**body, "spec": {"on": value}}, live) for value in (1, True)] == [True, False]


def test_an_object_that_never_rests_is_planned_as_it_was_last_seen() -> None:
    versions = [at(n) for n in range(2, 2 * SETTLE_TRIES + 3)]

    entry, transport = planned(at(1), versions)

    assert entry.live == versions[-2]
    assert len(transport.asked) == 2 * SETTLE_TRIES + 1


def test_an_object_that_is_being_deleted_is_refused() -> None:
    entry, transport = planned(at(1, deletionTimestamp="2026-01-01T00:00:00Z"), [])

    assert (entry.action, transport.asked) == ("refused", [])
    assert "being deleted" in entry.reason
