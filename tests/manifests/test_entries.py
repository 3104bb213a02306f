"""One object of a plan, where the server is a function: what other writers do in between is never our change."""

from fake_api import FakeClock, FakeTransport, answer

from opslib.kube import Client, ref_of
from opslib.manifests.entries import SETTLE_TRIES, plan_object
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


def test_an_object_that_never_rests_is_planned_as_it_was_last_seen() -> None:
    versions = [at(n) for n in range(2, 2 * SETTLE_TRIES + 3)]

    entry, transport = planned(at(1), versions)

    assert entry.live == versions[-2]
    assert len(transport.asked) == 2 * SETTLE_TRIES + 1


def test_an_object_that_is_being_deleted_is_refused() -> None:
    entry, transport = planned(at(1, deletionTimestamp="2026-01-01T00:00:00Z"), [])

    assert (entry.action, transport.asked) == ("refused", [])
    assert "being deleted" in entry.reason
