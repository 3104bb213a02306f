"""All objects, in memory for reading and on disk for the next start, in one order of revisions.

Every change takes the next revision, is on disk before anybody hears of it, and is told to all subscribers in order.
The last changes are kept, so that a list can be read as of an earlier revision and a watch can begin there; beyond them
the answer is `None`. An object handed out is never changed afterwards.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource

HISTORY = 4096  # changes that a watch can go back

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (resource TEXT, namespace TEXT, name TEXT, body BLOB, PRIMARY KEY (resource, namespace, name));
CREATE TABLE IF NOT EXISTS revision (id INTEGER PRIMARY KEY CHECK (id = 0), value INTEGER);
INSERT OR IGNORE INTO revision VALUES (0, 1);
"""
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """One change; `object` bears its resourceVersion, also when it is DELETED; `previous` is what it was before."""

    type: str
    resource: str
    object: Object
    previous: Object | None
    revision: int


class Store:
    """Objects by resource, namespace and name. `path` is the database file; None keeps all in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        self._tables: dict[str, dict[_Key, Object]] = {}
        self._history: deque[Event] = deque()
        self._subscribers: dict[object, Callable[[Event], None]] = {}
        self._untold: deque[Event] = deque()
        self.revision: int = self._database.execute("SELECT value FROM revision").fetchone()[0]
        self.compacted = self.revision  # what was before is not known any more
        for resource, namespace, name, body in self._database.execute("SELECT * FROM objects"):
            self._tables.setdefault(resource, {})[namespace, name] = msgspec.json.decode(body)

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        return self._tables.get(resource, {}).get((namespace, name))

    def scan(self, resource: str, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace ("": of all) in the order of namespace and name."""
        return _in_order(self._tables.get(resource, {}), namespace)

    def scan_at(self, resource: str, namespace: str, revision: int) -> list[Object] | None:
        """Return what `scan` returned at a revision; None where that is not known any more."""
        if revision < self.compacted:
            return None
        table = dict(self._tables.get(resource, {}))
        for event in reversed(self._history):
            if event.revision <= revision:
                break
            if event.resource != resource:
                continue
            if event.previous is None:
                del table[_key(event.object)]
            else:
                table[_key(event.object)] = event.previous
        return _in_order(table, namespace)

    def since(self, resource: str, revision: int) -> list[Event] | None:
        """Return the changes of a resource after a revision; None where they are not all known any more."""
        if revision < self.compacted:
            return None
        return [e for e in self._history if e.revision > revision and e.resource == resource]

    def put(self, resource: Resource, obj: Object) -> Object:
        """Keep an object, new or changed; return it with its resourceVersion."""
        previous = self.get(resource.name, *_key(obj))
        kept = self._revised(obj)
        body = msgspec.json.encode(kept)
        self._commit("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (resource.name, *_key(obj), body))
        self._tables.setdefault(resource.name, {})[_key(obj)] = kept
        self._tell(Event("MODIFIED" if previous else "ADDED", resource.name, kept, previous, self.revision))
        return kept

    def remove(self, resource: Resource, namespace: str, name: str) -> Object:
        """Forget an object; return its last state with the resourceVersion of its end. Raises KeyError."""
        previous = self._tables[resource.name][namespace, name]
        gone = self._revised(previous)
        self._commit(
            "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?",
            (resource.name, namespace, name),
        )
        del self._tables[resource.name][namespace, name]
        self._tell(Event("DELETED", resource.name, gone, previous, self.revision))
        return gone

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have every change told, in order, as soon as it is kept; return what ends that."""
        key = object()
        self._subscribers[key] = callback
        return lambda: self._subscribers.pop(key, None) and None

    def compact(self) -> None:
        """Forget the history: whoever watches from an earlier revision has to list again."""
        self._history.clear()
        self.compacted = self.revision

    def close(self) -> None:
        self._database.close()

    def _revised(self, obj: Object) -> Object:
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision + 1)}}

    def _commit(self, statement: str, values: tuple[object, ...]) -> None:
        self._database.execute("BEGIN")
        try:
            self._database.execute(statement, values)
            self._database.execute("UPDATE revision SET value = ?", (self.revision + 1,))
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        self.revision += 1

    def _tell(self, event: Event) -> None:
        self._history.append(event)
        if len(self._history) > HISTORY:
            self.compacted = self._history.popleft().revision
        self._untold.append(event)
        if len(self._untold) > 1:  # a subscriber has written: whoever tells now goes on with this one
            return
        while self._untold:
            for callback in list(self._subscribers.values()):
                callback(self._untold[0])
            self._untold.popleft()


def _key(obj: Object) -> _Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _in_order(table: dict[_Key, Object], namespace: str) -> list[Object]:
    return list(_sorted(table, namespace))


def _sorted(table: dict[_Key, Object], namespace: str) -> Iterator[Object]:
    return (table[key] for key in sorted(table) if not namespace or key[0] == namespace)
