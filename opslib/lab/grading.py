"""Is a verdict right? Its kind, and whom its first candidate charges, against the truth of the scenario in effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.scenarios import Scenario, Truth


@dataclass(frozen=True, slots=True)
class Grade:
    """`right`, and one sentence that says why."""

    right: bool
    scenario: str
    statement: str
    expected: Truth

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def grade_verdict(scenario: Scenario, verdict: Mapping[str, Any] | None) -> Grade:
    """Compare a verdict JSON with what is true under a scenario; what is no verdict is wrong."""
    truth = scenario.truth
    said = _said(verdict or {})
    right = said.kind == truth.kind
    if truth.service is not None:
        right = right and said.service == truth.service
    if truth.edge is not None:
        right = right and said.edge == truth.edge
    word = "right" if right else "wrong"
    statement = f"{word}: the verdict is {_words(said)}; in effect is {scenario.name}: {_words(truth)}"
    return Grade(right, scenario.name, statement, truth)


def _said(verdict: Mapping[str, Any]) -> Truth:
    candidates = verdict.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else {}
    first = first if isinstance(first, dict) else {}
    edge = first.get("edge")
    pair = (str(edge[0]), str(edge[1])) if isinstance(edge, list | tuple) and len(edge) == 2 else None
    service = first.get("service")
    return Truth(
        verdict.get("verdict") or "undetermined", service if isinstance(service, str) else None, pair
    )


def _words(truth: Truth) -> str:
    if truth.kind in ("no_anomaly", "undetermined"):
        return truth.kind
    where = f"{truth.edge[0]} -> {truth.edge[1]}" if truth.edge else truth.service or "nobody"
    return f"{truth.kind} {where}"
