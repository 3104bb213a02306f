"""Evidence in, verdict out: map over blocks, merge, finish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import numpy as np
import pandas as pd

from opslib.core.errors import UsageError
from opslib.core.evidence import Evidence, SpanBlock
from opslib.core.model import Onset, ScopeItem, Verdict
from opslib.diagnosis.budget import budgets
from opslib.diagnosis.clues import Clue
from opslib.diagnosis.compare import CallShift, compare_calls
from opslib.diagnosis.frames import calls_frame, edges_frame, services_frame
from opslib.diagnosis.gather import gather
from opslib.diagnosis.knowledge import learn
from opslib.diagnosis.mapped import map_spans
from opslib.diagnosis.mesh import Mesh, read_mesh
from opslib.diagnosis.mesh_clues import mesh_state, version_scope
from opslib.diagnosis.onset import find_onset
from opslib.diagnosis.partial import Partial, empty_partial, in_order, merge, only_group, reduce_spans
from opslib.diagnosis.rank import nobody_sure, rank
from opslib.diagnosis.scope import scope_of
from opslib.diagnosis.verdict import answer, completeness, gaps, lead_of, state_of

_MOST_NS = 1 << 62  # half of what 64 bits hold

P = ParamSpec("P")
T = TypeVar("T")

_NO_CAUSE = ("no_anomaly", "undetermined")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict and the tables behind it.

    calls: a row per call: trace_id, start_ns, duration_ns, error, operation, window ("baseline" or "incident").
    edges: a row per caller and callee inside the calls, with counts, errors, medians and means of client-side durations in ns.
    services: a row per service: its calls, and its own critical-path time per call of the service asked about, in ns.
    timings: seconds by stage, `critical_path` (calls found, their paths walked, own time charged) and `diagnose` (the
    tables made of it, statistics, verdict).
    """

    verdict: Verdict
    calls: pd.DataFrame
    edges: pd.DataFrame
    services: pd.DataFrame
    timings: dict[str, float] = field(default_factory=dict)


def diagnose(evidence: Evidence, service: str | None = None) -> Diagnosis:
    """Find why calls of `service` are slow or failing; without it, those root operations that are.

    Pure and deterministic: same evidence, same verdict, whatever the order and cut of the blocks.
    """
    walking, reducing = _Clock(), _Clock()
    walked = (walking.time(map_spans, block, service, evidence.windows) for block in _bounded(evidence.spans))
    mapped = [reducing.time(reduce_spans, *spans) for spans in walked]
    middle = time.perf_counter()
    merged = in_order(merge(mapped)) if mapped else empty_partial()
    chosen = service if service is not None else _affected(merged, evidence)
    finished = _finish(evidence, only_group(merged, chosen) if service is None else merged, chosen)
    timings = {
        "critical_path": walking.spent_s,
        "diagnose": reducing.spent_s + time.perf_counter() - middle,
    }
    return Diagnosis(*finished, timings)


def _bounded(blocks: Iterable[SpanBlock]) -> Iterator[SpanBlock]:
    """Pass blocks on while all sums of their times fit 64 bits. Raises UsageError for what no system spends."""
    spent_ns = 0.0
    for block in blocks:
        spent_ns += float((block.end - block.start).sum(dtype=np.float64))
        if spent_ns > _MOST_NS:
            raise UsageError(
                "the spans last longer than a hundred years together: their times are wrong",
                hint="times are unix nanoseconds; a shorter window may leave out the spans that never ended",
            )
        yield block


@dataclass(slots=True)
class _Clock:
    """Adds up the time inside calls: blocks may be read from disk between them, and that is the reader's time."""

    spent_s: float = 0.0

    def time(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        started = time.perf_counter()
        result = work(*args, **kwargs)
        self.spent_s += time.perf_counter() - started
        return result


def _affected(partial: Partial, evidence: Evidence) -> str:
    """Return the service whose root operations changed most; where none did, the one with most calls."""
    scores = []
    for name, calls in partial.calls.groupby("group", sort=True):
        shift = compare_calls(calls, evidence.windows)
        slower = min(max(shift.z, 0.0), 8.0) * max(shift.ratio - 1, 0.0) if shift.z >= 3 else 0.0
        failing = shift.failed_after / max(shift.after.n, 1) - shift.failed_before / max(shift.before.n, 1)
        scores.append((round(slower + 8 * max(failing, 0.0), 6), len(calls), str(name)))
    return min(scores, key=lambda s: (-s[0], -s[1], s[2]))[2] if scores else ""


def _finish(
    evidence: Evidence, partial: Partial, service: str
) -> tuple[Verdict, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    mesh = read_mesh(evidence.metrics, evidence.windows)
    knowledge = learn(evidence, partial, mesh.workloads())
    calls = compare_calls(partial.calls, evidence.windows)
    budget, tail = budgets(partial, knowledge)
    blocking = gaps(evidence, calls, partial.counts)
    clues = gather(evidence, partial, knowledge, calls, budget, mesh=mesh, service=service)
    candidates = rank(clues)
    frame = calls_frame(partial)
    onset = _onset(evidence, frame)
    state = state_of(service, calls, mesh_state(mesh, service))
    said = answer(state, calls, candidates, clues, blocking, changed=onset is not None)
    told = said.verdict != "no_anomaly" and not blocking and candidates
    verdict = Verdict(
        service=service,
        verdict=said.verdict,
        summary=said.summary,
        windows=evidence.windows,
        candidates=candidates if said.verdict not in _NO_CAUSE else nobody_sure(candidates),
        missing=said.missing,
        onset=onset if said.verdict != "no_anomaly" else None,
        scope=_scope(evidence, partial, calls, lead_of(candidates[0], clues), mesh=mesh, service=service)
        if told
        else (),
        budget=budget,
        tail_budget=tail,
        completeness=completeness(evidence, partial),
    )
    return verdict, frame, edges_frame(partial, knowledge), services_frame(partial)


def _scope(
    evidence: Evidence, partial: Partial, calls: CallShift, lead: Clue, *, mesh: Mesh, service: str
) -> tuple[ScopeItem, ...]:
    """Return for whom: from traces of the calls, where there are any."""
    if len(partial.calls):
        return scope_of(evidence, partial.calls, calls, service, lead)
    return version_scope(mesh, lead)


def _onset(evidence: Evidence, calls: pd.DataFrame) -> Onset | None:
    """Return when calls became as they are at the end of the incident, where the baseline leads up to it."""
    baseline, incident = evidence.windows.baseline, evidence.windows.incident
    if baseline is None or not 0 <= incident.start_ns - baseline.end_ns <= incident.length_ns:
        return None
    return find_onset(
        calls["start_ns"].to_numpy(dtype=np.int64),
        calls["duration_ns"].to_numpy(dtype=np.int64),
        calls["error"].to_numpy(dtype=np.bool_),
    )
