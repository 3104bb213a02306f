"""What is counted of a block for completeness: everything in the windows, whatever calls it belongs to."""

from __future__ import annotations

import numpy as np

from opslib.core.evidence import ORPHAN, ROOT
from opslib.diagnosis.critical_path import Ints
from opslib.diagnosis.groups import group
from opslib.diagnosis.mapped import Mapped
from opslib.diagnosis.roles import where
from opslib.diagnosis.structure_tables import target_of

COUNTS = (
    "traces",
    "spans",
    "clipped",
    "orphans",
    "duplicates",
    "untimed",
    "more_roots",
    "skewed",
    "consumers",
    "unseen",
    "retries",
    "kindless",
)


def counts(mapped: Mapped, trace_window: Ints, of_call: Ints) -> dict[str, int]:
    block, role = mapped.block, mapped.role
    inside = trace_window[block.trace] >= 0
    return {
        "traces": int((trace_window >= 0).sum()),
        "spans": int(inside.sum()),
        "clipped": int((role.clipped & inside).sum()),
        "orphans": int(((block.parent == ORPHAN) & inside).sum()),
        "duplicates": block.duplicates,
        "untimed": block.untimed,
        "more_roots": _more_roots(block.trace[(block.parent == ROOT) & inside]),
        "skewed": int((role.skewed & inside).sum()),
        "consumers": int((role.consumer & inside).sum()),
        "unseen": int((mapped.calls.unseen & (of_call >= 0)).sum()),
        "retries": _retries(mapped),
        "kindless": int((where(block.kind, "UNSPECIFIED") & inside).sum()),
    }


def _more_roots(traces: Ints) -> int:
    """Count the roots of a trace beyond its first; `traces`: the trace of each root."""
    return len(traces) - len(np.unique(traces))


def _retries(mapped: Mapped) -> int:
    """Count attempts beyond the first of a parent on the same callee, at most one for each that failed."""
    parent = mapped.role.parent
    asks = mapped.clients & (mapped.window >= 0) & (parent >= 0)
    failing = np.zeros(len(mapped.block), np.bool_)
    failing[parent[asks & mapped.failed]] = True
    rows = np.flatnonzero(asks & failing[np.maximum(parent, 0)])
    tries = group([parent[rows], target_of(mapped, rows)])
    return int(np.minimum(tries.count() - 1, tries.sum(mapped.failed[rows])).sum()) if len(rows) else 0
