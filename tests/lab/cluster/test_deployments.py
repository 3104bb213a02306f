"""Deployments as they were recorded from a real cluster: the order of statuses and events, and what users do to them."""

import pytest
from cluster_world import World, deployment, set_image

from opslib.lab.cluster.api import Object

D, RS = "deployments.apps", "replicasets.apps"


@pytest.fixture
def world() -> World:
    return World()


def rolled_out(world: World, name: str = "web") -> bool:
    status = world.get(D, name).get("status", {})
    reasons = {c["type"]: c["reason"] for c in status.get("conditions", ())}
    return reasons.get("Progressing") == "NewReplicaSetAvailable"


def counters(status: Object) -> tuple[int, ...]:
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
    return tuple(status.get(name, 0) for name in names)


def progress(obj: Object) -> str:
    conditions = obj.get("status", {}).get("conditions", ())
    return next((c["reason"] for c in conditions if c["type"] == "Progressing"), "")


def statuses(world: World) -> list[tuple[int | None, tuple[int, ...], str]]:
    """Distinct statuses of the Deployment in their order: observed generation, counters, reason of Progressing."""
    found: list[tuple[int | None, tuple[int, ...], str]] = []
    for event in world.history:
        if event.resource == D:
            status = event.object.get("status", {})
            now = (status.get("observedGeneration"), counters(status), progress(event.object))
            if now not in found[-1:]:
                found.append(now)
    return found


def revisions(world: World) -> dict[str, int]:
    """Image -> revision of the ReplicaSets."""
    return {
        rs["spec"]["template"]["spec"]["containers"][0]["image"]: int(
            rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        )
        for rs in world.api.list(RS)
    }


def sizes(world: World) -> dict[str, int]:
    sets = world.api.list(RS)
    return {s["spec"]["template"]["spec"]["containers"][0]["image"]: s["spec"]["replicas"] for s in sets}


def ready_one_by_one(world: World) -> None:
    """Let pods become ready a second apart."""
    ticks = iter(range(1, 1000))

    original = world.kubelet._start

    def start(key: tuple[str, str], uid: str) -> None:
        world.kubelet.ready_after_s = float(next(ticks) * 2)
        original(key, uid)

    world.kubelet._start = start


def test_a_new_deployment_goes_through_the_recorded_statuses(world: World) -> None:
    ready_one_by_one(world)
    world.create(D, deployment())
    world.time.run(30)

    assert statuses(world) == [
        (None, (0, 0, 0, 0, 0), ""),
        (None, (0, 0, 0, 0, 0), "NewReplicaSetCreated"),
        (1, (0, 0, 0, 0, 3), "NewReplicaSetCreated"),
        (1, (3, 3, 0, 0, 3), "ReplicaSetUpdated"),
        (1, (3, 3, 1, 1, 2), "ReplicaSetUpdated"),
        (1, (3, 3, 2, 2, 1), "ReplicaSetUpdated"),
        (1, (3, 3, 3, 3, 0), "NewReplicaSetAvailable"),
    ]
    (name,) = world.names(RS)
    assert world.get(D, "web")["status"]["conditions"] == [
        condition(world, "Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        condition(
            world,
            "Progressing",
            "NewReplicaSetAvailable",
            f'ReplicaSet "{name}" has successfully progressed.',
        ),
    ]
    assert world.events("Deployment") == [
        ("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to 3", "web")
    ]


def condition(world: World, kind: str, reason: str, message: str) -> Object:
    (found,) = [c for c in world.get(D, "web")["status"]["conditions"] if c["type"] == kind]
    times = {key: found[key] for key in ("lastUpdateTime", "lastTransitionTime")}
    return {"type": kind, "status": "True", "reason": reason, "message": message, **times}


