"""What is true under a scenario: which verdicts are right. Frozen data, read by the grading alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from opslib.core.model import Confidence, VerdictKind


@dataclass(frozen=True, slots=True)
class Answer:
    """A right verdict: its kind, whom rank 1 charges, over which edge, how surely; None: any."""

    kind: VerdictKind
    service: str | None = None
    edge: tuple[str, str] | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class Truth(Answer):
    """The answer that is expected, and what else is asked of a verdict that gives it or another one in `also`."""

    also: tuple[Answer, ...] = ()  # right too
    together: tuple[str, ...] = ()  # services that are the first ones, in any order
    innocent: tuple[str, ...] = ()  # services that are not among the first two
    scope: tuple[str, str | None] | None = None  # the first attribute in the scope, and its value
    missing: tuple[str, ...] = ()  # words that the list of what is missing has
    evidence: tuple[str, ...] = ()  # words that the evidence of rank 1 has
    suspects: tuple[str, ...] = field(default=())  # only these may be charged with high or medium confidence
    skewed: bool = False  # completeness counts skewed spans
