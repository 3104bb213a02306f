"""Create, roll, scale, crash and delete, again and again: nothing piles up, neither objects nor keys nor timers."""

import gc
import sys

import pytest
from cluster_world import USER, World, budget, deployment, job, scaler, service, set_image

from opslib.lab.cluster.api import Object

D = "deployments.apps"


def objects_of(world: World) -> dict[str, int]:
    """How many objects there are of each resource, without events: they end by their age."""
    names = [res.name for res in world.api.resources if res.stored and res.name != "events"]
    return {name: count for name in names if (count := len(world.api.list(name)))}


def held(world: World) -> dict[str, int]:
    """What the controllers hold: keys of each queue, set timers, failures, the garbage collector's index."""
    queues = world.controllers.queues
    events = len(world.api.list("events"))
    return {
        **{name: len(queue) for name, queue in queues.items()},
        "failing": sum(len(queue.failures) for queue in queues.values()),
        "timers": world.time.pending,
        "known": len(queues["garbage"]._controller) - events,
    }


def workloads() -> list[tuple[str, Object]]:
    return [
        ("services", service()),
        (D, deployment(container={"resources": {"requests": {"cpu": "100m"}}})),
        (D, deployment("other", strategy={"type": "Recreate"}, progressDeadlineSeconds=5)),
        (D, deployment("huge", replicas=2, container={"resources": {"requests": {"cpu": "64"}}})),
        ("horizontalpodautoscalers.autoscaling", scaler()),
        ("poddisruptionbudgets.policy", budget(minAvailable=1)),
        ("jobs.batch", job()),
        ("jobs.batch", job("bad:v1", name="bad", backoffLimit=1)),
    ]


def churn(world: World, namespace: str) -> None:
    """One life of every kind of workload: roll-outs good and bad, an end while things still move.

    In a namespace of its own that ends with it, or in `default`, object by object.
    """
    if namespace != "default":
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        world.create("namespaces", made, "")
        world.time.run(1)
    for resource, obj in workloads():
        world.create(resource, obj, namespace)
    world.time.run(20)
    for image in ("app:v2", "app:bad", "app:v3"):
        for name in ("web", "other"):
            world.api.patch(D, namespace, name, set_image(name, image), "merge", USER)
        world.time.run(8)
    for pod in world.names("pods", namespace)[:2]:
        world.delete("pods", pod, namespace, grace_s=0)
    if namespace == "default":
        for number, (resource, obj) in enumerate(workloads()):
            propagation = ("Background", "Foreground")[number % 2]
            world.delete(resource, obj["metadata"]["name"], propagation=propagation)
    else:
        world.delete(D, "other", namespace, propagation="Foreground")
        world.time.run(0.2)
        world.delete("namespaces", namespace, "")
    world.time.run(30)
    world.history.clear()


def blocks(world: World) -> int:
    """Blocks of memory in use, once all events have ended."""
    world.time.run(4000)
    world.history.clear()
    gc.collect()
    return sys.getallocatedblocks()


def test_nothing_piles_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opslib.lab.cluster.store.HISTORY", 100)  # full after a round, as 4,096 after many
    monkeypatch.setattr("opslib.lab.cluster.controllers.events._REMEMBERED", 50)
    world = World()
    world.kubelet.exits |= {"good:v1": 0, "bad:v1": 3}
    world.kubelet.never_ready.add("app:bad")
    world.kubelet.cores["app:v1"] = 0.09
    before, holding = objects_of(world), held(world)
    churn(world, "warm-up")
    churn(world, "default")
    used = blocks(world)
    for namespace in ("one", "default", "one", "default"):
        churn(world, namespace)
        assert objects_of(world) == before
        assert held(world) == holding
    assert 0 < len(world.api.list("events")) < 400
    assert blocks(world) < used * 1.02

    assert world.api.list("events") == []
    world.controllers.stop()
    world.time.run(120)
    assert world.time.pending == 0


def test_a_start_in_the_middle_goes_on_where_it_was() -> None:
    world = World()
    world.create(D, deployment())
    world.time.run(5)
    world.patch(D, "web", set_image("web", "app:v2"))
    for _ in range(40):
        world.time.run(0.1)
        world.controllers.stop()
        world.time.run(0.3)
        world.controllers = world.start()
    world.time.run(20)

    status = world.get(D, "web")["status"]
    assert (status["replicas"], status["updatedReplicas"], status["availableReplicas"]) == (3, 3, 3)
    assert len(world.names("pods")) == 3
