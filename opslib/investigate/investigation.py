"""What an investigation hands over: the verdict, the tables and evidence behind it, and a way back to each trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from opslib.core.evidence import Evidence
from opslib.core.model import Verdict
from opslib.core.redact import Redactor
from opslib.core.settings import Environment
from opslib.diagnosis import Diagnosis, explain_trace
from opslib.telemetry.collect import empty_frame, redact_frame
from opslib.telemetry.protocols import Sources

_SLOWER = 1.2  # incident's median over the baseline's, below which failing calls are the more telling ones


@dataclass(frozen=True, slots=True)
class Investigation:
    """One question and its answer. `timings`: seconds by stage `load`, `critical_path`, `diagnose`."""

    service: str | None
    environment: Environment
    verdict: Verdict
    diagnosis: Diagnosis
    evidence: Evidence
    sources: Sources
    window_choice: str
    capture: Path | None = None
    timings: dict[str, float] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor)

    def trace(self, trace_id: str) -> pd.DataFrame:
        """Return one trace's spans in display order with `depth, own_ns, on_path, segment, edge_wait_ns`."""
        found = self.sources.traces.trace(trace_id).frame if self.sources.traces else empty_frame("spans")
        return explain_trace(redact_frame(found, self.redactor))

    def logs_of(self, trace_id: str) -> pd.DataFrame:
        """Return the log records of one trace that lie in either window, by time."""
        logs = self.evidence.logs
        return logs[logs["trace_id"] == trace_id].reset_index(drop=True)

    def slow_and_normal(self) -> tuple[str | None, str | None]:
        """Return the trace ids of one slow call of the incident and one typical call of the baseline.

        Slow is the call at the 95th percentile; where failures rose and durations did not, the middle failing call.
        Typical is the middle call, of the same operation where there is one.
        """
        calls = self.diagnosis.calls
        incident, baseline = (calls[calls["window"] == name] for name in ("incident", "baseline"))
        slow = _at(incident, 0.95)
        if _failures_rose(incident, baseline):
            slow = _at(incident[incident["error"]], 0.5)
        if slow is None:
            return None, _id(_at(baseline, 0.5))
        alike = baseline[baseline["operation"] == slow["operation"]]
        others = incident[incident["trace_id"] != slow["trace_id"]]
        normal = next((c for c in (alike, baseline, others) if len(c)), others)
        return _id(slow), _id(_at(normal, 0.5))


def _failures_rose(incident: pd.DataFrame, baseline: pd.DataFrame) -> bool:
    if not len(incident) or not incident["error"].any():
        return False
    if not len(baseline):
        return True
    more = incident["error"].mean() > 2 * baseline["error"].mean() + 0.01
    return bool(more and incident["duration_ns"].median() < _SLOWER * baseline["duration_ns"].median())


def _at(calls: pd.DataFrame, share: float) -> pd.Series | None:
    """Return the call at a rank of durations; ties by trace id, so that the same evidence shows the same trace."""
    if not len(calls):
        return None
    ordered = calls.sort_values(["duration_ns", "trace_id"], kind="stable")
    return ordered.iloc[min(len(ordered) - 1, int(share * len(ordered)))]


def _id(call: pd.Series | None) -> str | None:
    return None if call is None else str(call["trace_id"])
