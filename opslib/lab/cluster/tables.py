"""Tables: what `kubectl get` prints. One row per object, cells in the words of the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opslib.lab.cluster.cells import MADE, TABLES, Seen
from opslib.lab.cluster.jsonpaths import values_at
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Column, Resource

_NAME = Column("Name", ".metadata.name")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")


def _built_in(line: str) -> tuple[Column, ...]:
    columns = [_column(word) for word in line.split()[1:]]
    return tuple(columns) if any(c.name == "Name" for c in columns) else (_NAME, *columns)


def _column(word: str) -> Column:
    name, _, path = word.lstrip("*#").partition("=")
    kind = "integer" if "#" in word[:2] else "string"
    return Column(name.replace("_", " "), path, kind, priority=int(word.startswith("*")))


_BUILT_IN = {line.split()[0]: _built_in(line) for line in TABLES.strip().splitlines()}


class Tables:
    """Shows objects of one resource as tables; `include` is Metadata, Object or None, as clients ask."""

    def __init__(self, resource: Resource, now_ns: Callable[[], int], include: str = "Metadata") -> None:
        self._columns = _BUILT_IN.get(resource.name) or (_NAME, *(resource.columns or (_AGE,)))
        self._now_ns = now_ns
        self._include = include
        self._headed = False
        self._no_number = None if resource.custom else 0  # built-in counters that are zero are left out

    def table(self, objects: Iterable[Object], metadata: Mapping[str, Any]) -> Object:
        """Return the table of a list."""
        rows = [self._row(obj, self._now_ns()) for obj in objects]
        return self._table(rows, metadata, self._definitions())

    def event(self, obj: Object) -> Object:
        """Return the table of one event of a watch; only the first one bears the columns."""
        definitions = None if self._headed else self._definitions()
        self._headed = True
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return self._table([self._row(obj, self._now_ns())], metadata, definitions)

    def _table(self, rows: list[Object], metadata: Mapping[str, Any], definitions: Any) -> Object:
        table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": dict(metadata)}
        return {**table, "columnDefinitions": definitions, "rows": rows}

    def _definitions(self) -> list[Object]:
        return [
            {
                "name": column.name,
                "type": column.type,
                "format": "name" if column.name == "Name" else column.format,
                "description": column.description,
                "priority": column.priority,
            }
            for column in self._columns
        ]

    def _row(self, obj: Object, now_ns: int) -> Object:
        bookmark = "name" not in obj["metadata"]
        cells = [None if bookmark else self._cell(c, Seen(obj, now_ns)) for c in self._columns]
        row: Object = {"cells": cells}
        if self._include == "Object":
            row["object"] = obj
        elif self._include != "None":
            partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            row["object"] = {**partial, "metadata": obj["metadata"]}
        return row

    def _cell(self, column: Column, seen: Seen) -> Any:
        if column.path in MADE:
            return MADE[column.path](seen)
        values = values_at(seen.obj, column.path)
        if column.type == "date":
            return seen.since(values[0]) if values else None
        if column.type in {"integer", "number", "boolean"}:
            return values[0] if values else self._no_number
        return ",".join(str(value) for value in values) or "<none>"
