"""Disruption budgets: their status, and evictions that they forbid."""

import pytest
from cluster_world import World, budget, deployment

from opslib.lab.cluster.api import DeleteOptions, Object
from opslib.lab.cluster.controllers import evict
from opslib.lab.cluster.statuses import StatusError

PDB = "poddisruptionbudgets.policy"


@pytest.fixture
def world() -> World:
    world = World()
    world.create("deployments.apps", deployment())
    world.time.run(5)
    return world


@pytest.mark.parametrize(
    ("spec", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 2, 1),
        ({"minAvailable": "50%"}, 2, 1),
        ({"minAvailable": "100%"}, 3, 0),
        ({"maxUnavailable": 1}, 2, 1),
        ({"maxUnavailable": "25%"}, 2, 1),
        ({"maxUnavailable": 0}, 3, 0),
        ({"minAvailable": 0}, 0, 3),
    ],
)
def test_the_status_says_how_many_may_go(world: World, spec: dict, desired: int, allowed: int) -> None:
    world.create(PDB, budget(**spec))
    world.time.run(1)
    status = world.get(PDB, "web")["status"]
    (condition,) = status["conditions"]

    assert (status["expectedPods"], status["currentHealthy"]) == (3, 3)
    assert (status["desiredHealthy"], status["disruptionsAllowed"]) == (desired, allowed)
    assert status["observedGeneration"] == 1
    reason = "SufficientPods" if allowed else "InsufficientPods"
    assert (condition["type"], condition["reason"]) == ("DisruptionAllowed", reason)


def test_the_status_follows_the_pods(world: World) -> None:
    world.create(PDB, budget(minAvailable=2))
    world.kubelet.never_ready.add("app:v1")
    world.delete("pods", world.names("pods")[0], grace_s=0)
    world.time.run(5)
    status = world.get(PDB, "web")["status"]
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (2, 0)


def eviction(world: World, name: str) -> Object:
    return evict(world.api, "default", name, DeleteOptions())


def test_evictions_stop_where_the_budget_ends_even_at_once(world: World) -> None:
    world.create(PDB, budget(minAvailable=2))
    first, second, _ = world.names("pods")
    eviction(world, first)
    with pytest.raises(StatusError) as refused:
        eviction(world, second)

    body = refused.value.body
    assert (body["code"], body["reason"]) == (429, "TooManyRequests")
    assert body["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert body["details"] == {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget web needs 2 healthy pods and has 2 currently",
            }
        ]
    }
    assert "deletionTimestamp" not in world.get("pods", second)["metadata"]
    world.time.run(5)
    eviction(world, second)


def test_a_pod_that_is_not_healthy_may_go_when_the_healthy_ones_suffice(world: World) -> None:
    world.kubelet.never_ready.add("app:v1")
    world.delete("pods", world.names("pods")[0], grace_s=0)
    world.time.run(5)
    (sick,) = [
        p["metadata"]["name"]
        for p in world.api.list("pods")
        if not p["status"]["containerStatuses"][0]["ready"]
    ]
    world.create(PDB, budget(minAvailable=3))
    with pytest.raises(StatusError):
        eviction(world, sick)
    world.patch(PDB, "web", {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})
    eviction(world, sick)


def test_two_budgets_for_one_pod_are_an_error_and_none_is_no_hindrance(world: World) -> None:
    name = world.names("pods")[0]
    world.create(PDB, budget(minAvailable=0))
    world.create(PDB, budget("again", minAvailable=0))
    with pytest.raises(StatusError) as refused:
        eviction(world, name)
    assert refused.value.code == 500
    world.delete(PDB, "again")
    world.delete(PDB, "web")
    eviction(world, name)
    assert world.get("pods", name)["metadata"]["deletionTimestamp"]
