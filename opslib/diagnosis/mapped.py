"""One block of whole traces with everything that its tables are made from: roles, calls, units, own time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opslib.core.evidence import SpanBlock
from opslib.core.windows import Windows
from opslib.diagnosis.calls import Calls, find_calls
from opslib.diagnosis.critical_path import Bools, Ints, tree, walk
from opslib.diagnosis.roles import Roles, roles, trace_windows, where
from opslib.diagnosis.segments import Units, units


@dataclass(frozen=True, slots=True)
class Mapped:
    """Columns of all spans (n,), but `trace_window`."""

    block: SpanBlock
    role: Roles
    unit: Units
    calls: Calls
    window: Ints  # of the call that a span is in; -1 outside
    own: Ints  # own time on the critical path of its call
    unit_own: Ints  # at unit rows: own time of all the unit's spans
    error: Bools
    failed: Bools  # by its own status or that of the span that answers it
    clients: Bools  # spans of kind CLIENT
    trace_window: Ints  # of each trace; -1 in neither


def map_spans(block: SpanBlock, service: str | None, windows: Windows) -> tuple[Mapped, Ints]:
    """Find the calls, walk their critical paths, and charge each span's own time to its unit.

    Returns also the window of each call, by number of the call, -1 outside both.
    """
    role = roles(block)
    trace_window = trace_windows(block, (windows.incident, windows.baseline))
    calls = find_calls(block, role, service)
    of_call = trace_window[block.trace[calls.root]]
    spans = tree(role.parent, block.start + role.shift, block.end + role.shift)
    own, _ = walk(spans, calls.root[of_call >= 0])
    unit = units(block, role)
    unit_own = np.zeros(len(block), np.int64)
    np.add.at(unit_own, unit.unit, own)
    window = np.append(of_call, -1)[calls.call_of]
    error = where(block.status, "ERROR")
    failed, client = failed_spans(block, role, error), where(block.kind, "CLIENT")
    mapped = Mapped(block, role, unit, calls, window, own, unit_own, error, failed, client, trace_window)
    return mapped, of_call


def failed_spans(block: SpanBlock, role: Roles, error: Bools) -> Bools:
    """Return which spans failed, by their own status or that of the span that answers them."""
    failed = error.copy()
    rows = np.flatnonzero(role.answers & error)
    failed[block.parent[rows]] = True
    return failed
