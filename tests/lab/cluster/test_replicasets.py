"""ReplicaSets: the count is kept, orphans are adopted, and scaling down takes what costs least."""

import pytest
from cluster_world import USER, World

from opslib.lab.cluster.api import Object
from opslib.lab.cluster.controllers.replicasets import to_delete

RS = "replicasets.apps"


@pytest.fixture
def world() -> World:
    return World()


def replica_set(replicas: int = 2, **spec) -> Object:
    template = {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "app:v1"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "a"}, "spec": spec}


def pod(name: str = "loose", labels: dict[str, str] | None = None) -> Object:
    spec = {"containers": [{"name": "c", "image": "app:v1"}]}
    metadata = {"name": name, "labels": labels or {"app": "a"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def owners(world: World, name: str) -> list[str]:
    return [ref["name"] for ref in world.get("pods", name)["metadata"].get("ownerReferences", ())]


def test_a_deleted_and_a_failed_pod_are_replaced_at_once(world: World) -> None:
    world.create(RS, replica_set())
    world.time.run(5)
    first, second = world.names("pods")
    world.delete("pods", first, grace_s=0)
    world.kubelet.exit(("default", second), world.get("pods", second)["metadata"]["uid"], 1)
    world.time.run(5)

    assert len(set(world.names("pods")) - {first, second}) == 2
    assert world.get(RS, "a")["status"]["readyReplicas"] == 2
    created = [text for reason, text, _ in world.events("ReplicaSet") if reason == "SuccessfulCreate"]
    assert len(created) == 4


def test_a_terminating_pod_leaves_all_counters_at_once(world: World) -> None:
    world.create(RS, replica_set())
    world.time.run(5)
    world.kubelet.stop_s = 20.0
    world.kubelet.never_ready.add("app:v1")
    world.delete("pods", world.names("pods")[0])
    world.time.run(1)

    assert len(world.names("pods")) == 3
    assert {k: v for k, v in world.get(RS, "a")["status"].items() if "Replicas" in k or k == "replicas"} == {
        "replicas": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
    }


def test_pods_without_owner_are_adopted_and_counted(world: World) -> None:
    world.create("pods", pod())
    world.create("pods", pod("other", {"app": "b"}))
    world.create(RS, replica_set())
    world.time.run(5)

    assert owners(world, "loose") == ["a"]
    assert owners(world, "other") == []
    assert len([name for name in world.names("pods") if owners(world, name) == ["a"]]) == 2


def test_a_pod_that_is_not_selected_any_more_is_let_go_and_replaced(world: World) -> None:
    world.create(RS, replica_set())
    world.time.run(5)
    name = world.names("pods")[0]
    world.patch("pods", name, {"metadata": {"labels": {"app": "debug"}}})
    world.time.run(5)

    assert owners(world, name) == []
    assert len(world.names("pods")) == 3


def test_what_cannot_be_created_is_said_and_tried_again(world: World) -> None:
    world.delete("serviceaccounts", "default")
    replicas = replica_set()
    replicas["spec"]["template"]["spec"]["serviceAccountName"] = "absent"
    world.create(RS, replicas)
    world.time.run(5)
    (failure,) = world.get(RS, "a")["status"]["conditions"]
    assert (failure["type"], failure["status"], failure["reason"]) == (
        "ReplicaFailure",
        "True",
        "FailedCreate",
    )
    assert any(reason == "FailedCreate" for reason, _, _ in world.events("ReplicaSet"))
    assert world.controllers.queues["replicasets"].failures

    world.create(
        "serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "absent"}}
    )
    world.time.run_until(lambda: world.get(RS, "a")["status"].get("readyReplicas") == 2, within_s=120)
    assert "conditions" not in world.get(RS, "a")["status"]


def ranked(name: str, **state) -> Object:
    """A running, ready pod on a node, but for what the test says."""
    ready = [
        {"type": "Ready", "status": "True", "lastTransitionTime": state.get("since", "2026-01-01T00:00:00Z")}
    ]
    statuses = [{"restartCount": state.get("restarts", 0)}]
    annotations = {"controller.kubernetes.io/pod-deletion-cost": state["cost"]} if "cost" in state else {}
    return {
        "metadata": {
            "name": name,
            "annotations": annotations,
            "creationTimestamp": state.get("created", "2026-01-01T00:00:00Z"),
        },
        "spec": {"nodeName": state.get("node", "practice")},
        "status": {
            "phase": state.get("phase", "Running"),
            "conditions": ready if state.get("ready", True) else [],
            "containerStatuses": statuses,
        },
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"node": ""}, {"phase": "Pending", "ready": False}),
        ({"phase": "Pending", "ready": False}, {"ready": False}),
        ({"ready": False}, {"cost": "-5"}),
        ({"cost": "-5"}, {"cost": "3"}),
        ({"cost": "3"}, {"cost": "20"}),
        ({"since": "2026-01-01T00:05:00Z"}, {"restarts": 9}),
        ({"restarts": 2}, {"restarts": 1}),
        ({"created": "2026-01-01T00:00:09Z"}, {"created": "2026-01-01T00:00:08Z"}),
        ({"cost": "nonsense", "restarts": 1}, {}),
    ],
)
def test_scaling_down_takes_first_what_costs_least(first: dict, second: dict) -> None:
    pods = [ranked("a", **second), ranked("b", **first)]
    for order in (pods, pods[::-1]):
        assert [p["metadata"]["name"] for p in to_delete(order, 1)] == ["b"]


def test_a_new_one_of_the_same_name_does_not_touch_the_pods_of_the_old(world: World) -> None:
    old = world.create(RS, replica_set())
    world.time.run(5)
    pods = world.names("pods")
    world.delete(RS, "a")
    world.create(RS, replica_set())
    world.time.run(10)

    kept = [world.get("pods", name) for name in world.names("pods")]
    assert not set(world.names("pods")) & set(pods)
    assert all(p["metadata"]["ownerReferences"][0]["uid"] != old["metadata"]["uid"] for p in kept)
    assert len(kept) == 2


def test_a_pod_made_by_hand_above_the_count_is_deleted(world: World) -> None:
    world.create(RS, replica_set())
    world.time.run(5)
    world.api.create("pods", "default", pod(), USER)
    world.time.run(5)
    assert len(world.names("pods")) == 2


def test_one_that_is_on_its_way_out_adopts_nothing(world: World) -> None:
    world.create(RS, replica_set())
    world.time.run(5)
    world.kubelet.stop_s = 10.0
    world.delete(RS, "a", propagation="Foreground")
    world.create("pods", pod())
    world.time.run(5)
    assert world.names(RS) == ["a"]
    assert owners(world, "loose") == []
