"""Watches: what a client hears, in order and once each, whatever it begins with."""

import asyncio
import json
from collections.abc import Callable

import pytest

from opslib.lab.cluster import watches as module
from opslib.lab.cluster.lists import Selection
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Store
from opslib.lab.cluster.tables import Tables
from opslib.lab.cluster.watches import Watches

CONFIGMAPS = Resources().find("configmaps")


class Told:
    """One watch and what it has said so far."""

    def __init__(self, watches: Watches, view=None, namespace: str = "", **query: str) -> None:
        selection = Selection.of(namespace, query, CONFIGMAPS)
        self.watch = watches.open(CONFIGMAPS, selection, query, view)
        self.stream = self.watch.stream()

    async def next(self) -> list[dict]:
        lines = await asyncio.wait_for(anext(self.stream), 10)
        return [json.loads(line) for line in lines.splitlines()]

    async def rest(self) -> list[dict]:
        return [json.loads(line) async for lines in self.stream for line in lines.splitlines()]


def put(store: Store, name: str, value: str = "1", **labels: str) -> str:
    metadata = {"name": name, "namespace": "shop", "uid": name, "labels": labels}
    return store.put(CONFIGMAPS, {"metadata": metadata, "data": {"v": value}})["metadata"]["resourceVersion"]


def said(events: list[dict]) -> list[tuple[str, str]]:
    return [(e["type"], e["object"]["metadata"]["name"]) for e in events]


def run(test: Callable) -> None:
    store = Store()
    asyncio.run(test(store, Watches(store)))


def test_without_a_revision_it_begins_with_what_is_there() -> None:
    async def test(store: Store, watches: Watches) -> None:
        put(store, "a")
        told = Told(watches)
        put(store, "b")
        put(store, "a", "2")
        store.remove(CONFIGMAPS, "shop", "b")
        assert said(await told.next()) == [
            ("ADDED", "a"),
            ("ADDED", "b"),
            ("MODIFIED", "a"),
            ("DELETED", "b"),
        ]

    run(test)


def test_from_a_revision_it_goes_on_after_that() -> None:
    async def test(store: Store, watches: Watches) -> None:
        revision = put(store, "a")
        put(store, "b")
        told = Told(watches, resourceVersion=revision)
        assert said(await told.next()) == [("ADDED", "b")]
        put(store, "c")
        assert said(await told.next()) == [("ADDED", "c")]

    run(test)


def test_entering_and_leaving_a_selection_is_adding_and_deleting() -> None:
    async def test(store: Store, watches: Watches) -> None:
        put(store, "a", tier="web")
        told = Told(watches, labelSelector="tier=web", resourceVersion=str(store.revision))
        assert await told.next() == []
        left = put(store, "a", "2")
        put(store, "a", "3")
        put(store, "a", "4", tier="web")
        gone, back = await told.next()
        assert (gone["type"], gone["object"]["data"]) == ("DELETED", {"v": "1"})
        assert gone["object"]["metadata"]["resourceVersion"] == left
        assert (back["type"], back["object"]["data"]) == ("ADDED", {"v": "4"})

    run(test)


def test_other_namespaces_and_names_are_not_heard() -> None:
    async def test(store: Store, watches: Watches) -> None:
        told = Told(watches, namespace="elsewhere")
        named = Told(watches, fieldSelector="metadata.name=b")
        put(store, "a")
        put(store, "b")
        assert await told.next() == []
        assert said(await named.next()) == [("ADDED", "b")]

    run(test)


@pytest.mark.parametrize(
    "query",
    [{}, {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}, {"resourceVersion": "0"}],
)
def test_the_initial_state_ends_with_a_bookmark_that_says_so(query: dict) -> None:
    async def test(store: Store, watches: Watches) -> None:
        put(store, "a")
        told = Told(watches, allowWatchBookmarks="true", **query)
        first, end = await told.next()
        assert first["type"] == "ADDED"
        assert end["type"] == "BOOKMARK"
        assert end["object"]["kind"] == "ConfigMap"
        assert end["object"]["metadata"] == {
            "resourceVersion": str(store.revision),
            "annotations": {"k8s.io/initial-events-end": "true"},
        }

    run(test)


def test_initial_events_need_a_match() -> None:
    async def test(_: Store, watches: Watches) -> None:
        with pytest.raises(
            StatusError, match="sendInitialEvents requires setting resourceVersionMatch"
        ) as raised:
            Told(watches, sendInitialEvents="true")
        assert raised.value.code == 422
        with pytest.raises(StatusError) as raised:
            Told(watches, resourceVersion="abc")
        assert raised.value.code == 500
        assert len(watches) == 0

    run(test)


def test_too_old_a_revision_is_told_as_an_event() -> None:
    async def test(store: Store, watches: Watches) -> None:
        put(store, "a")
        put(store, "b")
        store.compact()
        (error,) = await Told(watches, resourceVersion="2").rest()
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == (
            "ERROR",
            410,
            "Expired",
        )
        assert error["object"]["message"] == "too old resource version: 2 (3)"

    run(test)


def test_bookmarks_come_in_time_and_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BOOKMARK_EVERY_S", 0.05)

    async def test(store: Store, watches: Watches) -> None:
        marked = Told(watches, resourceVersion="1", allowWatchBookmarks="1", timeoutSeconds="1")
        plain = Told(watches, resourceVersion="1", timeoutSeconds="1")
        put(store, "a")
        events = await marked.rest()
        assert events[0]["type"] == "ADDED"
        assert {e["type"] for e in events[1:]} == {"BOOKMARK"}
        assert {e["object"]["metadata"]["resourceVersion"] for e in events[1:]} == {str(store.revision)}
        assert [e["type"] for e in await plain.rest()] == ["ADDED"]

    run(test)


def test_who_does_not_keep_up_is_told_to_list_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKLOG", 5)

    async def test(store: Store, watches: Watches) -> None:
        told = Told(watches)
        for number in range(7):
            put(store, "a", str(number))
        (error,) = await told.rest()
        assert error["object"]["code"] == 410

    run(test)


def test_dropped_and_closed_watches_are_forgotten() -> None:
    async def test(store: Store, watches: Watches) -> None:
        dropped, kept = Told(watches), Told(watches)
        watches.close(kept.watch)
        watches.drop("pods")
        put(store, "a")
        watches.drop()
        assert said(await dropped.rest()) == [("ADDED", "a")]
        watches.close(dropped.watch)
        assert len(watches) == 0

    run(test)


def test_a_table_bears_its_columns_once() -> None:
    async def test(store: Store, watches: Watches) -> None:
        told = Told(watches, view=Tables(CONFIGMAPS, lambda: 0).event, allowWatchBookmarks="true")
        put(store, "a")
        first, second = await told.next()
        assert [c["name"] for c in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert first["type"] == "BOOKMARK"
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][:2] == ["a", 1]

    run(test)
