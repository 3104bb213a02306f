"""EndpointSlices: who is behind a Service, ready, serving or on its way out, and on which port."""

import pytest
from cluster_world import World, deployment, service

SLICES = "endpointslices.discovery.k8s.io"


@pytest.fixture
def world() -> World:
    return World()


def conditions(world: World) -> list[tuple[bool, bool, bool]]:
    """Ready, serving and terminating of all endpoints."""
    found = [e["conditions"] for piece in world.api.list(SLICES) for e in piece["endpoints"]]
    return sorted((c["ready"], c["serving"], c["terminating"]) for c in found)


def test_a_slice_looks_as_recorded(world: World) -> None:
    made = world.create("services", service())
    world.create("deployments.apps", deployment(replicas=1))
    world.time.run(5)
    (piece,) = world.api.list(SLICES)
    (pod,) = world.api.list("pods")

    assert piece["metadata"]["name"].startswith("web-")
    assert piece["metadata"]["generateName"] == "web-"
    assert piece["metadata"]["labels"] == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert piece["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert piece["addressType"] == "IPv4"
    assert piece["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert piece["endpoints"] == [
        {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": "practice",
            "targetRef": {
                "kind": "Pod",
                "namespace": "default",
                "name": pod["metadata"]["name"],
                "uid": pod["metadata"]["uid"],
            },
        }
    ]


def test_a_pod_is_in_it_before_it_is_ready_and_until_it_has_gone(world: World) -> None:
    world.create("services", service())
    world.time.run(1)
    assert len(world.names(SLICES)) == 1
    world.kubelet.ready_after_s, world.kubelet.stop_s = 5.0, 5.0
    world.create("deployments.apps", deployment(replicas=1))
    world.time.run(3)
    assert conditions(world) == [(False, False, False)]
    world.time.run(5)
    assert conditions(world) == [(True, True, False)]
    world.patch("deployments.apps", "web", {"spec": {"replicas": 0}})
    world.time.run(3)
    assert conditions(world) == [(False, True, True)]
    world.time.run(5)
    assert conditions(world) == []


def test_not_ready_addresses_can_be_asked_for(world: World) -> None:
    world.kubelet.never_ready.add("app:v1")
    world.create("services", service(publishNotReadyAddresses=True))
    world.create("deployments.apps", deployment(replicas=1))
    world.time.run(5)
    assert conditions(world) == [(True, False, False)]


def test_a_named_port_is_what_each_pod_calls_so(world: World) -> None:
    world.create("services", service(ports=[{"name": "http", "port": 80, "targetPort": "web"}]))
    for name, port in (("one", 8080), ("two", 9090), ("three", None)):
        ports = [{"name": "web", "containerPort": port}] if port else []
        container = {"name": "c", "image": "app:v1", "ports": ports}
        metadata = {"name": name, "labels": {"app": "web"}}
        world.create(
            "pods",
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}},
        )
    world.time.run(5)

    found = {
        endpoint["targetRef"]["name"]: [port["port"] for port in piece.get("ports", ())]
        for piece in world.api.list(SLICES)
        for endpoint in piece["endpoints"]
    }
    assert found == {"one": [8080], "two": [9090], "three": []}
    world.delete("pods", "two", grace_s=0)
    world.delete("pods", "three", grace_s=0)
    world.time.run(5)
    (piece,) = world.api.list(SLICES)
    assert [port["port"] for port in piece["ports"]] == [8080]


def test_a_changed_selector_changes_the_endpoints_in_the_same_slice(world: World) -> None:
    world.create("services", service())
    world.create("deployments.apps", deployment(replicas=1))
    world.create("deployments.apps", deployment("api", replicas=2))
    world.time.run(5)
    (before,) = world.names(SLICES)
    world.patch("services", "web", {"spec": {"selector": {"app": "api"}}})
    world.time.run(1)

    assert world.names(SLICES) == [before]
    assert len(conditions(world)) == 2


def test_a_service_without_selector_has_no_slice_and_a_deleted_one_takes_its_own_with_it(
    world: World,
) -> None:
    world.create("services", service("free", selector=None))
    world.create("services", service())
    world.time.run(1)
    assert [name[:4] for name in world.names(SLICES)] == ["web-"]
    world.delete("services", "web")
    world.time.run(1)
    assert world.names(SLICES) == []


def test_a_deleted_slice_comes_back(world: World) -> None:
    world.create("services", service())
    world.time.run(1)
    (name,) = world.names(SLICES)
    world.delete(SLICES, name)
    world.time.run(1)
    assert len(world.names(SLICES)) == 1


def test_a_pod_that_has_ended_is_in_no_slice(world: World) -> None:
    world.create("services", service())
    world.kubelet.exits["app:v1"] = 0
    spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "app:v1"}]}
    metadata = {"name": "once", "labels": {"app": "web"}}
    world.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    world.time.run(0.3)
    assert len(conditions(world)) == 1
    world.time.run(2)
    assert conditions(world) == []
