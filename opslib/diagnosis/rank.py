"""One list of suspects from all clues: at most one entry per service, every service with a clue, strongest first.

Within a service, clues of one family do not add up (they show one thing from several sides): the strongest counts.
Families add as independent witnesses, 1 - product(1 - weight x strength). Ties go to the name, which is the last resort.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

from opslib.core.model import Candidate, Confidence
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue

_EVIDENCE = 8  # findings kept per suspect, strongest first


def rank(clues: Sequence[Clue]) -> tuple[Candidate, ...]:
    """Return the suspects, best first."""
    by_service: dict[str, list[Clue]] = defaultdict(list)
    for clue in clues:
        by_service[clue.service].append(clue)
    suspects = [(score(found), service, _strongest_first(found)) for service, found in by_service.items()]
    suspects.sort(key=lambda suspect: (-suspect[0], suspect[1]))
    return tuple(
        _candidate(number, service, value, found)
        for number, (value, service, found) in enumerate(suspects, start=1)
    )


def score(clues: Sequence[Clue]) -> float:
    """Return 0 to 1, rounded to four places."""
    best: dict[str, float] = defaultdict(float)
    for clue in clues:
        best[clue.family] = max(best[clue.family], clue.strength)
    doubt = 1.0
    for family in sorted(best):
        doubt *= 1 - weights.WEIGHT[family] * min(best[family], 1.0)
    return round(1 - doubt, 4)


def _strongest_first(clues: Sequence[Clue]) -> list[Clue]:
    """A version that does worse than the other beside it explains what its service does: it comes first."""
    return sorted(
        clues,
        key=lambda c: (
            c.family != "release",
            -weights.WEIGHT[c.family] * c.strength,
            c.family,
            c.finding.statement,
        ),
    )


def _candidate(number: int, service: str, value: float, clues: list[Clue]) -> Candidate:
    lead = clues[0]
    pods = {clue.pod for clue in clues}
    apart = next((clue.pod for clue in clues if clue.family == "pod"), None)
    return Candidate(
        rank=number,
        kind=lead.kind,
        service=service,
        score=value,
        confidence=confidence(value, silent=lead.silent),
        pod=lead.pod if len(pods) == 1 else apart if lead.kind != "release" else None,
        edge=lead.edge,
        operation=lead.operation,
        evidence=tuple(clue.finding for clue in clues[:_EVIDENCE]),
    )


def nobody_sure(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the same suspects where the verdict names no cause: nobody is more than a suspect then."""
    return tuple(dataclasses.replace(candidate, confidence="low") for candidate in candidates)


def confidence(value: float, *, silent: bool) -> Confidence:
    """Say a score in words; where the suspect itself is silent nothing better than low."""
    if silent or value < weights.MEDIUM:
        return "low"
    return "high" if value >= weights.HIGH else "medium"
