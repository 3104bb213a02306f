"""Small integer tables of one block: element times, edges, structure, errors, census. Keyed by names and windows.

All count only what lies inside calls of the service asked about, but for `census`, which counts all in the windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.core.evidence import SpanBlock, Strings
from opslib.diagnosis.cohort_tables import COHORT_KEYS, COHORT_VALUES, cohort_table
from opslib.diagnosis.critical_path import Bools, Ints
from opslib.diagnosis.groups import group
from opslib.diagnosis.mapped import Mapped
from opslib.diagnosis.quantiles import bucket_of
from opslib.diagnosis.segments import name_of
from opslib.diagnosis.structure_tables import STRUCTURE_KEYS, STRUCTURE_VALUES, structure_tables

_PLACE = ["window", "group", "kind", "caller", "callee", "named_by"]
KEYS = {
    # own critical-path time of units: n, ns by bucket of that time
    "elements": [*_PLACE, "operation", "bucket"],
    # client-side durations of waits: n, errors, ns by bucket of the duration
    "edges": [*_PLACE, "bucket"],
    **STRUCTURE_KEYS,
    # failed spans without a failed child: n spans, n calls, n failed calls
    "origins": [*_PLACE, "operation"],
    # what clients call those who answer them: n
    "aliases": ["caller", "peer", "callee"],
    # spans, entries and errors by service, version and pod
    "census": ["window", "service", "version", "pod"],
    # units by version and pod, see there
    "cohorts": COHORT_KEYS,
}
VALUES = {
    "elements": ("n", "ns"),
    "edges": ("n", "errors", "ns"),
    **STRUCTURE_VALUES,
    "origins": ("n", "calls", "failed_calls"),
    "aliases": ("n",),
    "census": ("spans", "entries", "errors"),
    "cohorts": COHORT_VALUES,
}


def tables(mapped: Mapped) -> dict[str, pd.DataFrame]:
    """Return the tables of one mapped block."""
    return {
        "elements": _elements(mapped),
        "edges": _edges(mapped),
        **structure_tables(mapped),
        "origins": _origins(mapped),
        "aliases": _aliases(mapped),
        "census": _census(mapped),
        "cohorts": cohort_table(mapped),
    }


def _names(column: Strings, codes: NDArray[np.integer[Any]]) -> list[str]:
    return [name_of(column, code) for code in codes.tolist()]


def _group_codes(mapped: Mapped, rows: Ints) -> Ints:
    """Return the code of the service whose call each row is in."""
    calls, block = mapped.calls, mapped.block
    named = np.where(calls.entry >= 0, calls.entry, calls.root)
    return block.service.codes[named[calls.call_of[rows]]].astype(np.int64)


def _place(mapped: Mapped, rows: Ints) -> dict[str, object]:
    segments = [mapped.unit.segments[i] for i in mapped.unit.code[rows].tolist()]
    return {
        "window": mapped.window[rows],
        "group": _names(mapped.block.service, _group_codes(mapped, rows)),
        "kind": [s.kind for s in segments],
        "caller": [s.caller for s in segments],
        "callee": [s.callee for s in segments],
        "named_by": [s.named_by for s in segments],
    }


def _operation(mapped: Mapped, rows: Ints) -> Ints:
    """Return the name code of a unit: of the span that answers where there is one."""
    callee = mapped.role.callee[rows]
    return mapped.block.name.codes[np.where(callee >= 0, callee, rows)].astype(np.int64)


def _unit_rows(mapped: Mapped, which: Bools) -> Ints:
    return np.flatnonzero(which & (mapped.window >= 0))


def _elements(mapped: Mapped) -> pd.DataFrame:
    waits = mapped.role.waits | mapped.role.silent
    rows = _unit_rows(mapped, mapped.role.entry | waits)
    own = mapped.unit_own[rows]
    bucket, operation = bucket_of(own), _operation(mapped, rows)
    found = group(
        [mapped.window[rows], _group_codes(mapped, rows), mapped.unit.code[rows], operation, bucket]
    )
    sample = found.sample
    return pd.DataFrame(
        {
            **_place(mapped, rows[sample]),
            "operation": _names(mapped.block.name, operation[sample]),
            "bucket": bucket[sample],
            "n": found.count(),
            "ns": found.sum(own),
        }
    )


def _edges(mapped: Mapped) -> pd.DataFrame:
    block = mapped.block
    rows = _unit_rows(mapped, mapped.role.waits | mapped.role.silent)
    duration = np.maximum(block.end[rows] - block.start[rows], 0)
    bucket = bucket_of(duration)
    found = group([mapped.window[rows], _group_codes(mapped, rows), mapped.unit.code[rows], bucket])
    return pd.DataFrame(
        {
            **_place(mapped, rows[found.sample]),
            "bucket": bucket[found.sample],
            "n": found.count(),
            "errors": found.sum(mapped.failed[rows]),
            "ns": found.sum(duration),
        }
    )


def _origins(mapped: Mapped) -> pd.DataFrame:
    block, role = mapped.block, mapped.role
    caused = np.zeros(len(block), np.bool_)
    failing = np.flatnonzero(mapped.error & (role.parent >= 0))
    caused[role.parent[failing]] = True
    rows = _unit_rows(mapped, mapped.error & ~caused)
    unit = mapped.unit.unit[rows]
    call = mapped.calls.call_of[rows]
    call_failed = mapped.failed[mapped.calls.root[call]]
    operation = _operation(mapped, unit)
    keys = [mapped.window[rows], _group_codes(mapped, rows), mapped.unit.code[unit], operation]
    per_call = group([*keys, call])
    found = group([key[per_call.sample] for key in keys])
    sample = per_call.sample[found.sample]
    return pd.DataFrame(
        {
            **_place(mapped, unit[sample]),
            "window": mapped.window[rows[sample]],
            "operation": _names(block.name, operation[sample]),
            "n": found.sum(per_call.count()),
            "calls": found.count(),
            "failed_calls": found.sum(call_failed[per_call.sample]),
        }
    )


def _aliases(mapped: Mapped) -> pd.DataFrame:
    """Count over the whole block: a name that answers anywhere is no dependency."""
    block = mapped.block
    rows = np.flatnonzero(mapped.role.waits & (block.peer.codes >= 0))
    answered = block.service.codes[mapped.role.callee[rows]]
    found = group([block.service.codes[rows], block.peer.codes[rows], answered])
    sample = rows[found.sample]
    return pd.DataFrame(
        {
            "caller": _names(block.service, block.service.codes[sample]),
            "peer": _names(block.peer, block.peer.codes[sample]),
            "callee": _names(block.service, answered[found.sample]),
            "n": found.count(),
        }
    )


def _census(mapped: Mapped) -> pd.DataFrame:
    block: SpanBlock = mapped.block
    rows = np.flatnonzero(mapped.trace_window[block.trace] >= 0)
    window = mapped.trace_window[block.trace[rows]]
    columns = [block.service, block.version, block.pod]
    found = group([window, *(column.codes[rows] for column in columns)])
    sample = rows[found.sample]
    return pd.DataFrame(
        {
            "window": window[found.sample],
            "service": _names(block.service, block.service.codes[sample]),
            "version": _names(block.version, block.version.codes[sample]),
            "pod": _names(block.pod, block.pod.codes[sample]),
            "spans": found.count(),
            "entries": found.sum(mapped.role.entry[rows]),
            "errors": found.sum(mapped.error[rows]),
        }
    )
