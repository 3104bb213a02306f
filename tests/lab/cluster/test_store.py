"""The store: one order of revisions, kept over a restart, with a bounded past."""

from pathlib import Path

import pytest

from opslib.lab.cluster import store as module
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.store import Event, Store

CONFIGMAPS = Resources().find("configmaps")


def configmap(name: str, value: str = "1", namespace: str = "shop") -> dict:
    return {"metadata": {"name": name, "namespace": namespace, "uid": name}, "data": {"v": value}}


def names(objects: list) -> list[str]:
    return [f"{o['metadata']['namespace']}/{o['metadata']['name']}" for o in objects]


def test_every_change_takes_the_next_revision_and_is_told_in_order() -> None:
    store, told = Store(), []
    store.subscribe(told.append)

    first = store.put(CONFIGMAPS, configmap("a"))
    store.put(CONFIGMAPS, configmap("a", "2"))
    gone = store.remove(CONFIGMAPS, "shop", "a")

    assert [e.type for e in told] == ["ADDED", "MODIFIED", "DELETED"]
    assert [e.revision for e in told] == [int(first["metadata"]["resourceVersion"]) + n for n in (0, 1, 2)]
    assert told[2].object == gone
    assert gone["metadata"]["resourceVersion"] == str(told[2].revision)
    assert told[1].previous == first
    assert store.get("configmaps", "shop", "a") is None


def test_objects_come_in_the_order_of_namespace_and_name() -> None:
    store = Store()
    for namespace, name in (("b", "a"), ("a-1", "x"), ("a", "z"), ("a", "y")):
        store.put(CONFIGMAPS, configmap(name, namespace=namespace))

    assert names(store.scan("configmaps")) == ["a/y", "a/z", "a-1/x", "b/a"]
    assert names(store.scan("configmaps", "a")) == ["a/y", "a/z"]


def test_a_restart_loses_nothing_and_goes_on_counting(tmp_path: Path) -> None:
    store = Store(tmp_path / "cluster.db")
    kept = store.put(CONFIGMAPS, configmap("a"))
    store.put(CONFIGMAPS, configmap("b"))
    store.remove(CONFIGMAPS, "shop", "b")
    store.close()

    again = Store(tmp_path / "cluster.db")

    assert again.scan("configmaps") == [kept]
    assert again.revision == store.revision
    assert again.since("configmaps", again.revision) == []
    assert again.since("configmaps", again.revision - 1) is None
    assert int(again.put(CONFIGMAPS, configmap("c"))["metadata"]["resourceVersion"]) == store.revision + 1
    again.close()


def test_the_past_can_be_read_as_it_was() -> None:
    store = Store()
    store.put(CONFIGMAPS, configmap("a"))
    store.put(CONFIGMAPS, configmap("b"))
    then, objects = store.revision, store.scan("configmaps")
    store.put(CONFIGMAPS, configmap("a", "2"))
    store.remove(CONFIGMAPS, "shop", "b")
    store.put(CONFIGMAPS, configmap("c"))

    assert store.scan_at("configmaps", "", then) == objects
    assert names(store.scan("configmaps")) == ["shop/a", "shop/c"]


def test_beyond_the_history_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY", 3)
    store = Store()
    for number in range(5):
        store.put(CONFIGMAPS, configmap("a", str(number)))

    assert store.since("configmaps", store.revision - 4) is None
    assert [e.object["data"]["v"] for e in store.since("configmaps", store.revision - 3)] == ["2", "3", "4"]
    assert store.scan_at("configmaps", "", store.revision - 4) is None


def test_a_subscriber_that_writes_does_not_mix_up_the_order() -> None:
    store, told = Store(), []

    def answer(event: Event) -> None:
        if event.object["metadata"]["name"] == "a":
            store.put(CONFIGMAPS, configmap("b"))

    store.subscribe(answer)
    store.subscribe(told.append)
    store.put(CONFIGMAPS, configmap("a"))

    assert [e.object["metadata"]["name"] for e in told] == ["a", "b"]


def test_a_subscriber_can_leave() -> None:
    store, told = Store(), []
    leave = store.subscribe(told.append)
    leave()
    store.put(CONFIGMAPS, configmap("a"))

    assert told == []
