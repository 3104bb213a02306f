"""Work and waits by the version and pod that did them: sums that merge exactly, enough for means, spreads and shares.

A unit counts for the version and pod of its own service (side `own`) and, where a wait was answered, for those of the
callee (side `callee`). Units of services that tell neither are left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from opslib.diagnosis.critical_path import Bools, Ints
from opslib.diagnosis.groups import group
from opslib.diagnosis.mapped import Mapped
from opslib.diagnosis.quantiles import bucket_of
from opslib.diagnosis.segments import name_of

OWN, CALLEE = "own", "callee"
COHORT_KEYS = [
    "window",
    "group",
    "kind",
    "caller",
    "callee",
    "named_by",
    "side",
    "version",
    "pod",
]
# n units; errors that began there; ns of own time; sum and sum of squares of its bucket, which is its logarithm
COHORT_VALUES = ("n", "errors", "ns", "logs", "squares")


def cohort_table(mapped: Mapped) -> pd.DataFrame:
    """Return the table `cohorts` of one block."""
    rows = np.flatnonzero((mapped.unit.code >= 0) & (mapped.window >= 0))
    answered = rows[mapped.role.waits[rows]]
    began = _failures_began(mapped)
    sides = (
        _side(mapped, rows, rows, OWN, began),
        _side(mapped, answered, mapped.role.callee[answered], CALLEE, began),
    )
    return pd.concat(sides, ignore_index=True)


def _failures_began(mapped: Mapped) -> Bools:
    """Return at unit rows whether a span of the unit failed without a failed child."""
    caused = np.zeros(len(mapped.block), np.bool_)
    caused[mapped.role.parent[np.flatnonzero(mapped.error & (mapped.role.parent >= 0))]] = True
    began = np.zeros(len(mapped.block), np.bool_)
    began[mapped.unit.unit[mapped.error & ~caused]] = True
    return began


def _side(mapped: Mapped, rows: Ints, who: Ints, side: str, began: Bools) -> pd.DataFrame:
    """Sum units by the version and pod of `who`, a span per unit."""
    block, calls = mapped.block, mapped.calls
    told = (block.version.codes[who] >= 0) | (block.pod.codes[who] >= 0)
    rows, who = rows[told], who[told]
    entry = np.where(calls.entry >= 0, calls.entry, calls.root)[calls.call_of[rows]]
    asked = block.service.codes[entry]
    instance = [block.version.codes[who], block.pod.codes[who]]
    found = group([mapped.window[rows], asked, mapped.unit.code[rows], *instance])
    own = mapped.unit_own[rows]
    bucket, sample = bucket_of(own), found.sample
    segments = [mapped.unit.segments[i] for i in mapped.unit.code[rows[sample]].tolist()]
    return pd.DataFrame(
        {
            "window": mapped.window[rows[sample]],
            "group": [name_of(block.service, c) for c in asked[sample].tolist()],
            "kind": [s.kind for s in segments],
            "caller": [s.caller for s in segments],
            "callee": [s.callee for s in segments],
            "named_by": [s.named_by for s in segments],
            "side": side,
            "version": [name_of(block.version, c) for c in instance[0][sample].tolist()],
            "pod": [name_of(block.pod, c) for c in instance[1][sample].tolist()],
            "n": found.count(),
            "errors": found.sum(began[rows]),
            "ns": found.sum(own),
            "logs": found.sum(bucket),
            "squares": found.sum(bucket * bucket),
        }
    )
