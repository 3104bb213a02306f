"""One trace, span by span: where its critical path runs and to whom each stretch of it is charged."""

from __future__ import annotations

import numpy as np
import pandas as pd

from opslib.core.blocks import blocks_from_frame
from opslib.core.evidence import SpanBlock
from opslib.diagnosis.critical_path import Ints, Tree, tree
from opslib.diagnosis.roles import Roles, roles
from opslib.diagnosis.segments import EDGE, SERVICE, Segment, units


def explain_trace(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one trace's spans in display order (depth first, by start) with what the critical path says of each.

    `frame`: rows of one trace with the capture's span columns. Added columns: `depth`; `own_ns`, the span's own time on
    the critical path of its root; `on_path`, list of [lo_ns, hi_ns] in unix ns, the stretches that this is made of;
    `segment`, to whom they are charged; `edge_wait_ns`, for a wait its duration minus that of what answers it, else
    null. Repeated spans appear once.
    """
    blocks = blocks_from_frame(frame)
    if not blocks:
        return frame.assign(depth=[], own_ns=[], on_path=[], segment=[], edge_wait_ns=[])
    block = blocks[0]
    role = roles(block)
    spans = tree(role.parent, block.start + role.shift, block.end + role.shift)
    stretches = path(spans, np.flatnonzero(role.parent < 0))
    order, depth = _display(block)
    unit = units(block, role)
    labels = [_label(segment) for segment in unit.segments]
    rows = _rows_of(frame)
    wait = _edge_wait(block, role)
    shown = frame.iloc[rows[order]].reset_index(drop=True)
    on_path = pd.Series([_unshifted(stretches[row], int(role.shift[row])) for row in order], dtype=object)
    return shown.assign(
        depth=[int(depth[row]) for row in order],
        own_ns=[sum(hi - lo for lo, hi in stretches[row]) for row in order],
        on_path=on_path,
        segment=[labels[unit.code[unit.unit[row]]] for row in order],
        edge_wait_ns=pd.array([wait[row] for row in order], dtype="Int64"),
    )


def path(spans: Tree, roots: Ints) -> list[list[tuple[int, int]]]:
    """Return each span's own stretches [lo, hi) on the critical path, earliest first: the plain walk, one by one."""
    stretches: list[list[tuple[int, int]]] = [[] for _ in spans.start]
    todo = [(int(root), int(spans.start[root]), int(spans.end[root])) for root in roots]
    while todo:
        span, lo, hi = todo.pop()
        left = hi
        first = int(spans.first[span])
        for child in spans.order[first : first + int(spans.count[span])].tolist():
            child_lo, child_hi = max(int(spans.start[child]), lo), min(int(spans.end[child]), left)
            if child_hi <= child_lo:
                continue
            if child_hi < left:
                stretches[span].append((child_hi, left))
            todo.append((child, child_lo, child_hi))
            left = child_lo
        if left > lo:
            stretches[span].append((lo, left))
        stretches[span].reverse()
    return stretches


def _unshifted(stretches: list[tuple[int, int]], shift: int) -> list[list[int]]:
    return [[lo - shift, hi - shift] for lo, hi in stretches]


def _display(block: SpanBlock) -> tuple[list[int], dict[int, int]]:
    """Return rows depth first, siblings by start, and the depth of each."""
    below: dict[int, list[int]] = {}
    for row in np.lexsort((np.arange(len(block)), block.start)).tolist():
        below.setdefault(max(int(block.parent[row]), -1), []).append(row)
    order: list[int] = []
    depth: dict[int, int] = {}
    todo = [(row, 0) for row in reversed(below.get(-1, []))]
    while todo:
        row, level = todo.pop()
        order.append(row)
        depth[row] = level
        todo += [(child, level + 1) for child in reversed(below.get(row, []))]
    return order, depth


def _label(segment: Segment) -> str:
    if segment.kind == SERVICE:
        return f"service {segment.caller}"
    if segment.kind == EDGE:
        return f"edge {segment.caller}->{segment.callee}"
    # one trace cannot tell a silent service from a dependency: what named the peer decides how it is called here
    return (
        f"dependency {segment.callee}"
        if segment.named_by != "service"
        else f"edge {segment.caller}->{segment.callee}"
    )


def _edge_wait(block: SpanBlock, role: Roles) -> list[int | None]:
    length = block.end - block.start
    return [
        max(int(length[row] - length[callee]), 0) if callee >= 0 else None
        for row, callee in enumerate(role.callee.tolist())
    ]


def _rows_of(frame: pd.DataFrame) -> Ints:
    """Return for each row of the block a row of the frame: rows of a block are sorted by span id, each once."""
    usable = frame[["trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano"]].notna().all(axis=1)
    position = pd.Series(np.arange(len(frame)))[usable.to_numpy()]
    keys = pd.DataFrame(
        {
            "trace": frame["trace_id"].to_numpy()[position],
            "span": frame["span_id"].to_numpy()[position],
            "start": frame["start_time_unix_nano"].to_numpy()[position],
            "end": -frame["end_time_unix_nano"].to_numpy()[position],
            "at": position.to_numpy(),
        }
    )
    first = keys.sort_values(["trace", "span", "start", "end", "at"]).drop_duplicates(["trace", "span"])
    return first["at"].to_numpy()
