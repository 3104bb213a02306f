"""Orders and sets on their way: once something was written, whatever is refused after it leads back, never to `aborted`."""

from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from rollout_world import READY, REF, World, deployment, pod, replica_set

from opslib.core.changes import Journal, journal_lines, send_intent
from opslib.core.errors import ClusterError, ConflictError, ForbiddenError, OpslibError, RefusedError
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan, Step
from opslib.kube import Kind, Object, Ref
from opslib.manifests.apply import Applied
from opslib.manifests.entries import Entry
from opslib.manifests.plan import SetPlan
from opslib.manifests.releasing import Release, release
from opslib.manifests.updating import Ended, Way, update


class Guarded(World):
    """A cluster whose Services we may not list."""

    def list_objects(self, kind: Kind, *args: Any, **more: Any) -> list[Object]:
        if kind.kind in {"Service", "EndpointSlice"}:
            raise ForbiddenError("list services: forbidden")
        return super().list_objects(kind, *args, **more)

    def get_all(self, refs: Any) -> dict[Ref, Object]:
        return {}


@pytest.fixture
def way(tmp_path: Path) -> Way:
    world = Guarded(
        deployment("2", **READY), replica_set("1", 1), replica_set("2", 2), pod("a", "2"), pod("b", "2")
    )
    return Way(world, tmp_path, Journal(tmp_path, world.clock), world.clock)


def order(generation: int = 1, **order: Any) -> Plan:
    expects = {"uid": "d", "generation": generation}
    return Plan("x", "c", (Step(order["action"], REF.identity, order, expects),))


def phases(way: Way) -> list[str]:
    return [line["phase"] for line in journal_lines(way.folder)]


def test_an_order_whose_services_may_not_be_read_goes_back(way: Way) -> None:
    ended = update(way, order(action="restart"))

    assert (ended.phase, ended.outcome) == ("rolled_back", Outcome.ROLLED_BACK)
    assert "forbidden" in ended.summary
    assert way.cluster.patched, "something was written"


def test_an_order_for_what_has_changed_since_is_refused_before_it_begins(way: Way) -> None:
    with pytest.raises(RefusedError, match="changed since"):
        update(way, order(generation=7, action="restart"))
    assert phases(way) == []
    assert way.cluster.patched == []


def test_the_way_back_of_an_order_names_what_was(way: Way) -> None:
    ended = update(way, order(action="scale", replicas=0))
    began = next(line for line in journal_lines(way.folder) if line["phase"] == "began")

    assert began["back"]["replicas"] == 2
    assert ended.phase == "rolled_back"


@pytest.mark.parametrize(
    "error",
    [ForbiddenError("patch: forbidden"), ConflictError("somebody is at it"), ClusterError("gone", sent=True)],
)
def test_a_way_back_that_is_not_let_through_is_not_called_taken(
    way: Way, monkeypatch: pytest.MonkeyPatch, error: OpslibError
) -> None:
    write, errors = way.cluster.patch, chain([None], repeat(error))

    def patch(*what: Any, **how: Any) -> Object:
        if found := next(errors):
            raise found
        return write(*what, **how)

    monkeypatch.setattr(way.cluster, "patch", patch)
    ended = update(way, order(action="scale", replicas=0))

    assert (ended.phase, ended.outcome) == ("rollback_failed", Outcome.ROLLBACK_FAILED)
    assert str(error) in ended.summary


@pytest.mark.parametrize(
    ("arrived", "asked", "phase"),
    [(False, True, "aborted"), (True, True, "rolled_back"), (False, False, "rolled_back")],
)
def test_a_write_that_is_cut_off_is_undone_unless_it_surely_never_arrived(
    way: Way, monkeypatch: pytest.MonkeyPatch, arrived: bool, asked: bool, phase: str
) -> None:
    get, patch, gone = way.cluster.get, way.cluster.patch, ClusterError("no answer", sent=True)
    cut, unheard = [gone], [] if asked else [gone]

    def write(*what: Any, **how: Any) -> Object:
        if not cut:
            return patch(*what, **how)
        if arrived:
            way.cluster.put(deployment("2", generation=2, **READY))
        raise cut.pop()

    def read(ref: Ref) -> Object | None:
        if not cut and unheard:
            raise unheard.pop()
        return get(ref)

    monkeypatch.setattr(way.cluster, "patch", write)
    monkeypatch.setattr(way.cluster, "get", read)
    ended = update(way, order(action="scale", replicas=3))

    assert ended.phase == phase
    assert "no answer" in ended.summary
    assert bool(way.cluster.patched) == (phase == "rolled_back")


