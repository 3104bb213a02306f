"""What the calls of a service bear: attributes of their spans, and version and pod of the services that take part.

Only calls of a bounded, fixed sample of traces are looked at, and of each call a bounded number of spans. What tells
the outcome itself (status, error, attempt ...) or is an id is no attribute that calls could be told apart by.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from opslib.core.blocks import root_rows
from opslib.core.evidence import SpanBlock, Strings
from opslib.core.foreign import json_object
from opslib.core.windows import Windows
from opslib.diagnosis.calls import find_calls
from opslib.diagnosis.mapped import failed_spans
from opslib.diagnosis.roles import roles, trace_windows, where
from opslib.diagnosis.segments import name_of

if TYPE_CHECKING:
    from opslib.diagnosis.critical_path import Ints

SPANS_PER_CALL = 200
_LONGEST = 120  # characters of a value: longer ones are texts, not classes
_PART = re.compile(r"[._\-]")
# words in an attribute's name that tell what became of the call, or who exactly it was
_OUTCOME = {
    "status", "error", "exception", "duration", "elapsed", "latency", "retry", "retries", "resend",
    "attempt", "attempts", "count", "size", "length", "message", "stack", "stacktrace", "thread",
    "process", "pid", "port", "trace", "span", "uuid", "url", "uri", "statement", "query", "otel",
    "telemetry", "code", "peer",
}  # fmt: skip
# attribute of a span or resource -> the word for it; a word's values belong to one service where it is a resource's
_OF_SERVICE = {
    "service.version": "version",
    "k8s.pod.name": "pod",
    "k8s.node.name": "node",
    "host.name": "node",
    "cloud.availability_zone": "zone",
    "cloud.region": "region",
}
_OF_CALL = re.compile(r"(?:^|[._])(tenant|region|zone|customer|user_type|plan)(?:[._](?:id|name|type))?$")


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Something a call can bear. service: whose, "" where it is the call's."""

    attribute: str
    service: str
    value: str


@dataclass(frozen=True, slots=True)
class MarkedCall:
    """One call with all it bears."""

    window: int
    operation: str
    duration_ns: int
    error: bool
    marks: frozenset[Mark]


def marked_calls(
    blocks: Iterable[SpanBlock], service: str | None, windows: Windows, traces: frozenset[str]
) -> list[MarkedCall]:
    """Return the calls of `service` (of all root operations if None) in some traces."""
    return [call for block in blocks for call in _of_block(block, service, windows, traces)]


def _of_block(
    block: SpanBlock, service: str | None, windows: Windows, traces: frozenset[str]
) -> Iterable[MarkedCall]:
    role = roles(block)
    calls = find_calls(block, role, service)
    window = trace_windows(block, (windows.incident, windows.baseline))[block.trace[calls.root]]
    failed = failed_spans(block, role, where(block.status, "ERROR"))
    wanted = np.array([trace in traces for trace in block.trace_ids], np.bool_)
    tops = root_rows(block)
    spans = _spans_by_call(calls.call_of, wanted[block.trace])
    texts: dict[int, tuple[tuple[str, str], ...]] = {}
    for number, root in enumerate(calls.root.tolist()):
        if window[number] < 0 or not wanted[block.trace[root]]:
            continue
        rows = [int(tops[block.trace[root]]), *spans[number]]
        named = int(calls.entry[number]) if calls.entry[number] >= 0 else root
        yield MarkedCall(
            int(window[number]),
            name_of(block.name, int(block.name.codes[named])),
            int(max(block.end[root] - block.start[root], 0)),
            bool(failed[root]),
            frozenset(mark for row in rows for mark in _marks(block, row, texts)),
        )


def _spans_by_call(call_of: Ints, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[int, list[int]]:
    spans: dict[int, list[int]] = defaultdict(list)
    rows = np.flatnonzero((call_of >= 0) & wanted)
    for row, call in zip(rows.tolist(), call_of[rows].tolist(), strict=True):
        if len(spans[call]) < SPANS_PER_CALL:
            spans[call].append(row)
    return spans


def _marks(block: SpanBlock, row: int, texts: dict[int, tuple[tuple[str, str], ...]]) -> Iterable[Mark]:
    service = name_of(block.service, int(block.service.codes[row]))
    for word, column in (("version", block.version), ("pod", block.pod)):
        if column.codes[row] >= 0:
            yield Mark(word, service, name_of(column, int(column.codes[row])))
    for name, value in _attributes(block.attributes, row, texts):
        if name in _OF_SERVICE:
            yield Mark(_OF_SERVICE[name], service, value)
        else:
            known = _OF_CALL.search(name)
            yield Mark(known[1] if known else name, "", value)


def _attributes(
    column: Strings | None, row: int, texts: dict[int, tuple[tuple[str, str], ...]]
) -> tuple[tuple[str, str], ...]:
    code = -1 if column is None else int(column.codes[row])
    if column is None or code < 0:
        return ()
    if code not in texts:
        found = json_object(column.values[code])  # noqa: PD011 - no frame
        pairs = ((str(name), _text(value)) for name, value in found.items())
        texts[code] = tuple(
            (n, v)
            for n, v in pairs
            if v and len(v) <= _LONGEST and not _OUTCOME & set(_PART.split(n.lower()))
        )
    return texts[code]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else ""


def sample_of(traces: pd.Series, most: int) -> set[str]:
    """Return at most `most` of the trace ids: those with the smallest hash, whatever their order."""
    distinct = sorted(traces.unique().tolist())
    if len(distinct) <= most:
        return set(distinct)
    hashes = pd.util.hash_array(np.array(distinct, dtype=object), categorize=False)
    order = np.argsort(hashes, kind="stable")[:most]
    return {distinct[i] for i in order.tolist()}
