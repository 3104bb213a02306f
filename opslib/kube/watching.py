"""List, then watch: what a watch tells is never less than what a new list would show.

A watch is opened for a few seconds at a time, with bookmarks, from the last version seen. Where the server has forgotten
that version (410), or says what is no event, all is listed again, and what vanished meanwhile is told as DELETED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import ClusterError, OpslibError
from opslib.core.foreign import read_json
from opslib.kube.objects import Object
from opslib.kube.protocol import Change
from opslib.kube.wire import Response

QUIET_S = 5
_GRACE_S = 5.0  # a server that has not ended the watch by then is cut off
_PAUSE_S = 0.2  # between a watch that broke off and the next, doubling
_LONGEST_PAUSE_S = 5.0

List = Callable[[], tuple[list[Object], str]]
Open = Callable[[dict[str, str], float], AbstractContextManager[tuple[Response, Iterator[bytes]]]]


class _ForgottenError(Exception):
    """The version to watch from is too old."""


class Watch:
    """One watch; `changes` may be taken once."""

    def __init__(
        self, list_: List, open_: Open, failure: Callable[[Response], OpslibError], clock: Clock
    ) -> None:
        self._list = list_
        self._open = open_
        self._failure = failure
        self._clock = clock
        self._known: dict[str, Object] = {}
        self._version = ""
        self._broken = 0

    def changes(self) -> Iterator[Change]:
        """Yield changes for ever; the list behind them is retried as any call, and then raises."""
        yield from self._relist()
        while True:
            yield Change("QUIET", {})
            try:
                yield from self._watched()
                self._broken = 0
            except _ForgottenError:
                self._pause()
                yield from self._relist()
            except ClusterError:
                self._pause()

    def _pause(self) -> None:
        self._clock.sleep(min(_PAUSE_S * 2 ** min(self._broken, 10), _LONGEST_PAUSE_S))
        self._broken += 1

    def _relist(self) -> Iterator[Change]:
        items, self._version = self._list()
        found = {item["metadata"]["uid"]: item for item in items}
        for uid in [uid for uid in self._known if uid not in found]:
            yield Change("DELETED", self._known.pop(uid))
        for uid, item in found.items():
            before = self._known.get(uid)
            if before is None or _version(before) != _version(item):
                self._known[uid] = item
                yield Change("MODIFIED" if before else "ADDED", item)

    def _watched(self) -> Iterator[Change]:
        """Yield one connection's changes until the server ends it."""
        query = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(QUIET_S),
        }
        with self._open(query, QUIET_S + _GRACE_S) as (response, lines):
            if response.status == 410:
                raise _ForgottenError
            if response.status in {429, 500, 502, 503, 504}:
                raise ClusterError("the watch was refused for now")
            if response.status != 200:
                raise self._failure(response)
            for line in lines:
                change = self._understood(line)
                if change is not None:
                    self._broken = 0
                    yield change

    def _understood(self, line: bytes) -> Change | None:
        event = _event(line)
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise _ForgottenError if item.get("code") == 410 else ClusterError("the watch broke off")
        self._version = _version(item)
        if kind == "BOOKMARK":
            return None
        uid = item["metadata"]["uid"]
        if kind == "DELETED":
            self._known.pop(uid, None)
        else:
            self._known[uid] = item
        return Change(kind, item)


def _version(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])


def _event(line: bytes) -> Any:
    """Return an event of a watch. Raises _ForgottenError for what is none: half a line, or another language."""
    try:
        event = read_json(line)
    except ValueError:
        raise _ForgottenError from None
    whole = isinstance(event, dict) and isinstance(event.get("object"), dict)
    if not whole or event.get("type") not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"}:
        raise _ForgottenError
    metadata = event["object"].get("metadata")
    if event["type"] == "ERROR" or (isinstance(metadata, dict) and "resourceVersion" in metadata):
        return event
    raise _ForgottenError
