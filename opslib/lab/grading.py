"""Is a verdict right? Its kind and whom it charges, its scope and its gaps, against the truth of the scenario in effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.scenarios import Scenario
from opslib.lab.truth import Answer, Truth

_SURE = ("high", "medium")


@dataclass(frozen=True, slots=True)
class Grade:
    """`right`, and one sentence that says why; `faults` are what else is wrong or lacking."""

    right: bool
    scenario: str
    statement: str
    expected: Truth
    faults: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def grade_verdict(scenario: Scenario, verdict: Mapping[str, Any] | None) -> Grade:
    """Compare a verdict JSON with what is true under a scenario; what is no verdict is wrong."""
    truth, said = scenario.truth, _Said(verdict or {})
    answered = any(_matches(said.answer, answer) for answer in (truth, *truth.also))
    faults = () if not answered else tuple(_faults(said, truth))
    right = answered and not faults
    statement = (
        f"{'right' if right else 'wrong'}: the verdict is {_words(said.answer)}"
        f"{''.join(f', but {fault}' for fault in faults)}; in effect is {scenario.name}: {_words(truth)}"
    )
    return Grade(right, scenario.name, statement, truth, faults)


class _Said:
    """A verdict JSON as far as it is one; whatever else it holds is left out."""

    def __init__(self, verdict: Mapping[str, Any]) -> None:
        self._verdict = verdict
        self.candidates = self.dicts(verdict, "candidates")
        first = self.candidates[0] if self.candidates else {}
        edge = first.get("edge")
        pair = (str(edge[0]), str(edge[1])) if isinstance(edge, list | tuple) and len(edge) == 2 else None
        service = first.get("service")
        self.answer = Answer(
            verdict.get("verdict") or "undetermined",
            service if isinstance(service, str) else None,
            pair,
            first.get("confidence"),
        )
        self.evidence = " ".join(str(e.get("statement")) for e in self.dicts(first, "evidence"))

    @staticmethod
    def dicts(record: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        items = record.get(name)
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    @property
    def services(self) -> list[str]:
        return [str(candidate.get("service")) for candidate in self.candidates]

    @property
    def scope(self) -> tuple[str, str]:
        first = (self.dicts(self._verdict, "scope") or [{}])[0]
        return str(first.get("attribute")), str(first.get("value"))

    @property
    def missing(self) -> str:
        missing = self._verdict.get("missing")
        return " ".join(map(str, missing)) if isinstance(missing, list) else ""

    @property
    def skewed(self) -> int:
        completeness = self._verdict.get("completeness")
        skewed = completeness.get("skewed") if isinstance(completeness, dict) else 0
        return skewed if isinstance(skewed, int) else 0


def _matches(said: Answer, right: Answer) -> bool:
    wanted = ((right.service, said.service), (right.edge, said.edge), (right.confidence, said.confidence))
    return said.kind == right.kind and all(want in (None, has) for want, has in wanted)


def _faults(said: _Said, truth: Truth) -> Iterator[str]:
    """Yield what is wrong with a verdict whose answer is right."""
    first = said.services[: len(truth.together)]
    if set(first) != set(truth.together):
        yield f"first in rank are {', '.join(first) or 'none'}"
    for service in truth.innocent:
        if service in said.services[:2]:
            yield f"{service} is among the first two"
    if truth.scope is not None and not _in_scope(said.scope, truth.scope):
        yield f"its scope begins with {said.scope[0]} {said.scope[1]}"
    for word in truth.missing:
        if word not in said.missing:
            yield f"what is missing does not name {word}"
    for word in truth.evidence:
        if word not in said.evidence:
            yield f"the evidence does not name {word}"
    if truth.skewed and said.skewed <= 0:
        yield "no skewed span is counted"
    sure = [str(c.get("service")) for c in said.candidates if c.get("confidence") in _SURE]
    if truth.suspects and (wrong := set(sure) - set(truth.suspects)):
        yield f"it is sure of {', '.join(sorted(wrong))}"


def _in_scope(said: tuple[str, str], wanted: tuple[str, str | None]) -> bool:
    # `tenant.id` and `service.version` are what the conventions call a tenant and a version.
    return wanted[0] in said[0].split(".") and wanted[1] in (None, said[1])


def _words(answer: Answer) -> str:
    if answer.kind in ("no_anomaly", "undetermined"):
        return answer.kind
    where = f"{answer.edge[0]} -> {answer.edge[1]}" if answer.edge else answer.service or "nobody"
    return f"{answer.kind} {where}"
