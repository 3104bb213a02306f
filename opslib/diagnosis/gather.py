"""All clues of all signals, with one threshold for all tests made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from opslib.core.evidence import Evidence
from opslib.core.model import Budget
from opslib.diagnosis import weights
from opslib.diagnosis.callgraph import graph_clues, is_health
from opslib.diagnosis.changes import change_clues
from opslib.diagnosis.clues import Clue
from opslib.diagnosis.cohort_tables import OWN
from opslib.diagnosis.cohorts import DIMENSIONS, differences, rollouts, tests_of
from opslib.diagnosis.compare import CallShift, Yardstick, shifts
from opslib.diagnosis.errors import error_clues, origins
from opslib.diagnosis.knowledge import Knowledge
from opslib.diagnosis.logpatterns import log_clues, risen_patterns
from opslib.diagnosis.mesh import Mesh
from opslib.diagnosis.mesh_clues import mesh_clues
from opslib.diagnosis.mesh_samples import is_mesh
from opslib.diagnosis.metrics import metric_clues, metric_shifts
from opslib.diagnosis.partial import BASELINE, Partial
from opslib.diagnosis.pools import is_pool, pool_clues
from opslib.diagnosis.release_clues import cohort_clues, rollout_clues
from opslib.diagnosis.segments import Segment
from opslib.diagnosis.series import series_of
from opslib.diagnosis.silence import changed_waits, silence_clues
from opslib.diagnosis.statistics import critical_z
from opslib.diagnosis.structure import shape_shifts, structure_clues
from opslib.diagnosis.time_clues import budget_shares, common_growth, time_clues


def gather(
    evidence: Evidence,
    partial: Partial,
    knowledge: Knowledge,
    calls: CallShift,
    budget: Budget,
    *,
    mesh: Mesh,
    service: str,
) -> list[Clue]:
    """Return every clue against every service."""
    found = shifts(partial.tables["elements"], knowledge, calls.clustering)
    shapes = list(shape_shifts(partial.tables["shapes"], calls.clustering))
    failures = origins(partial.tables["origins"], (calls.before.n, calls.after.n), calls.clustering)
    silent = changed_waits(partial.tables["edges"], knowledge, calls.clustering)
    cohorts = [
        one
        for dimension in DIMENSIONS
        for one in differences(partial.tables["cohorts"], dimension, calls.clustering)
    ]
    tests = (*(one.z for those in (found, silent, shapes) for one in those), *tests_of(cohorts))
    critical = critical_z(tests, weights.FALSE_ALARM)
    # a family of their own: one test each, few of them, and where nothing fails none at all
    critical_failures = critical_z((f.z for f in failures), weights.FALSE_ALARM, cuts=1)
    source = evidence.note("trace").url or "spans"
    shares, at_first = budget_shares(budget), calls.before.mean_ns
    by = Yardstick(critical, common_growth(found), involved(partial, knowledge), shares, at_first, source)
    clues = [
        *time_clues(found, by),
        *silence_clues(silent, by),
        *structure_clues(shapes, partial.tables["children"], _edges_seen(partial), critical, source),
        *error_clues(failures, knowledge, critical_failures, source),
        *cohort_clues(cohorts, by),
    ]
    clues += _mesh_clues(evidence, partial, mesh, knowledge, service)
    clues += _other_signals(evidence, partial, knowledge, calls, clues, service=service)
    clues += rollout_clues(clues, rollouts(partial.tables["cohorts"]), source)
    return [clue for clue in _quietened(clues, knowledge) if clue.strength >= weights.LEAST]


def _mesh_clues(
    evidence: Evidence, partial: Partial, mesh: Mesh, knowledge: Knowledge, service: str
) -> list[Clue]:
    """Where traces show the calls, a mesh adds the versions that no span tells; the rest supports as other metrics do."""
    if not mesh.flows:
        return []
    source, part = evidence.note("metric").url or "metrics", _taking_part(partial, knowledge)
    found = mesh_clues(mesh, service, knowledge.known, source)
    if not part:
        return found
    cohorts = partial.tables["cohorts"]
    told = set(cohorts.loc[(cohorts["side"] == OWN) & (cohorts["version"] != ""), "caller"])
    return [
        clue if clue.version else dataclasses.replace(clue, family="metric", significant=False)
        for clue in found
        if clue.service in part and not (clue.version and clue.service in told)
    ]


def _other_signals(
    evidence: Evidence,
    partial: Partial,
    knowledge: Knowledge,
    calls: CallShift,
    traced: list[Clue],
    *,
    service: str,
) -> list[Clue]:
    """Logs, metrics and changes of the services that have a part in the calls; of all where there are no traces.

    traced: the clues of the traces.
    """
    part = _taking_part(partial, knowledge)
    patterns, per = risen_patterns(evidence, calls)
    critical = critical_z((pattern.z for pattern in patterns), weights.FALSE_ALARM)
    series = list(series_of(evidence.metrics[~is_mesh(evidence.metrics["name"])]))
    shifts_found = metric_shifts(series, evidence.windows)
    source = evidence.note("metric").url or "metrics"
    pools = metric_shifts((s for s in series if is_pool(s)), evidence.windows, least=1)
    graph = [] if part else graph_clues(shifts_found, evidence.topology, service, source)
    rest = shifts_found if part else [s for s in shifts_found if not is_health(s)]
    return [
        *graph,
        *log_clues(patterns, per, part, critical, evidence.note("log").url or "logs"),
        *metric_clues(rest, part, source),
        *pool_clues(pools, traced, source),
        *change_clues(evidence, part),
    ]


def _taking_part(partial: Partial, knowledge: Knowledge) -> set[str]:
    """Return the services with work or waits inside the calls."""
    table = partial.tables["elements"]
    keys = zip(*(table[k] for k in ("kind", "caller", "callee", "named_by")), strict=True)
    segments = {Segment(*key) for key in keys}
    return {name for s in segments for name in (s.caller, knowledge.callee_of(s))} - {""}


def _quietened(clues: list[Clue], knowledge: Knowledge) -> list[Clue]:
    """Weaken logs of traced services that do in traces as before, where traces blame another: loud is not slow."""
    strong = (c for c in clues if c.significant or c.strength >= weights.LOUD)
    traced = {clue.service for clue in strong if clue.finding.signal == "trace"}
    if not any(clue.significant and clue.finding.signal == "trace" for clue in clues):
        return clues
    loud = knowledge.traced - traced
    return [c.weaker(weights.LOUD) if c.family == "log" and c.service in loud else c for c in clues]


def _edges_seen(partial: Partial) -> set[tuple[str, str]]:
    table = partial.tables["edges"]
    return set(zip(table["caller"], table["callee"], strict=True))


def involved(partial: Partial, knowledge: Knowledge) -> dict[str, float]:
    """Return by label the mean duration in the baseline of the calls that spend time there."""
    labels = np.array([knowledge.place(s).label for s in partial.segments], dtype=object)
    if not len(partial.part_call):
        return {}
    in_baseline = (partial.calls["window"].to_numpy() == BASELINE)[partial.part_call]
    frame = pd.DataFrame(
        {
            "label": labels[partial.part_segment[in_baseline]],
            "call": partial.part_call[in_baseline],
        }
    ).drop_duplicates()
    frame["ns"] = partial.calls["duration_ns"].to_numpy()[frame["call"]]
    grouped = frame.groupby("label")["ns"].agg(["sum", "count"])
    return {
        str(k): int(s) / int(n)
        for k, s, n in zip(grouped.index, grouped["sum"], grouped["count"], strict=True)
    }
