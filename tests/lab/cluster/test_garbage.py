"""What goes with its owner, what stays, and how namespaces begin and end."""

import pytest
from cluster_world import USER, World, deployment

from opslib.lab.cluster.api import Object
from opslib.lab.cluster.metadata import with_metadata
from opslib.lab.cluster.statuses import StatusError

D, RS = "deployments.apps", "replicasets.apps"


@pytest.fixture
def world() -> World:
    world = World()
    world.create(D, deployment())
    world.time.run(5)
    return world


def config(name: str, *owners: Object, block: bool = False) -> Object:
    refs = [
        {
            "apiVersion": o["apiVersion"],
            "kind": o["kind"],
            "name": o["metadata"]["name"],
            "uid": o["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if block else {}),
        }
        for o in owners
    ]
    metadata = {"name": name, **({"ownerReferences": refs} if refs else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def deleted(world: World) -> list[str]:
    """Resources of what has gone, in order, one word for each run of the same."""
    found: list[str] = []
    for event in world.history:
        if event.type == "DELETED" and event.resource in {D, RS, "pods"} and event.resource not in found[-1:]:
            found.append(event.resource)
    return found


def test_background_deletes_the_owner_first(world: World) -> None:
    world.history.clear()
    world.delete(D, "web", propagation="Background")
    assert world.names(D) == []
    world.time.run(5)

    assert deleted(world) == [D, RS, "pods"]
    assert world.names("pods") == []


def test_foreground_deletes_the_owner_last(world: World) -> None:
    world.history.clear()
    world.delete(D, "web", propagation="Foreground")
    world.time.run(0.5)
    assert world.get(D, "web")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert len(world.names("pods")) == 3
    world.time.run(5)

    assert deleted(world) == ["pods", RS, D]


def test_orphan_leaves_the_dependents(world: World) -> None:
    world.delete(D, "web", propagation="Orphan")
    world.time.run(5)

    assert world.names(D) == []
    (replica_set,) = world.api.list(RS)
    assert "ownerReferences" not in replica_set["metadata"]
    assert len(world.names("pods")) == 3


def test_one_of_two_owners_is_enough_to_stay_and_the_lost_one_is_forgotten(world: World) -> None:
    first, second = world.create("configmaps", config("first")), world.create("configmaps", config("second"))
    world.create("configmaps", config("child", first, second))
    world.delete("configmaps", "first")
    world.time.run(1)
    refs = world.get("configmaps", "child")["metadata"]["ownerReferences"]
    assert [ref["name"] for ref in refs] == ["second"]
    world.delete("configmaps", "second")
    world.time.run(1)
    assert "child" not in world.names("configmaps")


def test_an_owner_of_the_same_name_with_another_uid_is_no_owner(world: World) -> None:
    owner = world.create("configmaps", config("owner"))
    world.delete("configmaps", "owner")
    world.create("configmaps", config("owner"))
    world.create("configmaps", config("child", owner))
    world.time.run(1)
    assert "child" not in world.names("configmaps")


def test_what_was_lost_while_nobody_looked_is_collected_after_a_start(world: World) -> None:
    owner = world.create("configmaps", config("owner"))
    world.create("configmaps", config("child", owner))
    world.controllers.stop()
    world.delete("configmaps", "owner")
    world.time.run(5)
    assert "child" in world.names("configmaps")
    world.controllers = world.start()
    world.time.run(5)
    assert "child" not in world.names("configmaps")


def test_a_finalizer_of_somebody_else_is_waited_for(world: World) -> None:
    owner = world.create("configmaps", config("owner"))
    child = config("child", owner, block=True)
    world.create("configmaps", with_metadata(child, finalizers=["example.org/wait"]))
    world.delete("configmaps", "owner", propagation="Foreground")
    world.time.run(5)
    assert {"owner", "child"} <= set(world.names("configmaps"))
    world.patch("configmaps", "child", {"metadata": {"finalizers": None}})
    world.time.run(5)
    assert not {"owner", "child"} & set(world.names("configmaps"))


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def test_a_namespace_begins_with_an_account_and_the_ca_and_gets_them_back(world: World) -> None:
    world.create("namespaces", namespace("shop"), "")
    world.time.run(1)
    assert world.names("serviceaccounts", "shop") == ["default"]
    assert world.get("configmaps", "kube-root-ca.crt", "shop")["data"] == {"ca.crt": "the CA"}
    world.delete("serviceaccounts", "default", "shop")
    world.delete("configmaps", "kube-root-ca.crt", "shop")
    world.time.run(1)
    assert world.names("serviceaccounts", "shop") == ["default"]
    assert world.names("configmaps", "shop") == ["kube-root-ca.crt"]


def test_a_namespace_ends_with_all_that_is_in_it(world: World) -> None:
    world.create("namespaces", namespace("shop"), "")
    world.time.run(1)
    world.create(D, deployment(), "shop")
    world.time.run(5)
    world.kubelet.stop_s = 3.0
    world.delete("namespaces", "shop", "")
    world.time.run(1)
    assert world.get("namespaces", "shop", "")["status"]["phase"] == "Terminating"
    assert world.names(D, "shop") == []
    assert len(world.names("pods", "shop")) == 3
    with pytest.raises(StatusError, match="is being terminated"):
        world.create("configmaps", config("late"), "shop")
    world.history.clear()
    world.time.run(10)

    assert "shop" not in world.names("namespaces", "")
    last = [e.object for e in world.history if e.resource == "namespaces"][-1]
    told = {c["type"]: c["status"] for c in last["status"]["conditions"]}
    assert len(told) == 5
    assert set(told.values()) == {"False"}
    for resource in world.api.resources:
        assert not resource.stored or not resource.namespaced or not world.api.list(resource.name, "shop")


def test_a_namespace_waits_for_finalizers_in_it(world: World) -> None:
    world.create("namespaces", namespace("shop"), "")
    world.time.run(1)
    held = with_metadata(config("held"), finalizers=["example.org/wait"])
    world.create("configmaps", held, "shop")
    world.delete("namespaces", "shop", "")
    world.time.run(5)
    assert "shop" in world.names("namespaces", "")
    world.api.patch("configmaps", "shop", "held", {"metadata": {"finalizers": None}}, "merge", USER)
    world.time.run(5)
    assert "shop" not in world.names("namespaces", "")


def test_the_ca_of_a_namespace_is_put_right_again(world: World) -> None:
    world.patch("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "another"}})
    world.time.run(1)
    assert world.get("configmaps", "kube-root-ca.crt")["data"] == {"ca.crt": "the CA"}
