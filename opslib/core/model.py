"""The verdict and its parts as frozen dataclasses; `Verdict.to_dict` is the JSON contract, schema 1.

Times are integer nanoseconds. `evidence.value` and `score` are the only floats, rounded once by whoever makes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from opslib.core.windows import Window, Windows

Kind = Literal["edge", "service", "dependency", "release"]
VerdictKind = Literal["edge", "service", "dependency", "release", "no_anomaly", "undetermined"]
Confidence = Literal["high", "medium", "low"]
Signal = Literal["trace", "log", "metric", "event"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence: what was seen, against what, in which unit, and where to look it up again."""

    signal: Signal
    statement: str
    value: float
    baseline: float | None
    unit: str
    source: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One suspect; `service` is the one charged with the cause, for an edge its callee."""

    rank: int
    kind: Kind
    service: str
    score: float
    confidence: Confidence
    pod: str | None = None
    edge: tuple[str, str] | None = None
    operation: str | None = None
    evidence: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A line of a time budget: `service S`, `edge A->B`, `dependency D`, `mix` or `unexplained`."""

    segment: str
    baseline_ns: int
    incident_ns: int

    @property
    def delta_ns(self) -> int:
        return self.incident_ns - self.baseline_ns


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the time of one mean call goes, in both windows; each column of the segments sums to its total."""

    n_baseline: int
    n_incident: int
    total: Segment
    segments: tuple[Segment, ...]
    cohort: Literal["all", "slow"] = "all"
    statistic: str = "mean"


@dataclass(frozen=True, slots=True)
class Onset:
    """When the change began, and how far off that may be."""

    time_ns: int
    uncertainty_s: float


@dataclass(frozen=True, slots=True)
class ScopeItem:
    """An attribute value that slow calls have more often than normal calls; shares are 0 to 1."""

    attribute: str
    value: str
    share_slow: float
    share_normal: float


@dataclass(frozen=True, slots=True)
class Completeness:
    """What is known to be missing or doubtful in the evidence; it travels with every result."""

    traces: int = 0
    spans: int = 0
    selection: Mapping[str, str] = field(
        default_factory=lambda: {"incident": "unknown", "baseline": "unknown"}
    )
    truncated: bool = False
    clipped: int = 0
    orphans: int = 0
    duplicates: int = 0
    skewed: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "why are calls of this service slow or failing?", with its evidence and its gaps."""

    service: str
    verdict: VerdictKind
    summary: str
    windows: Windows
    candidates: tuple[Candidate, ...] = ()
    missing: tuple[str, ...] = ()
    onset: Onset | None = None
    scope: tuple[ScopeItem, ...] = ()
    budget: Budget | None = None
    tail_budget: Budget | None = None
    completeness: Completeness = field(default_factory=Completeness)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as the JSON contract's plain dict (keys in a fixed order)."""
        baseline = self.windows.baseline
        return {
            "schema": SCHEMA,
            "service": self.service,
            "verdict": self.verdict,
            "summary": self.summary,
            "missing": list(self.missing),
            "windows": {
                "incident": _pair(self.windows.incident),
                "baseline": _pair(baseline) if baseline else None,
            },
            "onset": {"time": self.onset.time_ns, "uncertainty_s": self.onset.uncertainty_s}
            if self.onset
            else None,
            "scope": [dataclasses.asdict(item) for item in self.scope],
            "candidates": [_candidate_dict(candidate) for candidate in self.candidates],
            "budget": _budget_dict(self.budget),
            "tail_budget": _budget_dict(self.tail_budget),
            "completeness": {
                **dataclasses.asdict(dataclasses.replace(self.completeness, selection={})),
                "selection": dict(self.completeness.selection),
                "warnings": list(self.completeness.warnings),
            },
        }


def _pair(window: Window) -> list[int]:
    return [window.start_ns, window.end_ns]


def _candidate_dict(candidate: Candidate) -> dict[str, Any]:
    return {
        "rank": candidate.rank,
        "kind": candidate.kind,
        "service": candidate.service,
        "pod": candidate.pod,
        "edge": list(candidate.edge) if candidate.edge else None,
        "operation": candidate.operation,
        "score": candidate.score,
        "confidence": candidate.confidence,
        "evidence": [dataclasses.asdict(finding) for finding in candidate.evidence],
    }


def _budget_dict(budget: Budget | None) -> dict[str, Any] | None:
    if budget is None:
        return None
    return {
        "statistic": budget.statistic,
        "cohort": budget.cohort,
        "n_baseline": budget.n_baseline,
        "n_incident": budget.n_incident,
        "total": _columns(budget.total),
        "segments": [{"segment": segment.segment, **_columns(segment)} for segment in budget.segments],
    }


def _columns(segment: Segment) -> dict[str, int]:
    return {
        "baseline_ns": segment.baseline_ns,
        "incident_ns": segment.incident_ns,
        "delta_ns": segment.delta_ns,
    }
