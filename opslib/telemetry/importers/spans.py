"""What spans of every format share: the words for kind and status, which rows cannot be kept, and how the rest is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opslib.core.ids import SPAN_BYTES, all_hex, hex_id
from opslib.core.units import MAX_NS
from opslib.telemetry.importers.tables import Batch, Source, Table

_KIND_WORDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS_WORDS = ("UNSET", "OK", "ERROR")

# Every spelling in use: OTLP's number, its enum name, Jaeger's tag.
KINDS: dict[Any, str] = {
    spelling: word
    for number, word in enumerate(_KIND_WORDS)
    for spelling in (number, str(number), word, word.lower(), f"SPAN_KIND_{word}")
}
STATUSES: dict[Any, str] = {
    spelling: word
    for number, word in enumerate(_STATUS_WORDS)
    for spelling in (number, str(number), word, word.lower(), f"STATUS_CODE_{word}")
}

BAD_ID = "span without a usable trace or span id"
BAD_TIME = "span whose times are missing, negative or beyond 64 bits (year 2262)"
BAD_PARENT = "span whose parent id is no id: kept as a root"
BACKWARDS = "span that ends before it starts: kept with no duration"

_ZERO = "0" * (2 * SPAN_BYTES)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def add_spans(
    batch: Batch,
    sources: Sequence[Source],
    times: tuple[Ints, Ints, Bools],
    table: Table,
    refused: Counter[str],
) -> None:
    """Add a batch whose ids are normalised (None where they are none); `times`: start, end in ns, which are times."""
    start, end, timed = times
    timed = timed & (end <= MAX_NS)
    ids = _known(batch["trace_id"]) & _known(batch["span_id"])
    good = ids & timed
    service, version, pod, namespace = zip(*sources, strict=True)
    backwards = good & (end < start)
    for reason, rows in ((BAD_ID, ~ids), (BAD_TIME, ids & ~timed), (BACKWARDS, backwards)):
        if rows.any():
            refused[reason] += int(rows.sum())
    columns = {
        **batch,
        "start_time_unix_nano": start,
        "end_time_unix_nano": np.maximum(start, end),
        "service_name": service,
        "service_version": version,
        "k8s_pod_name": pod,
        "k8s_namespace_name": namespace,
    }
    table.add(columns, good)


def parent_ids(values: Sequence[Any], refused: Counter[str], *, short_hex: bool = False) -> list[str | None]:
    """Return a column of parent ids, None where there is none; one that is no id is counted."""
    named = [value for value in values if value]
    if all_hex(named, 2 * SPAN_BYTES) and _ZERO not in named:
        return [value or None for value in values]
    parents = [hex_id(value, SPAN_BYTES, short_hex=short_hex) if value else None for value in values]
    lost = sum(
        parent is None and not _is_zero(value) for parent, value in zip(parents, values, strict=True) if value
    )
    if lost:
        refused[BAD_PARENT] += lost
    return parents


def _is_zero(value: Any) -> bool:
    return not any(value) if isinstance(value, bytes) else not value.strip("0")


def _known(ids: Any) -> Bools:
    if None not in ids:
        return np.ones(len(ids), np.bool_)
    return np.array([value is not None for value in ids], np.bool_)
