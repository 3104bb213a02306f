"""What spans of every format share: the words for kind and status, which rows cannot be kept, and how the rest is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from operator import and_, gt
from typing import Any

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

Times = Sequence[int | None]  # in ns, None for what is no time


def add_spans(
    batch: Batch,
    sources: Sequence[Source],
    times: tuple[Times, Times],
    table: Table,
    refused: Counter[str],
) -> None:
    """Add a batch whose ids are normalised (None where they are none); `times`: their starts and ends."""
    start, end = times
    good = _good(batch, start, end, refused)
    if any(map(gt, compress(start, good), compress(end, good))):  # type: ignore[arg-type]
        ends = [max(pair) if ok else None for ok, *pair in zip(good, start, end, strict=True)]  # type: ignore[type-var]
        refused[BACKWARDS] += sum(ok and e != last for ok, e, last in zip(good, end, ends, strict=True))
        end = ends
    service, version, pod, namespace = zip(*sources, strict=True)
    columns = {
        **batch,
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "service_name": service,
        "service_version": version,
        "k8s_pod_name": pod,
        "k8s_namespace_name": namespace,
    }
    table.add(columns, good)


def _good(batch: Batch, start: Times, end: Times, refused: Counter[str]) -> list[bool]:
    """Return which rows can be kept, and count the others."""
    traces, spans = batch["trace_id"] or (), batch["span_id"] or ()
    if not any(None in column for column in (traces, spans, start, end)) and max(end) <= MAX_NS:  # type: ignore[type-var,operator]
        return [True] * len(end)
    named = [trace is not None and span is not None for trace, span in zip(traces, spans, strict=True)]
    timed = [s is not None and e is not None and e <= MAX_NS for s, e in zip(start, end, strict=True)]
    good = list(map(and_, named, timed))
    lost = named.count(False)
    for reason, rows in ((BAD_ID, lost), (BAD_TIME, good.count(False) - lost)):
        if rows:
            refused[reason] += rows
    return good


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