def test_a_replica_set_looks_as_recorded(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    (name,) = world.names(RS)
    (owner, replica_set) = world.get(D, "web"), world.get(RS, name)

    hashed = name.removeprefix("web-")
    assert replica_set["metadata"]["labels"] == {"app": "web", "pod-template-hash": hashed}
    assert replica_set["spec"]["selector"] == {"matchLabels": {"app": "web", "pod-template-hash": hashed}}
    assert replica_set["metadata"]["annotations"] == {
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
        "deployment.kubernetes.io/revision": "1",
    }
    assert replica_set["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert replica_set["status"] == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "observedGeneration": 1,
    }
    assert owner["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    assert all(pod.startswith(f"{name}-") and len(pod) == len(name) + 6 for pod in world.names("pods"))


def test_a_rolling_update_goes_through_the_recorded_statuses_and_events(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    (old,) = world.names(RS)
    world.history.clear()
    before = len(world.events("Deployment"))
    world.patch(D, "web", set_image("web", "app:v2"))
    world.time.run(30)

    updated = "ReplicaSetUpdated"
    assert statuses(world) == [
        (1, (3, 3, 3, 3, 0), "NewReplicaSetAvailable"),
        (1, (3, 3, 3, 3, 0), "NewReplicaSetCreated"),
        (2, (3, 0, 3, 3, 1), "NewReplicaSetCreated"),
        (2, (4, 1, 3, 3, 1), updated),
        (2, (4, 1, 4, 4, 0), updated),
        (2, (3, 1, 3, 3, 1), updated),
        (2, (4, 2, 3, 3, 1), updated),
        (2, (4, 2, 4, 4, 0), updated),
        (2, (3, 2, 3, 3, 1), updated),
        (2, (4, 3, 3, 3, 1), updated),
        (2, (4, 3, 4, 4, 0), updated),
        (2, (3, 3, 3, 3, 0), "NewReplicaSetAvailable"),
    ]
    (new,) = set(world.names(RS)) - {old}
    assert [message for _, message, _ in world.events("Deployment")[before:]] == [
        f"Scaled up replica set {new} from 0 to 1",
        f"Scaled down replica set {old} from 3 to 2",
        f"Scaled up replica set {new} from 1 to 2",
        f"Scaled down replica set {old} from 2 to 1",
        f"Scaled up replica set {new} from 2 to 3",
        f"Scaled down replica set {old} from 1 to 0",
    ]
    available = [
        c["status"]
        for e in world.history
        if e.resource == D
        for c in e.object["status"]["conditions"]
        if c["type"] == "Available"
    ]
    assert set(available) == {"True"}


def test_a_rollback_uses_the_old_replica_set_again(world: World) -> None:
    for image in ("app:v1", "app:v2", "app:v1"):
        if image == "app:v1" and not world.names(D):
            world.create(D, deployment(image=image))
        else:
            world.patch(D, "web", set_image("web", image))
        world.time.run_until(lambda: rolled_out(world))
        world.time.run(20)

    assert revisions(world) == {"app:v1": 3, "app:v2": 2}
    assert sizes(world) == {"app:v1": 3, "app:v2": 0}
    (first,) = [rs for rs in world.api.list(RS) if rs["spec"]["replicas"]]
    assert first["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert world.get(D, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


def test_an_image_that_never_gets_ready_stands_still_and_passes_its_deadline(world: World) -> None:
    world.create(D, deployment(progressDeadlineSeconds=10))
    world.time.run_until(lambda: rolled_out(world))
    world.kubelet.never_ready.add("app:bad")
    events = len(world.events("Deployment"))
    world.patch(D, "web", set_image("web", "app:bad"))
    world.time.run(9)
    assert progress(world.get(D, "web")) == "ReplicaSetUpdated"
    world.time.run(3)

    web = world.get(D, "web")
    (now,) = [c for c in web["status"]["conditions"] if c["type"] == "Progressing"]
    name = next(n for n in world.names(RS) if world.get(RS, n)["spec"]["replicas"] == 1)
    assert counters(web["status"]) == (4, 1, 3, 3, 1)
    assert (now["status"], now["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert now["message"] == f'ReplicaSet "{name}" has timed out progressing.'
    assert len(world.events("Deployment")) == events + 1, "the deadline itself makes no event"
    assert len(world.controllers.queues["deployments"]) == 0, "nothing is left to wait for"
    world.patch(D, "web", {"spec": {"paused": True}})
    world.time.run(1)
    assert progress(world.get(D, "web")) == "ProgressDeadlineExceeded"
    world.patch(D, "web", {"spec": {"paused": None}})

    world.patch(D, "web", set_image("web", "app:v1"))
    world.time.run_until(lambda: rolled_out(world))
    assert sizes(world) == {"app:v1": 3, "app:bad": 0}


def test_scaling_is_no_roll_out(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    (name,) = world.names(RS)
    world.history.clear()
    world.patch(D, "web", {"spec": {"replicas": 1}}, subresource="scale")
    world.time.run(10)

    assert {reason for _, _, reason in statuses(world)} == {"NewReplicaSetAvailable"}
    assert statuses(world)[-1][:2] == (2, (1, 1, 1, 1, 0))
    assert revisions(world) == {"app:v1": 1}
    assert world.events("Deployment")[-1][1] == f"Scaled down replica set {name} from 3 to 1"
    annotations = world.get(RS, name)["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/desired-replicas"] == "1"


def test_scaling_in_the_middle_of_a_roll_out_keeps_the_shares_and_comes_to_its_end(world: World) -> None:
    world.create(D, deployment(replicas=10))
    world.time.run_until(lambda: rolled_out(world))
    world.kubelet.never_ready.add("app:v2")
    world.patch(D, "web", set_image("web", "app:v2"))
    world.time.run(10)
    assert sizes(world) == {"app:v1": 8, "app:v2": 5}
    world.patch(D, "web", {"spec": {"replicas": 5}}, subresource="scale")
    world.time.run(10)
    assert sum(sizes(world).values()) == 7
    assert all(sizes(world).values())

    world.kubelet.never_ready.clear()
    world.patch(D, "web", set_image("web", "app:v3"))
    world.time.run_until(lambda: rolled_out(world))
    assert sizes(world) == {"app:v1": 0, "app:v2": 0, "app:v3": 5}


def test_recreate_starts_the_new_pods_when_the_last_old_one_has_gone(world: World) -> None:
    world.create(D, deployment(strategy={"type": "Recreate"}))
    world.time.run_until(lambda: rolled_out(world))
    world.kubelet.stop_s = 5.0
    world.history.clear()
    world.patch(D, "web", set_image("web", "app:v2"))
    world.time.run(4)
    assert sizes(world) == {"app:v1": 0}
    assert counters(world.get(D, "web")["status"]) == (0, 0, 0, 0, 0)
    world.time.run_until(lambda: sizes(world) == {"app:v1": 0, "app:v2": 3} and rolled_out(world))

    pods = [e for e in world.history if e.resource == "pods" and e.type in {"ADDED", "DELETED"}]
    assert [e.type for e in pods] == ["DELETED"] * 3 + ["ADDED"] * 3


def test_a_paused_deployment_scales_and_does_not_roll(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    world.patch(D, "web", {"spec": {"paused": True}})
    world.time.run(1)
    assert progress(world.get(D, "web")) == "DeploymentPaused"
    world.patch(D, "web", set_image("web", "app:v2"))
    world.patch(D, "web", {"spec": {"replicas": 4}})
    world.time.run(10)
    assert sizes(world) == {"app:v1": 4}
    assert (
        world.get(D, "web")["status"]["observedGeneration"] == world.get(D, "web")["metadata"]["generation"]
    )

    world.history.clear()
    world.patch(D, "web", {"spec": {"paused": None}})
    world.time.run_until(lambda: rolled_out(world))
    reasons = [reason for _, _, reason in statuses(world)]
    assert list(dict.fromkeys(reasons)) == [
        "DeploymentPaused",
        "DeploymentResumed",
        "ReplicaSetUpdated",
        "NewReplicaSetAvailable",
    ]
    assert sizes(world) == {"app:v1": 0, "app:v2": 4}


def test_history_is_kept_as_long_as_asked(world: World) -> None:
    world.create(D, deployment(revisionHistoryLimit=2))
    for n in range(2, 7):
        world.time.run_until(lambda: rolled_out(world))
        world.time.run(5)
        world.patch(D, "web", set_image("web", f"app:v{n}"))
        world.time.run(1)
    world.time.run_until(lambda: rolled_out(world))
    world.time.run(5)

    assert revisions(world) == {"app:v4": 4, "app:v5": 5, "app:v6": 6}


def test_min_ready_seconds_make_availability_wait(world: World) -> None:
    world.create(D, deployment(minReadySeconds=20))
    world.time.run(15)
    assert counters(world.get(D, "web")["status"]) == (3, 3, 3, 0, 3)
    world.time.run(15)
    assert rolled_out(world)


def test_a_second_change_in_the_middle_of_a_roll_out_goes_to_the_newest(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    world.kubelet.never_ready.add("app:v2")
    world.patch(D, "web", set_image("web", "app:v2"))
    world.time.run(5)
    world.patch(D, "web", set_image("web", "app:v3"))
    world.time.run_until(lambda: rolled_out(world))

    assert sizes(world) == {"app:v1": 0, "app:v2": 0, "app:v3": 3}


def test_the_name_of_another_ones_replica_set_is_not_taken(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    (first,) = world.names(RS)
    world.delete(D, "web", propagation="Orphan")
    world.time.run(5)
    assert world.names(RS) == [first]
    labels = {"app": "other", "pod-template-hash": first.removeprefix("web-")}
    world.patch(RS, first, {"metadata": {"labels": labels}})
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))

    assert len(world.names(RS)) == 2
    assert world.get(D, "web")["status"]["collisionCount"] == 1


def test_orphans_are_adopted_by_the_deployment_that_selects_them(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    pods = world.names("pods")
    world.delete(D, "web", propagation="Orphan")
    world.time.run(5)
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))

    assert len(world.names(RS)) == 1
    assert world.names("pods") == pods


def test_it_is_available_from_the_minimum_on(world: World) -> None:
    ready_one_by_one(world)
    world.create(D, deployment(strategy={"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}))
    world.time.run(30)
    seen = {
        e.object["status"].get("availableReplicas", 0): c["status"]
        for e in world.history
        if e.resource == D
        for c in e.object.get("status", {}).get("conditions", ())
        if c["type"] == "Available"
    }
    assert seen == {0: "False", 1: "False", 2: "True", 3: "True"}


def test_a_resize_that_leaves_one_set_as_it_is_does_not_stop_the_roll_out(world: World) -> None:
    rolling = {"maxSurge": "25%", "maxUnavailable": 0}
    world.create(D, deployment(replicas=4, strategy={"rollingUpdate": rolling}))
    world.time.run_until(lambda: rolled_out(world))
    world.kubelet.never_ready.add("app:v2")
    world.patch(D, "web", set_image("web", "app:v2"))
    world.time.run(5)
    assert sizes(world) == {"app:v1": 4, "app:v2": 1}
    world.patch(D, "web", {"spec": {"replicas": 5}}, subresource="scale")
    world.time.run(0.5)
    resized = [
        e.object["spec"]["replicas"] for e in world.history if e.resource == RS and e.type == "MODIFIED"
    ]
    assert 6 in resized
    desired = [
        s["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] for s in world.api.list(RS)
    ]
    assert desired == ["5", "5"]


def test_a_condition_keeps_its_time_as_long_as_its_status_is_the_same(world: World) -> None:
    world.create(D, deployment())
    world.time.run_until(lambda: rolled_out(world))
    before = {c["type"]: c for c in world.get(D, "web")["status"]["conditions"]}
    world.time.run(60)
    world.patch(D, "web", set_image("web", "app:v2"))
    world.time.run(30)
    after = {c["type"]: c for c in world.get(D, "web")["status"]["conditions"]}

    assert after["Available"] == before["Available"]
    assert after["Progressing"]["lastTransitionTime"] == before["Progressing"]["lastTransitionTime"]
    assert after["Progressing"]["lastUpdateTime"] > before["Progressing"]["lastUpdateTime"]
