"""Failures charged to where they begin: the deepest span that failed without a failed child; propagation is not blamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from opslib.core.model import Finding
from opslib.core.words import printable, share
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.compare import Clustering
from opslib.diagnosis.groups import by_key
from opslib.diagnosis.knowledge import Knowledge
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.segments import EDGE, SERVICE, Segment
from opslib.diagnosis.statistics import share_shift


@dataclass(frozen=True, slots=True)
class Origin:
    """Calls (before, after) in which something begins to fail at one place, of all calls of the service."""

    segment: Segment
    operation: str
    n: tuple[int, int]
    of: tuple[int, int]
    reached: float  # share of these calls that failed as a whole
    z: float

    @property
    def rose(self) -> float:
        return self.n[1] / max(self.of[1], 1) - self.n[0] / max(self.of[0], 1)


def origins(table: pd.DataFrame, calls: tuple[int, int], clustering: Clustering) -> list[Origin]:
    """Compare each place where failures begin. calls: of the service, (before, after)."""
    found = []
    for key, rows in by_key(table, ["kind", "caller", "callee", "named_by"]):
        sides = [rows[rows["window"] == w] for w in (BASELINE, INCIDENT)]
        n = tuple(min(int(side["calls"].sum()), k) for side, k in zip(sides, calls, strict=True))
        z = clustering.tame(share_shift(n[0], calls[0], n[1], calls[1]), *calls)
        ranked = sides[1].sort_values(["calls", "operation"], ascending=[False, True])["operation"]
        reached = int(sides[1]["failed_calls"].sum()) / max(int(sides[1]["calls"].sum()), 1)
        operation = str(ranked.iloc[0]) if len(ranked) else ""
        found.append(Origin(Segment(*key), operation, (n[0], n[1]), calls, reached, z))
    return found


def error_clues(found: Sequence[Origin], knowledge: Knowledge, critical: float, source: str) -> list[Clue]:
    """Charge each place where more calls begin to fail than before."""
    return [
        _clue(origin, knowledge, source)
        for origin in found
        if origin.z >= critical and origin.rose >= weights.FAILING_SHARE
    ]


def _clue(origin: Origin, knowledge: Knowledge, source: str) -> Clue:
    segment, operation, n, calls = origin.segment, origin.operation, origin.n, origin.of
    # handled failures (a retry that went well) hurt less than those that reach the caller
    strength = saturate(origin.rose * (0.5 + origin.reached / 2), weights.HALF_FAILING)
    callee = knowledge.callee_of(segment)
    place = knowledge.place(segment)
    if segment.kind == SERVICE:
        kind, service, edge, where = "service", segment.caller, None, f"errors begin in {segment.caller}"
    else:
        # a wait that failed although the callee's own span did not, or without any: the callee was not reached
        kind = "dependency" if place.kind == "dependency" else "edge"
        service, edge = callee, (segment.caller, callee)
        where = f"errors begin on the way {segment.caller} -> {callee}"
    statement = (
        f"{printable(where, 120)}, operation {printable(operation, 80)}: "
        f"{share(n[1], calls[1])} of the calls, {share(n[0], calls[0])} before"
    )
    finding = Finding(
        "trace",
        statement,
        round(100 * n[1] / max(calls[1], 1), 4),
        round(100 * n[0] / max(calls[0], 1), 4),
        "%",
        source,
        f"spans with status ERROR and no ERROR child, {where}",
    )
    silent = segment.kind not in (SERVICE, EDGE) and place.silent
    return Clue("errors", service, kind, strength, finding, edge, operation, silent=silent, significant=True)  # type: ignore[arg-type]
