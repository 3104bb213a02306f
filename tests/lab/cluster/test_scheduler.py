"""Scheduling: room for what is requested, the reasons why not, and the node itself."""

import pytest
from cluster_world import USER, World, deployment

from opslib.lab.cluster.api import Object
from opslib.lab.cluster.controllers.scheduler import Room, lacking, request_of


@pytest.fixture
def world() -> World:
    return World()  # its node has 4 cores, 8 GiB


def pod(name: str = "one", cpu: str = "", memory: str = "", **spec) -> Object:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container = {"name": "c", "image": "app:v1", "resources": {"requests": requests}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], **spec},
    }


def scheduled(world: World, name: str) -> tuple[str, str]:
    found = world.get("pods", name)
    (now,) = [c for c in found["status"]["conditions"] if c["type"] == "PodScheduled"]
    return now["status"], now.get("message", "")


def test_a_pod_gets_its_node_and_the_recorded_event(world: World) -> None:
    world.create("pods", pod())
    world.time.run(0.5)
    assert world.get("pods", "one")["spec"]["nodeName"] == "practice"
    assert scheduled(world, "one")[0] == "True"
    (event,) = world.api.list("events")
    assert (event["reason"], event["message"]) == (
        "Scheduled",
        "Successfully assigned default/one to practice",
    )
    assert (event["action"], event["source"]) == ("Binding", {})
    assert event["reportingComponent"] == "default-scheduler"
    assert event["eventTime"].endswith("Z")
    assert len(event["eventTime"]) == len("2026-11-23T03:36:56.474298Z")
    assert event.get("firstTimestamp") is event.get("lastTimestamp") is event.get("count") is None


def test_what_has_no_room_waits_says_why_and_runs_when_there_is_room(world: World) -> None:
    world.create("pods", pod("first", cpu="3"))
    world.time.run(1)
    world.create("pods", pod("second", cpu="1500m"))
    world.time.run(5)
    why = (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    assert scheduled(world, "second") == ("False", why)
    assert ("FailedScheduling", why, "second") in world.events()
    label = {"metadata": {"labels": {"seen": "again"}}}
    world.api.patch("nodes", "", "practice", label, "merge", USER)
    world.time.run(1)
    (told,) = [e for e in world.api.list("events") if e["reason"] == "FailedScheduling"]
    assert not told.get("series"), "the same reason is not told twice"
    world.delete("pods", "first", grace_s=0)
    world.time.run(1)
    assert scheduled(world, "second")[0] == "True"


def test_a_cordoned_node_takes_nothing_until_it_is_open_again(world: World) -> None:
    world.api.patch("nodes", "", "practice", {"spec": {"unschedulable": True}}, "merge", USER)
    world.create("pods", pod())
    world.time.run(1)
    assert "node(s) were unschedulable" in scheduled(world, "one")[1]
    world.api.patch("nodes", "", "practice", {"spec": {"unschedulable": None}}, "merge", USER)
    world.time.run(1)
    assert scheduled(world, "one")[0] == "True"


def test_pods_of_other_schedulers_are_left_alone(world: World) -> None:
    world.create("pods", pod("theirs", schedulerName="mine"))
    world.time.run(5)
    assert "nodeName" not in world.get("pods", "theirs")["spec"]


def test_a_deployment_larger_than_the_node_runs_as_far_as_there_is_room(world: World) -> None:
    container = {"resources": {"requests": {"cpu": "1"}}}
    world.create("deployments.apps", deployment(replicas=6, container=container))
    world.time.run(10)
    placed = [p for p in world.api.list("pods") if p["spec"].get("nodeName")]
    assert len(placed) == 4


NODE = {
    "metadata": {"labels": {"disk": "ssd"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
}


@pytest.mark.parametrize(
    ("asked", "node", "used", "reasons"),
    [
        (pod(cpu="2", memory="1Gi"), NODE, Room(), []),
        (pod(cpu="2001m"), NODE, Room(), ["Insufficient cpu"]),
        (pod(cpu="1", memory="1Gi"), NODE, Room(1001, 1), ["Insufficient cpu", "Insufficient memory"]),
        (pod(), NODE, Room(9000, 1 << 40, 2), []),
        (pod(), NODE, Room(pods=3), ["Too many pods"]),
        (pod(nodeSelector={"disk": "ssd"}), NODE, Room(), []),
        (
            pod(nodeSelector={"disk": "hdd"}),
            NODE,
            Room(),
            ["node(s) didn't match Pod's node affinity/selector"],
        ),
    ],
)
def test_why_a_pod_does_not_fit(asked: Object, node: Object, used: Room, reasons: list[str]) -> None:
    assert lacking(asked, node, used) == reasons


def test_an_init_container_counts_where_it_asks_for_more() -> None:
    first = {"name": "i", "resources": {"requests": {"cpu": "3", "memory": "1Ki"}}}
    assert request_of(pod(cpu="1", memory="1Mi", initContainers=[first])) == Room(3000, 1 << 20, 1)


def test_the_node_is_there_ready_and_says_so_again_and_again(world: World) -> None:
    node = world.get("nodes", "practice", "")
    told = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert told == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    assert node["status"]["allocatable"] == {"cpu": "4", "memory": "8Gi", "pods": "110"}
    required = {"machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"}
    required |= {"kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"}
    assert set(node["status"]["nodeInfo"]) == required

    before = world.get("leases.coordination.k8s.io", "practice", "kube-node-lease")["spec"]["renewTime"]
    world.time.run(11)
    after = world.get("leases.coordination.k8s.io", "practice", "kube-node-lease")["spec"]
    assert after["renewTime"] > before
    assert after["holderIdentity"] == "practice"
    world.delete("nodes", "practice", "")
    world.time.run(1)
    assert world.names("nodes", "") == ["practice"]