def test_what_no_revision_was_found_for_has_no_way_back(way: Way) -> None:
    for version in "12":
        way.cluster.drop("ReplicaSet", f"payment-h{version}")
    ended = update(way, order(action="restart"))

    assert (ended.phase, ended.outcome) == ("rollback_failed", Outcome.ROLLBACK_FAILED)
    assert "no way back" in ended.summary


SECRET = Ref("v1", "Secret", "shop", "opslib-release-web")


@pytest.fixture
def put_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr("opslib.manifests.releasing._put_back", lambda *_: done.append("done") or "")
    return done


def released(way: Way, monkeypatch: pytest.MonkeyPatch, applied: Applied | Exception, *more: Entry) -> Ended:
    """Release a changed Deployment, and what else there is; the writes come to what is given."""

    def apply_plan(*_: Any, **__: Any) -> Applied:
        if isinstance(applied, Exception):
            raise applied
        return applied

    monkeypatch.setattr("opslib.manifests.releasing.apply_plan", apply_plan)
    entries = (Entry("change", REF, live=deployment("1"), body=deployment("2")), *more)
    plan = order(action="change")
    return release(way, plan, Release("web", (), SetPlan(plan, entries, SECRET)))


def test_a_set_of_which_one_write_fails_goes_back_and_says_which(
    way: Way, monkeypatch: pytest.MonkeyPatch, put_back: list[str]
) -> None:
    other = Ref("v1", "ConfigMap", "shop", "cfg")
    failed: dict[Ref, OpslibError] = {other: ForbiddenError("forbidden"), REF: ClusterError("gone")}
    ended = released(way, monkeypatch, Applied({}, failed, ()))

    assert (ended.outcome, put_back) == (Outcome.ROLLED_BACK, ["done"])
    assert f"{other}: forbidden, and 1 more" in ended.summary


def test_a_set_that_is_refused_before_its_first_write_is_aborted(
    way: Way, monkeypatch: pytest.MonkeyPatch, put_back: list[str]
) -> None:
    ended = released(way, monkeypatch, RefusedError("not as planned", hint="plan again"))

    assert (ended.phase, ended.outcome, put_back) == ("aborted", Outcome.REFUSED, [])
    assert ended.details["hint"] == "plan again"


def test_a_set_goes_back_when_somebody_asks_while_it_waits(
    way: Way, monkeypatch: pytest.MonkeyPatch, put_back: list[str]
) -> None:
    migration = Ref("batch/v1", "Job", "shop", "migrate")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate"},
        "spec": {},
        "status": {"active": 1},
    }
    monkeypatch.setattr(way.cluster, "get_all", lambda refs: {migration: job})
    send_intent(way.folder, "abort")
    way.cluster.put(deployment("2", **READY))
    ended = released(way, monkeypatch, Applied({REF: "d"}, {}, ()), Entry("create", migration, body=job))

    assert (ended.outcome, put_back) == (Outcome.ROLLED_BACK, ["done"])
    assert "asked to abort" in ended.summary


def test_a_set_whose_services_may_not_be_read_goes_back(
    way: Way, monkeypatch: pytest.MonkeyPatch, put_back: list[str]
) -> None:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "payment", "namespace": "shop"}}
    body["spec"] = {"selector": {"app": "payment"}}
    service = Entry("unchanged", Ref("v1", "Service", "shop", "payment"), body=body)
    ended = released(way, monkeypatch, Applied({REF: "d"}, {}, ()), service)

    assert (ended.phase, ended.outcome) == ("rolled_back", Outcome.ROLLED_BACK)
    assert put_back == ["done"]
