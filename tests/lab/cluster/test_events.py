"""Events: their shape, their counts, and that they are bounded and end."""

import pytest
from cluster_world import World

from opslib.lab.cluster.api import Object
from opslib.lab.cluster.controllers import Recorder, events


@pytest.fixture
def world() -> World:
    return World()


def made(world: World, name: str = "thing") -> Object:
    return world.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})


def test_an_event_looks_as_recorded(world: World) -> None:
    thing = made(world)
    Recorder(world.api, world.time, "kubelet", "practice").record(
        thing, "Warning", "BackOff", "Back-off restarting", "spec.containers{c}"
    )
    (event,) = world.api.list("events")
    name, _, end = event["metadata"]["name"].rpartition(".")

    assert name == "thing"
    assert len(end) == 16
    assert int(end, 16) == world.time.now_ns()
    assert event["involvedObject"] == {
        "kind": "ConfigMap",
        "namespace": "default",
        "name": "thing",
        "uid": thing["metadata"]["uid"],
        "apiVersion": "v1",
        "resourceVersion": thing["metadata"]["resourceVersion"],
        "fieldPath": "spec.containers{c}",
    }
    assert event["source"] == {"component": "kubelet", "host": "practice"}
    assert (event["count"], event["type"], event["reason"]) == (1, "Warning", "BackOff")
    assert event["firstTimestamp"] == event["lastTimestamp"] == event["metadata"]["creationTimestamp"]
    assert event.get("eventTime") is None
    assert event["reportingComponent"] == "kubelet"


def test_the_same_again_is_counted(world: World) -> None:
    thing, recorder = made(world), Recorder(world.api, world.time, "kubelet")
    for _ in range(5):
        recorder.record(thing, "Warning", "BackOff", "again")
        world.time.run(10)
    (event,) = world.api.list("events")
    assert event["count"] == 5
    assert event["lastTimestamp"] > event["firstTimestamp"]


def test_an_event_ends_an_hour_after_its_last_occurrence(world: World) -> None:
    thing, recorder = made(world), Recorder(world.api, world.time, "kubelet")
    recorder.record(thing, "Normal", "Old", "once")
    recorder.record(thing, "Normal", "Kept", "often")
    world.time.run(3000)
    recorder.record(thing, "Normal", "Kept", "often")
    world.time.run(700)
    assert [reason for reason, _, _ in world.events()] == ["Kept"]
    world.time.run(3600)
    assert world.events() == []
    recorder.record(thing, "Normal", "Old", "once")
    assert [reason for reason, _, _ in world.events()] == ["Old"]


def test_only_the_latest_events_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST", 3)
    thing, recorder = made(world), Recorder(world.api, world.time, "kubelet")
    for number in range(6):
        recorder.record(thing, "Normal", f"R{number}", f"text {number}")
        world.time.run(1)
    world.time.run(120)
    assert sorted(reason for reason, _, _ in world.events()) == ["R3", "R4", "R5"]


def test_what_happens_in_a_namespace_that_ends_is_not_told(world: World) -> None:
    gone = made(world)
    gone = gone | {"metadata": gone["metadata"] | {"namespace": "nowhere"}}
    Recorder(world.api, world.time, "kubelet").record(gone, "Normal", "Late", "too late")
    assert world.events() == []


def test_events_at_the_same_moment_have_names_of_their_own(world: World) -> None:
    thing, recorder = made(world), Recorder(world.api, world.time, "kubelet")
    for reason in ("One", "Two", "Three"):
        recorder.record(thing, "Normal", reason, "at once")
    assert [reason for reason, _, _ in world.events()] == ["One", "Two", "Three"]


def test_an_event_of_a_cluster_object_is_in_default(world: World) -> None:
    node = world.get("nodes", "practice", "")
    Recorder(world.api, world.time, "kubelet").record(node, "Normal", "Starting", "Starting kubelet.")
    assert ("Starting", "Starting kubelet.", "practice") in world.events()
