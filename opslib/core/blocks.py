"""Span rows become blocks: sorted, each span once, parents as row numbers without a cycle, whatever order they came in.

The choices that every reader of spans shares:

- of several rows with one (trace_id, span_id) the one with the earliest start, then the latest end, then the
  smallest remaining values is kept, the others are counted as duplicates;
- a span that ends before it starts, or lasts longer than LONGEST_NS, ends where it starts, and is counted;
- an empty or all-zero parent id is no parent; of a cycle of parents (a span that names itself included) the earliest
  span, then the one in the first row, becomes an ORPHAN: it does name a parent, and that cannot be right;
- an unknown or absent kind is UNSPECIFIED, status UNSET, service `unknown_service`, name the empty text; an empty
  version or pod is null;
- rows without a trace id, a span id or times that can be (start 0 or later) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.core.columns import COLUMNS, SPAN_KINDS
from opslib.core.evidence import ORPHAN, ROOT, SpanBlock, Strings
from opslib.core.foreign import json_object
from opslib.core.peers import CALLING_KINDS, resolve_peer
from opslib.core.windows import Windows

KINDS = tuple(sorted(SPAN_KINDS))
STATUSES = ("ERROR", "OK", "UNSET")
NO_PARENT = ("", "0" * 16)
UNKNOWN_SERVICE = "unknown_service"
LONGEST_NS = 7 * 86_400 * 10**9  # of a span; whatever seems to last longer never ended, or its clock is wrong

_Ints = NDArray[np.int64]
_TEXTS = ("name", "kind", "status", "service", "version", "pod", "peer")


@dataclass(frozen=True, slots=True)
class SpanRows:
    """Spans in any order with repeats, ids as numbers of the same order as the texts; every column (n,).

    What rows share is told once: `shape` is a row of `texts` (name, kind, status, service, version, pod, peer; values
    sorted) and of `peer_type`, which are as long as there are shapes.
    """

    trace_ids: tuple[str, ...]  # sorted
    trace: _Ints  # row of `trace_ids`
    span: NDArray[np.uint64]
    parent: NDArray[np.uint64]  # same numbering as `span`
    has_parent: NDArray[np.bool_]
    start: _Ints
    end: _Ints
    shape: NDArray[np.integer[Any]]
    texts: dict[str, Strings]
    peer_type: NDArray[np.int8]
    attributes: Strings | None = None

    def take(self, rows: NDArray[np.intp]) -> SpanRows:
        """Return these rows in this order."""
        columns = ("trace", "span", "parent", "has_parent", "start", "end", "shape")
        taken: dict[str, Any] = {name: getattr(self, name)[rows] for name in columns}
        texts = self.attributes
        return replace(self, **taken, attributes=texts and Strings(texts.codes[rows], texts.values))


def assemble(rows: SpanRows, windows: Windows | None = None) -> SpanBlock:
    """Sort, drop repeats, find parents: the one way from rows to a block.

    Traces without rows are left out, and with `windows` those whose root starts in neither.
    """
    order, same = _sorted(rows)
    repeats, kept = rows.trace[order[same]], rows.take(order[~same])
    present, trace = _renumber(kept.trace, len(rows.trace_ids))
    end = np.maximum(kept.start, kept.end)
    untimed = (kept.end < kept.start) | (end - kept.start > LONGEST_NS)
    block = SpanBlock(
        trace=trace,
        trace_ids=tuple(rows.trace_ids[i] for i in present.tolist()),
        parent=break_cycles(_parent_rows(trace, kept), kept.start),
        start=kept.start,
        end=np.where(untimed, kept.start, end),
        peer_type=kept.peer_type[kept.shape],
        attributes=kept.attributes,
        duplicates=len(repeats),
        untimed=int(untimed.sum()),
        **{name: Strings(text.codes[kept.shape], text.values) for name, text in kept.texts.items()},
    )
    if windows is None:
        return block
    start = block.start[root_rows(block)]
    inside = [(start >= w.start_ns) & (start < w.end_ns) for w in (windows.incident, windows.baseline) if w]
    keep = np.asarray(np.logical_or.reduce(inside))
    counts = int(np.isin(repeats, present[keep]).sum()), int(untimed[keep[trace]].sum())
    return block if keep.all() else replace(_only(block, keep), duplicates=counts[0], untimed=counts[1])


def _only(block: SpanBlock, keep: NDArray[np.bool_]) -> SpanBlock:
    """Return a block with some of its traces alone; no span has a parent in another trace."""
    rows = keep[block.trace]
    place = np.append(np.cumsum(rows) - 1, (ORPHAN, ROOT))  # which stay as they are
    kept: dict[str, Any] = {
        name: Strings(column.codes[rows], column.values) if isinstance(column, Strings) else column[rows]
        for name in (field.name for field in fields(block))
        if isinstance(column := getattr(block, name), Strings | np.ndarray)
    }
    kept |= {"parent": place[kept["parent"]], "trace": (np.cumsum(keep) - 1)[kept["trace"]]}
    return replace(block, **kept, trace_ids=tuple(compress(block.trace_ids, keep.tolist())))


def _sorted(rows: SpanRows) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the order by (trace, span), the row to keep first, and which places of it hold a repeat."""
    packed = _keys(rows.trace, rows.span)
    order = np.argsort(packed)
    if (np.diff(packed[order]) == 0).any():
        order = np.lexsort((rows.span, rows.trace))
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (np.diff(rows.trace[order]) == 0) & (rows.span[order][1:] == rows.span[order][:-1])
    if not same.any():
        return order, same
    repeated = same.copy()
    repeated[:-1] |= same[1:]
    slots = np.flatnonzero(repeated)
    among = order[slots]
    keys: list[NDArray[np.generic]] = [rows.attributes.codes[among]] if rows.attributes else []
    shape = rows.shape[among]
    keys += [rows.peer_type[shape], *(rows.texts[name].codes[shape] for name in reversed(_TEXTS))]
    keys += [np.where(rows.has_parent, rows.parent, 0)[among], rows.has_parent[among]]
    keys += [-rows.end[among], rows.start[among], rows.span[among], rows.trace[among]]
    order[slots] = among[np.lexsort(keys)]
    return order, same


