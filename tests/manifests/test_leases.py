"""One change at a time: who holds a lock keeps it, whoever was killed loses it in time, and of two only one gets it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from cluster_server import until
from fake_api import FakeClock
from rollout_world import REF

from opslib.core.errors import ClusterError, ConflictError, RefusedError
from opslib.kube import Object, Ref
from opslib.manifests import leases
from opslib.manifests.leases import DURATION_S, lease_of, locked

OTHER = Ref("apps/v1", "Deployment", REF.namespace, "risk")


class Leases:
    """The Leases of a cluster, written as the API server does: only on top of what was read."""

    def __init__(self) -> None:
        self.there: dict[Ref, Object] = {}
        self.writing = threading.RLock()
        self.before_a_write: Callable[[], None] = lambda: None

    def get(self, ref: Ref) -> Object | None:
        return {} if ref.kind == "Namespace" else self.there.get(ref)

    def create(self, body: Object) -> Object:
        ref = Ref(body["apiVersion"], "Lease", body["metadata"]["namespace"], body["metadata"]["name"])
        if ref in self.there:
            raise ConflictError("it is there already")
        self.there[ref] = body | {"metadata": body["metadata"] | {"uid": "u", "resourceVersion": 1}}
        return self.there[ref]

    def patch(self, ref: Ref, operations: list[Any]) -> Object:
        self.before_a_write()
        with self.writing:
            if operations[0]["value"] != self.there[ref]["metadata"]["resourceVersion"]:
                raise ConflictError("it has changed")
            self.set(ref, operations[1]["value"])
            return self.there[ref]

    def set(self, ref: Ref, spec: Any) -> None:
        with self.writing:
            found = self.there[ref]
            version = found["metadata"]["resourceVersion"] + 1
            self.there[ref] = {"metadata": found["metadata"] | {"resourceVersion": version}, "spec": spec}

    def delete(self, ref: Ref, *, uid: str) -> None:
        assert self.there.pop(ref)["metadata"]["uid"] == uid

    def holder(self, ref: Ref = REF) -> str | None:
        return self.there[lease_of(ref)]["spec"]["holderIdentity"] if lease_of(ref) in self.there else None


@pytest.fixture
def clock() -> FakeClock:
    made = FakeClock()
    made.now_s = 1e9
    return made


@pytest.fixture
def cluster() -> Leases:
    return Leases()


def left_behind(cluster: Leases, clock: FakeClock, holder: str = "killed") -> None:
    """Leave a lock as a driver does that was killed."""
    cluster.create(leases._body(lease_of(REF), holder, clock))


def test_a_lock_is_held_for_its_time_and_the_second_is_told_by_whom(
    cluster: Leases, clock: FakeClock
) -> None:
    with locked(cluster, [REF, OTHER], "one", clock):
        assert (cluster.holder(REF), cluster.holder(OTHER)) == ("one", "one")
        with pytest.raises(RefusedError, match="goes on: one"), locked(cluster, [OTHER], "two", clock):
            pass
        assert cluster.holder(OTHER) == "one"
    assert cluster.there == {}


def test_who_gets_one_lock_of_two_gives_it_back(cluster: Leases, clock: FakeClock) -> None:
    with locked(cluster, [OTHER], "one", clock):
        with pytest.raises(RefusedError), locked(cluster, [OTHER, REF], "two", clock):
            pass
        assert (cluster.holder(REF), cluster.holder(OTHER)) == (None, "one")


def test_the_lock_of_a_killed_driver_is_its_next_ones_at_once_and_anybodys_in_time(
    cluster: Leases, clock: FakeClock
) -> None:
    left_behind(cluster, clock)
    with pytest.raises(RefusedError, match="killed"), locked(cluster, [REF], "other", clock):
        pass
    with locked(cluster, [REF], "killed", clock):
        assert cluster.holder() == "killed"
    left_behind(cluster, clock)
    clock.sleep(DURATION_S + 1)
    with locked(cluster, [REF], "other", clock):
        assert cluster.holder() == "other"


def test_of_two_who_take_an_old_lock_over_the_second_is_refused(cluster: Leases, clock: FakeClock) -> None:
    left_behind(cluster, clock)
    clock.sleep(DURATION_S + 1)
    cluster.before_a_write = lambda: cluster.set(lease_of(REF), {"holderIdentity": "quicker"})
    with pytest.raises(RefusedError, match="just taken"), locked(cluster, [REF], "slower", clock):
        pass
    assert cluster.holder() == "quicker"


@pytest.mark.parametrize(
    "spec", [None, "x", [], {"holderIdentity": "x", "renewTime": "soon"}, {"renewTime": 7}]
)
def test_a_lock_in_which_nonsense_stands_is_nobodys(cluster: Leases, clock: FakeClock, spec: Any) -> None:
    left_behind(cluster, clock)
    cluster.set(lease_of(REF), spec)
    with locked(cluster, [REF], "one", clock):
        assert cluster.holder() == "one"


def test_a_lock_is_renewed_past_a_failure_and_what_somebody_else_took_is_left(
    cluster: Leases, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_RENEW_S", 0.005)
    failures = [ClusterError("gone", sent=True)]

    def write() -> None:
        if failures:
            raise failures.pop()

    def renewed() -> str:
        return str(cluster.there[lease_of(REF)]["spec"]["renewTime"])

    cluster.before_a_write = write
    with locked(cluster, [REF], "one", clock):
        first = renewed()
        clock.sleep(1)
        until(lambda: renewed() > first)
        assert not failures
        cluster.set(lease_of(REF), {"holderIdentity": "two"})
    assert cluster.holder() == "two"
