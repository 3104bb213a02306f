"""Orders and sets on their way: once something was written, whatever is refused after it leads back, never to `aborted`."""

from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from rollout_world import READY, REF, World, deployment, pod, replica_set

from opslib.core.changes import Journal, journal_lines
from opslib.core.errors import ClusterError, ConflictError, ForbiddenError, OpslibError, RefusedError
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan, Step
from opslib.kube import Kind, Object, Ref
from opslib.manifests.apply import Applied
from opslib.manifests.entries import Entry
from opslib.manifests.plan import SetPlan
from opslib.manifests.releasing import Release, release
from opslib.manifests.updating import Way, update


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


def test_a_set_whose_services_may_not_be_read_goes_back(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    put_back: list[OpslibError | str] = []
    monkeypatch.setattr("opslib.manifests.releasing.apply_plan", lambda *_, **__: Applied({REF: "d"}, {}, ()))
    monkeypatch.setattr("opslib.manifests.releasing._put_back", lambda *_: put_back.append("done") or "")
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "payment", "namespace": "shop"}}
    body["spec"] = {"selector": {"app": "payment"}}
    entries = (
        Entry("change", REF, live=deployment("1"), body=deployment("2")),
        Entry("unchanged", Ref("v1", "Service", "shop", "payment"), body=body),
    )
    plan = order(action="change")
    wanted = Release("web", (), SetPlan(plan, entries, Ref("v1", "Secret", "shop", "opslib-release-web")))
    ended = release(way, plan, wanted)

    assert (ended.phase, ended.outcome) == ("rolled_back", Outcome.ROLLED_BACK)
    assert put_back == ["done"]