def _renumber(trace: _Ints, size: int) -> tuple[NDArray[np.intp], _Ints]:
    """Return which traces have rows, and each row's trace among those."""
    has_rows = np.zeros(size, dtype=bool)
    has_rows[trace] = True
    return np.flatnonzero(has_rows), (np.cumsum(has_rows) - 1)[trace].astype(np.int64)


def _keys(trace: _Ints, span: NDArray[np.uint64], largest: int | None = None) -> NDArray[np.uint64]:
    """Return (trace, span) as one number that sorts alike; of ids that need more than 64 bits the lowest are cut off."""
    bits = int(largest if largest is not None else span.max(initial=0)).bit_length()
    cut = max(0, bits + int(trace.max(initial=0)).bit_length() - 64)
    return (trace.astype(np.uint64) << np.uint64(bits - cut)) | (span >> np.uint64(cut))


def _parent_rows(trace: _Ints, rows: SpanRows) -> _Ints:
    """Return the row of each span's parent in the same trace, ROOT or ORPHAN; the rows are sorted, each span once."""
    span = rows.span
    keys = _keys(trace, span)
    wanted = np.where(rows.has_parent, rows.parent, 0)
    if (
        np.diff(keys) == 0
    ).any():  # two spans of one trace share the bits that were kept: number the ids instead
        ids, rank = np.unique(span, return_inverse=True)
        found = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        wanted = np.where(ids[found] == wanted, found, len(ids)).astype(np.uint64)
        span = rank.astype(np.uint64)
        keys = _keys(trace, span)
    at = np.searchsorted(keys, _keys(trace, wanted, int(span.max(initial=0))))
    at = np.minimum(at, len(keys) - 1)
    there = rows.has_parent & (trace[at] == trace) & (span[at] == wanted)
    return np.where(there, at, np.where(rows.has_parent, ORPHAN, ROOT)).astype(np.int64)


def break_cycles(parent: _Ints, start: _Ints) -> _Ints:
    """Return the parents with the earliest span of each cycle made an ORPHAN; steps double, so depth costs its log."""
    jump, steps = parent, 1
    while (jump >= 0).any():
        if steps > len(parent):
            break
        jump = np.where(jump >= 0, jump[np.maximum(jump, 0)], jump)
        steps *= 2
    else:
        return parent
    # Whoever is still under way after more steps than there are rows has ended inside a cycle, and each member is met.
    members = np.unique(jump[jump >= 0])
    rank = np.empty(len(parent), dtype=np.int64)
    rank[np.lexsort((np.arange(len(parent)), start))] = np.arange(len(parent))
    first, hop, steps = rank.copy(), parent.copy(), 1
    while steps < len(members):
        first[members] = np.minimum(first[members], first[hop[members]])
        hop[members] = hop[hop[members]]
        steps *= 2
    broken = parent.copy()
    broken[members[rank[members] == first[members]]] = ORPHAN
    return broken


