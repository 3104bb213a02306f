"""Shapes that break quadratic or recursive code go through a whole diagnosis: wide, deep, and one huge trace."""

import numpy as np
import pandas as pd
import pytest
from diagnosis_shop import BASELINE, INCIDENT, MS, evidence

from opslib.diagnosis import diagnose

WIDTH, DEPTH, GIANT = 5_000, 5_000, 200_000


def wide(trace, start_ns, width=WIDTH):
    """A root and its children, which overlap all."""
    at = np.arange(1, width + 1)
    starts = np.concatenate(([start_ns], start_ns + at * 100))
    ends = np.concatenate(([start_ns + 2 * MS], start_ns + MS + at * 100))
    return rows(trace, np.concatenate(([-1], np.zeros(width, np.int64))), starts, ends)


def deep(trace, start_ns):
    """A chain: every span inside the one before."""
    at = np.arange(DEPTH)
    return rows(trace, at - 1, start_ns + at, start_ns + 2 * MS - at)


def rows(trace, parent, start, end):
    ids = np.array([f"{number:016x}" for number in range(1, len(parent) + 1)], dtype=object)
    return pd.DataFrame({
        "trace_id": f"{trace:032x}",
        "span_id": ids,
        "parent_span_id": np.where(parent >= 0, ids[np.maximum(parent, 0)], None),
        "name": "GET /all",
        "kind": np.where(parent >= 0, "CLIENT", "SERVER"),
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "status_code": "UNSET",
        "service_name": "front",
    })  # fmt: skip


@pytest.mark.parametrize(
    ("make", "traces"),
    [(wide, 4), (deep, 4), (lambda trace, at: wide(trace, at, GIANT), 2)],
    ids=["wide", "deep", "giant"],
)
def test_a_large_shape_is_diagnosed_to_the_last_ns(make, traces):
    starts = [(BASELINE, INCIDENT)[t % 2].start_ns + t * MS for t in range(traces)]
    frame = pd.concat([make(t + 1, start) for t, start in enumerate(starts)], ignore_index=True)
    found = diagnose(evidence(frame), "front").verdict
    assert (found.completeness.traces, found.completeness.spans) == (traces, len(frame))
    assert found.completeness.orphans == found.completeness.duplicates == 0
    assert found.budget.total.incident_ns == found.budget.total.baseline_ns == 2 * MS
    assert sum(segment.incident_ns for segment in found.budget.segments) == 2 * MS
