"""The map: one block of whole traces to small integer tables and the rows of its calls; and their associative merge.

Tables are keyed by names, never by a block's own codes, so any cut of the traces into blocks merges to the same bytes.
Windows are 0 (incident) and 1 (baseline). Spans outside calls of the service are counted for completeness only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.core.evidence import SpanBlock
from opslib.core.windows import Windows
from opslib.diagnosis.calls import find_calls
from opslib.diagnosis.counts import COUNTS, counts
from opslib.diagnosis.critical_path import Ints
from opslib.diagnosis.groups import group, merge_tables
from opslib.diagnosis.mapped import Mapped, failed_spans, map_spans
from opslib.diagnosis.roles import roles, where
from opslib.diagnosis.segments import Segment
from opslib.diagnosis.tables import KEYS, VALUES, tables

INCIDENT, BASELINE = 0, 1


@dataclass(frozen=True, slots=True)
class Partial:
    """What is kept of some traces.

    calls: a row per call: trace_id, start_ns, duration_ns, error, operation, caller, group, window, answered.
    part_call, part_segment, part_ns: each call's time by segment (indices into `calls` and `segments`), sparse.
    tables: see `opslib.diagnosis.tables`. counts: see `opslib.diagnosis.counts`.
    """

    calls: pd.DataFrame
    part_call: Ints
    part_segment: Ints
    part_ns: Ints
    segments: tuple[Segment, ...]
    tables: dict[str, pd.DataFrame]
    counts: dict[str, int]


def map_block(block: SpanBlock, service: str | None, windows: Windows) -> Partial:
    """Reduce one block of whole traces. Pure; no trace needs another."""
    return reduce_spans(*map_spans(block, service, windows))


def reduce_spans(mapped: Mapped, of_call: Ints) -> Partial:
    """Reduce spans whose critical paths have been walked, as `map_spans` returns them."""
    part_call, part_segment, part_ns = _parts(mapped, of_call)
    return Partial(
        _call_rows(mapped, of_call),
        part_call,
        part_segment,
        part_ns,
        mapped.unit.segments,
        tables(mapped),
        counts(mapped, mapped.trace_window, of_call),
    )


def _call_rows(mapped: Mapped, of_call: Ints) -> pd.DataFrame:
    block, calls = mapped.block, mapped.calls
    kept = of_call >= 0
    root, entry, unseen = calls.root[kept], calls.entry[kept], calls.unseen[kept]
    failed = mapped.failed[root]
    named = np.where(entry >= 0, entry, root)
    above = np.where(unseen, np.maximum(block.parent[root], 0), root)
    orphan = unseen & (block.parent[root] < 0)
    caller = np.where(orphan | (root == entry) & ~unseen, -1, block.service.codes[above])
    return pd.DataFrame(
        {
            "trace_id": _take(block.trace_ids, block.trace[root]),
            "start_ns": block.start[root],
            "duration_ns": np.maximum(block.end[root] - block.start[root], 0),
            "error": failed,
            "operation": _take(block.name.values, block.name.codes[named]),
            "caller": _take(block.service.values, caller),
            "group": _take(block.service.values, block.service.codes[named]),
            "window": of_call[kept],
            "answered": entry >= 0,
        }
    )


def _take(
    values: Sequence[str], codes: NDArray[np.integer[Any]]
) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    """Return the texts of codes, "" for a negative code."""
    table = np.empty(len(values) + 1, dtype=object)
    table[:-1] = values
    table[-1] = ""
    return np.asarray(table[np.where(codes >= 0, codes, len(values))])


def _parts(mapped: Mapped, of_call: Ints) -> tuple[Ints, Ints, Ints]:
    rows = np.flatnonzero((mapped.unit_own > 0) & (mapped.window >= 0))
    number = np.cumsum(of_call >= 0) - 1  # calls outside the windows are left out
    call, segment = number[mapped.calls.call_of[rows]], mapped.unit.code[rows]
    found = group([call, segment]) if len(rows) else None
    if found is None:
        return rows, rows, rows
    return call[found.sample], segment[found.sample], found.sum(mapped.unit_own[rows])


def merge(partials: Iterable[Partial]) -> Partial:
    """Put partial results together. Associative and commutative up to the order of calls, which `finish` restores."""
    parts = list(partials)
    segments = tuple(sorted({segment for part in parts for segment in part.segments}))
    index = {segment: i for i, segment in enumerate(segments)}
    offsets = np.cumsum([0] + [len(part.calls) for part in parts])
    recode = [np.array([index[s] for s in part.segments], np.int64) for part in parts]
    return Partial(
        pd.concat([part.calls for part in parts], ignore_index=True),
        np.concatenate([part.part_call + offset for part, offset in zip(parts, offsets, strict=False)]),
        np.concatenate([new[part.part_segment] for part, new in zip(parts, recode, strict=True)]),
        np.concatenate([part.part_ns for part in parts]),
        segments,
        {name: merge_tables([part.tables[name] for part in parts], keys) for name, keys in KEYS.items()},
        {name: sum(part.counts[name] for part in parts) for name in parts[0].counts},
    )


def empty_partial() -> Partial:
    """Return what no traces at all merge to."""
    none = np.zeros(0, np.int64)
    calls = {"trace_id": object, "start_ns": np.int64, "duration_ns": np.int64, "error": np.bool_,
             "operation": object, "caller": object, "group": object, "window": np.int64, "answered": np.bool_}  # fmt: skip
    return Partial(
        pd.DataFrame({name: np.zeros(0, dtype) for name, dtype in calls.items()}),
        none,
        none,
        none,
        (),
        {name: pd.DataFrame({c: [] for c in (*KEYS[name], *VALUES[name])}) for name in KEYS},
        dict.fromkeys(COUNTS, 0),
    )


def only_group(partial: Partial, group_name: str) -> Partial:
    """Keep the calls of one service where root operations of several were mapped."""
    kept = (partial.calls["group"] == group_name).to_numpy()
    place = np.cumsum(kept) - 1
    parts = kept[partial.part_call]
    return Partial(
        partial.calls[kept].reset_index(drop=True),
        place[partial.part_call[parts]],
        partial.part_segment[parts],
        partial.part_ns[parts],
        partial.segments,
        {
            name: table[table["group"] == group_name] if "group" in table else table
            for name, table in partial.tables.items()
        },
        partial.counts,
    )


def in_order(partial: Partial) -> Partial:
    """Sort the calls by trace, then span id: the order in which blocks hold them."""
    order = np.argsort(partial.calls["trace_id"].to_numpy(dtype=object), kind="stable")
    new_place = np.empty(len(order), np.int64)
    new_place[order] = np.arange(len(order))
    part_call = new_place[partial.part_call]
    by_call = np.lexsort((partial.part_segment, part_call))
    return Partial(
        partial.calls.iloc[order].reset_index(drop=True),
        part_call[by_call],
        partial.part_segment[by_call],
        partial.part_ns[by_call],
        partial.segments,
        partial.tables,
        partial.counts,
    )


def calls_of(blocks: Iterable[SpanBlock], service: str | None) -> pd.DataFrame:
    """Return every call of a service whatever its window, by time.

    Columns: start_ns, duration_ns, error, operation, trace_id, spans (how many spans it consists of).
    """
    frames = [_calls_of_block(block, service) for block in blocks]
    columns = ["start_ns", "duration_ns", "error", "operation", "trace_id", "spans"]
    if not frames:
        return pd.DataFrame({name: [] for name in columns})
    whole = pd.concat(frames, ignore_index=True)
    return whole.sort_values(["start_ns", "trace_id"], kind="stable", ignore_index=True)[columns]


def _calls_of_block(block: SpanBlock, service: str | None) -> pd.DataFrame:
    role = roles(block)
    calls = find_calls(block, role, service)
    failed = failed_spans(block, role, where(block.status, "ERROR"))[calls.root]
    named = np.where(calls.entry >= 0, calls.entry, calls.root)
    return pd.DataFrame(
        {
            "start_ns": block.start[calls.root],
            "duration_ns": np.maximum(block.end[calls.root] - block.start[calls.root], 0),
            "error": failed,
            "operation": _take(block.name.values, block.name.codes[named]),
            "trace_id": _take(block.trace_ids, block.trace[calls.root]),
            "spans": np.bincount(calls.call_of[calls.call_of >= 0], minlength=len(calls.root)),
        }
    )