def root_rows(block: SpanBlock) -> _Ints:
    """Return the row that stands for each trace: its earliest ROOT, without one its earliest ORPHAN; ties by span_id.

    Shape (number of traces,). Its start decides the window that the trace belongs to.
    """
    top = np.flatnonzero(block.parent < 0)
    best_first = top[np.lexsort((top, block.start[top], block.parent[top] != ROOT, block.trace[top]))]
    _, first = np.unique(block.trace[best_first], return_index=True)
    return best_first[first].astype(np.int64)


def blocks_from_frame(
    frame: pd.DataFrame, *, attributes: bool = False, windows: Windows | None = None
) -> tuple[SpanBlock, ...]:
    """Build the blocks of a frame with the capture's span columns; missing ones read as null.

    With `windows`, only traces whose root starts in one of them. At most one block.
    """
    columns = {column.name: _column(frame, column.name) for column in COLUMNS["spans"]}
    usable = _usable(columns)
    if not usable.any():
        return ()
    columns = {name: column[usable] for name, column in columns.items()}
    trace_ids, trace = _codes(columns["trace_id"])
    parent_ids = columns["parent_span_id"].where(~columns["parent_span_id"].isin(NO_PARENT), None)
    both = pd.concat([columns["span_id"], parent_ids], ignore_index=True)
    numbers = _codes(both)[1]
    span, parent = numbers[: len(trace)], numbers[len(trace) :]
    texts = _texts(columns)
    calls = texts["kind"].isin(CALLING_KINDS)
    peers = [resolve_peer(json_object(text)) for text in columns["attributes"].where(calls, None)]
    texts["peer"] = pd.Series([name for name, _ in peers], dtype=object)
    rows = SpanRows(
        trace_ids=tuple(trace_ids),
        trace=trace,
        span=span.astype(np.uint64),
        parent=np.maximum(parent, 0).astype(np.uint64),
        has_parent=parent >= 0,
        start=_nanoseconds(columns[_TIMES[0]]),
        end=_nanoseconds(columns[_TIMES[1]]),
        shape=np.arange(len(trace)),
        texts={name: _strings(text, _FIXED.get(name)) for name, text in texts.items()},
        peer_type=np.array([kind for _, kind in peers], dtype=np.int8),
        attributes=_strings(columns["attributes"]) if attributes else None,
    )
    block = assemble(rows, windows)
    return (block,) if len(block) else ()


_IDS, _TIMES = ("trace_id", "span_id"), ("start_time_unix_nano", "end_time_unix_nano")
_FIXED = {"kind": KINDS, "status": STATUSES}


def _usable(columns: dict[str, pd.Series]) -> NDArray[np.bool_]:
    lost = [columns[name].isna().to_numpy() for name in (*_IDS, *_TIMES)]
    usable = ~np.logical_or.reduce([*lost, *((columns[name] == "").to_numpy() for name in _IDS)])
    usable[usable] = _nanoseconds(columns[_TIMES[0]][usable]) >= 0
    return np.asarray(usable)


def _texts(columns: dict[str, pd.Series]) -> dict[str, pd.Series]:
    kind, status, service = columns["kind"], columns["status_code"], columns["service_name"]
    return {
        "name": columns["name"].where(columns["name"].notna(), ""),
        "kind": kind.where(kind.isin(KINDS), "UNSPECIFIED"),
        "status": status.where(status.isin(STATUSES), "UNSET"),
        "service": service.where(service.notna() & (service != ""), UNKNOWN_SERVICE),
        "version": columns["service_version"].where(columns["service_version"] != "", None),
        "pod": columns["k8s_pod_name"].where(columns["k8s_pod_name"] != "", None),
    }


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame.columns:
        return pd.Series([None] * len(frame), dtype=object)
    column = frame[name].reset_index(drop=True)
    return column if name.endswith("_unix_nano") else column.astype(object).map(str, na_action="ignore")


def _nanoseconds(column: pd.Series) -> _Ints:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    if column.dtype.kind == "M":
        column = column.astype("datetime64[ns]")
    return np.asarray(column, dtype=np.int64)


def _codes(column: pd.Series) -> tuple[Sequence[str], _Ints]:
    """Return the sorted distinct texts and each row's number among them, -1 where it is null."""
    codes, values = pd.factorize(column, sort=False)
    order = sorted(range(len(values)), key=lambda i: values[i])
    place = np.empty(len(values) + 1, dtype=np.int64)
    place[order] = np.arange(len(values))
    place[-1] = -1  # code -1, a null, reads the last entry
    return [str(values[i]) for i in order], place[codes]


def _strings(column: pd.Series, values: tuple[str, ...] | None = None) -> Strings:
    own, codes = _codes(column)
    if values is None:
        return Strings(codes.astype(np.int32), tuple(own))
    place = np.array([values.index(text) for text in own], dtype=np.int32)
    return Strings(place[codes], values)
