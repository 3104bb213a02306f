"""Watches: every change of a selection, in order and once each, until the client, the time or a fault ends it.

A watcher that does not keep up is ended with 410, as one that begins too far back: it lists again, nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from opslib.lab.cluster.causes import forbidden
from opslib.lab.cluster.lists import Selection, revision_of
from opslib.lab.cluster.metadata import with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.statuses import StatusError, gone, internal, invalid_options
from opslib.lab.cluster.store import Event, Store

BOOKMARK_EVERY_S = 60.0
_BOOKMARK_BEFORE_END_S = 1.5
_LONGEST_S = 3600.0
_BACKLOG = 20_000
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})

View = Callable[[Object], Object]  # how a client wants objects shown: plainly, as a table, in another version


def truth(text: str) -> bool:
    """Read a boolean parameter as Go does."""
    return text in _TRUE


class Watches:
    """All open watches; one change is encoded once for all that want it plainly."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[Watch, str] = {}
        self._unsubscribe = store.subscribe(self._tell)

    def __len__(self) -> int:
        return len(self._open)

    def open(
        self, resource: Resource, selection: Selection, query: Mapping[str, str], view: View | None
    ) -> Watch:
        """Begin a watch at the state or the revision that a request asks for. Raises StatusError 422, 500."""
        bookmarks = truth(query.get("allowWatchBookmarks", ""))
        timeout_s = _timeout_s(query)
        watch = Watch(self._store, resource, selection, view, bookmarks=bookmarks, timeout_s=timeout_s)
        try:
            self._begin(watch, resource, selection, query)
        except StatusError as error:
            if error.code != 410:
                raise
            watch.fail(error)
        self._open[watch] = resource.name
        return watch

    def close(self, watch: Watch) -> None:
        self._open.pop(watch, None)

    def drop(self, resource: str = "") -> None:
        """End all watches of a resource ("": of all), as a restarting server does."""
        for watch, name in list(self._open.items()):
            if resource in {"", name}:
                watch.end()

    def shutdown(self) -> None:
        self._unsubscribe()
        self.drop()

    def _begin(
        self, watch: Watch, resource: Resource, selection: Selection, query: Mapping[str, str]
    ) -> None:
        text = query.get("resourceVersion", "")
        initial = _initial_events(query)
        try:
            revision = revision_of(text or "0")
        except StatusError as error:
            raise internal(str(error)) from error
        if initial or (initial is None and not revision):
            present = self._store.scan(resource.name, selection.namespace)
            watch.begin(o for o in present if selection.matches(o))
            return
        past = self._store.since(resource.name, revision) if revision else []
        if past is None:
            raise gone(f"too old resource version: {revision} ({self._store.compacted})")
        watch.skip_to(revision)
        for event in past:
            watch.offer(event, {})

    def _tell(self, event: Event) -> None:
        encoded: dict[str, bytes] = {}
        for watch, name in list(self._open.items()):
            if name == event.resource:
                watch.offer(event, encoded)


class Watch:
    """One watch; `stream` yields what is to be sent, each event a line of JSON."""

    def __init__(
        self,
        store: Store,
        resource: Resource,
        selection: Selection,
        view: View | None,
        *,
        bookmarks: bool,
        timeout_s: float,
    ) -> None:
        self._store = store
        self._resource = resource
        self._selection = selection
        self._view = view
        self._bookmarks = bookmarks
        self._timeout_s = timeout_s
        self._lines: deque[bytes] = deque()
        self._ready = asyncio.Event()
        self._ended = False
        self._revision = 0

    def begin(self, present: Iterable[Object]) -> None:
        """Tell what is there, and where bookmarks are wanted that this was all."""
        self._revision = self._store.revision
        for obj in present:
            self._add("ADDED", obj)
        if self._bookmarks:
            self._bookmark({"k8s.io/initial-events-end": "true"})

    def skip_to(self, revision: int) -> None:
        self._revision = revision

    def offer(self, event: Event, encoded: dict[str, bytes]) -> None:
        """Take a change if it is of this selection; `encoded` shares the lines of one change among watches."""
        if event.revision <= self._revision or self._ended:
            return
        now = event.type != "DELETED" and self._selection.matches(event.object)
        before = event.previous is not None and self._selection.matches(event.previous)
        if not now and not before:
            return
        if now:
            kind, obj = ("MODIFIED" if before else "ADDED"), event.object
        else:
            assert event.previous is not None  # it matched
            kind, obj = "DELETED", with_metadata(event.previous, resourceVersion=str(event.revision))
        if self._view is not None:
            self._add(kind, obj)
        else:
            if kind not in encoded:
                encoded[kind] = _line(kind, obj)
            self._push(encoded[kind])

    def fail(self, error: StatusError) -> None:
        """End with an error that the client reads as an event."""
        self._push(_line("ERROR", error.body))
        self.end()

    def end(self) -> None:
        self._ended = True
        self._ready.set()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield lines as they come; ends at the time limit or when the watch was ended."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout_s
        last_bookmark = max(end - _BOOKMARK_BEFORE_END_S, loop.time())
        bookmark = min(loop.time() + BOOKMARK_EVERY_S, last_bookmark)
        yield self._taken()
        while not self._ended and loop.time() < end:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(bookmark, end)):
                    await self._ready.wait()
            if loop.time() >= bookmark:
                if self._bookmarks:
                    self._bookmark({})
                later = bookmark + BOOKMARK_EVERY_S
                bookmark = end if bookmark >= last_bookmark else min(later, last_bookmark)
            if self._lines:
                yield self._taken()

    def _taken(self) -> bytes:
        lines = b"".join(self._lines)
        self._lines.clear()
        if not self._ended:
            self._ready.clear()
        return lines

    def _bookmark(self, annotations: Mapping[str, str]) -> None:
        metadata: dict[str, Any] = {"resourceVersion": str(max(self._store.revision, self._revision))}
        if annotations:
            metadata["annotations"] = dict(annotations)
        marked = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
        self._add("BOOKMARK", marked)

    def _add(self, kind: str, obj: Object) -> None:
        self._push(_line(kind, self._view(obj) if self._view else obj))

    def _push(self, line: bytes) -> None:
        if len(self._lines) >= _BACKLOG:
            self._lines.clear()
            self._lines.append(_line("ERROR", gone("the watcher does not keep up").body))
            self.end()
            return
        self._lines.append(line)
        self._ready.set()


def _line(kind: str, obj: Object) -> bytes:
    return msgspec.json.encode({"type": kind, "object": obj}) + b"\n"


def _timeout_s(query: Mapping[str, str]) -> float:
    text = query.get("timeoutSeconds", "")
    return min(float(text), _LONGEST_S) if text.isascii() and text.isdecimal() and int(text) else _LONGEST_S


def _initial_events(query: Mapping[str, str]) -> bool | None:
    """Return whether the present state is to be sent first; None where the request does not say."""
    text = query.get("sendInitialEvents")
    if text is None:
        return None
    match = query.get("resourceVersionMatch", "")
    if match != "NotOlderThan":
        detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise invalid_options("ListOptions", [forbidden("resourceVersionMatch", detail)])
    return truth(text)
