"""Columns of one signal while they grow.

Everything is a column, so a part costs no tuple and no dict per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple, TypeAlias

from opslib.core.columns import COLUMNS, MAX_TEXT, SignalFile

UNKNOWN_SERVICE = "unknown_service"  # what the conventions call a resource without a name

Batch: TypeAlias = Mapping[str, Sequence[Any] | None]


class Source(NamedTuple):
    """What a resource says of all its records."""

    service_name: str
    service_version: str | None
    k8s_pod_name: str | None
    k8s_namespace_name: str | None


def source_of(attributes: Mapping[str, Any], service: str | None = None) -> Source:
    """Return the columns that come from a resource's attributes; `service` where the format says it apart."""
    name = service or attributes.get("service.name")
    version, pod, namespace = (
        _text(attributes.get(key)) for key in ("service.version", "k8s.pod.name", "k8s.namespace.name")
    )
    return Source(_text(name) or UNKNOWN_SERVICE, version, pod, namespace)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)[:MAX_TEXT]


class Table:
    """The rows of one signal, column by column."""

    def __init__(self, signal: SignalFile) -> None:
        self.signal = signal
        self.rows = 0
        self._columns: dict[str, list[Any]] = {column.name: [] for column in COLUMNS[signal]}

    def add(self, batch: Batch, good: Sequence[bool]) -> None:
        """Append columns of one length, of them only the good rows; a column that is None or absent is null."""
        kept = good.count(True)
        for name, column in self._columns.items():
            values = batch.get(name)
            if values is None:
                column.extend([None] * kept)
            else:
                column.extend(values if kept == len(good) else compress(values, good))
        self.rows += kept

    def take(self) -> dict[str, list[Any] | None]:
        """Return all rows, None for a column that is null throughout, and start anew."""
        taken = self._columns
        self._columns = {name: [] for name in taken}
        self.rows = 0
        return {name: None if column.count(None) == len(column) else column for name, column in taken.items()}
