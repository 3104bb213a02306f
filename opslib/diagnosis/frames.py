"""The tables behind a verdict, as pandas frames for figures and people."""

from __future__ import annotations

import pandas as pd

from opslib.diagnosis.compare import side
from opslib.diagnosis.knowledge import Knowledge
from opslib.diagnosis.partial import BASELINE, INCIDENT, Partial
from opslib.diagnosis.segments import SERVICE, Segment

_NAMES = {BASELINE: "baseline", INCIDENT: "incident"}
EDGE_COLUMNS = [
    "caller", "callee", "dependency", "calls_baseline", "calls_incident", "errors_baseline", "errors_incident",
    "p50_baseline_ns", "p50_incident_ns", "mean_baseline_ns", "mean_incident_ns",
]  # fmt: skip


def calls_frame(partial: Partial) -> pd.DataFrame:
    """Return one row per call of the service in either window, by start, then trace."""
    calls = partial.calls.assign(window=partial.calls["window"].map(_NAMES))
    columns = ["trace_id", "start_ns", "duration_ns", "error", "operation", "window"]
    return calls.sort_values(["start_ns", "trace_id"], kind="stable", ignore_index=True)[columns]


def edges_frame(partial: Partial, knowledge: Knowledge) -> pd.DataFrame:
    """Return one row per caller and callee inside the calls: client-side counts, errors, medians and means (ns)."""
    table = partial.tables["edges"]
    keys = ["kind", "caller", "callee", "named_by"]
    segments = [Segment(*key) for key in zip(*(table[k] for k in keys), strict=True)]
    table = table.assign(callee=[knowledge.callee_of(segment) for segment in segments])
    rows = []
    for (caller, callee), found in table.groupby(["caller", "callee"], sort=True):
        before, after = (found[found["window"] == w] for w in (BASELINE, INCIDENT))
        sums = (_merged(before), _merged(after))
        rows.append(
            (
                caller,
                callee,
                callee not in knowledge.known,
                *(int(s["n"].sum()) for s in sums),
                *(int(s["errors"].sum()) for s in sums),
                *(side(s).p50_ns for s in sums),
                *(round(side(s).mean_ns) for s in sums),
            )
        )
    return pd.DataFrame(rows, columns=EDGE_COLUMNS)


def _merged(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby("bucket", as_index=False)[["n", "errors", "ns"]].sum()


def services_frame(partial: Partial) -> pd.DataFrame:
    """Return one row per service inside the calls: entries, and own critical-path time per call asked about (ns)."""
    table = partial.tables["elements"]
    work = table[table["kind"] == SERVICE]
    calls = [max(int((partial.calls["window"] == w).sum()), 1) for w in (BASELINE, INCIDENT)]
    rows = []
    for service, found in work.groupby("caller", sort=True):
        sides = [found[found["window"] == w] for w in (BASELINE, INCIDENT)]
        own = [int(s["ns"].sum()) // n for s, n in zip(sides, calls, strict=True)]
        rows.append((service, *(int(s["n"].sum()) for s in sides), *own))
    names = ["service", "calls_baseline", "calls_incident", "own_baseline_ns", "own_incident_ns"]
    return pd.DataFrame(rows, columns=names)
