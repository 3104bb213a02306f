"""Columns of one signal while they grow.

Everything is a column: lists of texts and arrays of numbers, so a part costs no tuple and no dict per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from opslib.core.columns import COLUMNS, MAX_TEXT, SignalFile

UNKNOWN_SERVICE = "unknown_service"  # what the conventions call a resource without a name

Values: TypeAlias = "Sequence[Any] | NDArray[Any] | None"
Batch: TypeAlias = Mapping[str, Values]


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
        self._texts: dict[str, list[Any]] = {c.name: [] for c in COLUMNS[signal] if c.type == "VARCHAR"}
        self._numbers: dict[str, list[NDArray[Any]]] = {
            c.name: [] for c in COLUMNS[signal] if c.type != "VARCHAR"
        }

    def add(self, batch: Batch, good: NDArray[np.bool_] | None = None) -> None:
        """Append columns of one length, of them only the good rows; a column that is None or absent is null."""
        size = max(len(values) for values in batch.values() if values is not None)
        keep = None if good is None or good.all() else good
        kept = size if keep is None else int(keep.sum())
        for name, texts in self._texts.items():
            values = batch.get(name)
            if values is None:
                texts.extend([None] * kept)
            else:
                texts.extend(values if keep is None else compress(values, keep.tolist()))
        for name, parts in self._numbers.items():
            numbers = np.asarray(batch[name])
            parts.append(numbers if keep is None else numbers[keep])
        self.rows += kept

    def take(self) -> dict[str, NDArray[Any] | None]:
        """Return all rows as arrays, None for a column that is null throughout, and start anew."""
        columns: dict[str, NDArray[Any] | None] = {}
        for name, texts in self._texts.items():
            empty = not any(map(_is_text, texts))
            columns[name] = None if empty else np.array(texts, dtype=object)
            self._texts[name] = []
        for name, parts in self._numbers.items():
            columns[name] = np.concatenate(parts) if parts else np.zeros(0, np.int64)
            self._numbers[name] = []
        self.rows = 0
        return columns


def _is_text(value: object) -> bool:
    return value is not None
