"""Answers that stopped coming: waits whose server spans are seen in one window and hardly in the other.

Such time cannot be split into edge and callee; it is `unexplained` in the budget. The callee is still the suspect, with
low confidence, and its server spans are what would settle it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from opslib.core.model import Finding
from opslib.core.words import duration, figures, printable
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.compare import Clustering, Side, Yardstick, either_shift, side
from opslib.diagnosis.groups import by_key
from opslib.diagnosis.knowledge import Knowledge
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.segments import SILENT, Segment

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Waits:
    """All waits of a caller on a callee, whole client durations; silent: shares without a server span."""

    caller: str
    callee: str
    before: Side
    after: Side
    silent: tuple[float, float]
    z: float


def changed_waits(edges: pd.DataFrame, knowledge: Knowledge, clustering: Clustering) -> list[Waits]:
    """Return the edges whose share of unanswered waits differs by SILENCE or more, or of which hardly any is answered.

    Of these the baseline may hold calls from after the answers stopped, so that the shares differ by less.
    """
    keys = ["kind", "caller", "callee", "named_by"]
    callee = [knowledge.callee_of(Segment(*key)) for key in zip(*(edges[k] for k in keys), strict=True)]
    found = []
    for (caller, name), rows in by_key(edges.assign(callee=callee), ["caller", "callee"]):
        sides = [rows[rows["window"] == w] for w in (BASELINE, INCIDENT)]
        n = [int(s["n"].sum()) for s in sides]
        if not all(n):
            continue
        silent = [int(s.loc[s["kind"] == SILENT, "n"].sum()) / k for s, k in zip(sides, n, strict=True)]
        if abs(silent[1] - silent[0]) >= weights.SILENCE or (
            silent[1] > 1 - weights.SILENCE and silent[0] < 1
        ):
            before, after = (s.groupby("bucket", as_index=False)[["n", "ns"]].sum() for s in sides)
            z = clustering.tame(either_shift(before, after), *n)
            found.append(Waits(caller, name, side(before), side(after), (silent[0], silent[1]), z))
    return found


def silence_clues(found: list[Waits], by: Yardstick) -> list[Clue]:
    """Suspect the callees that fell silent where the waits on them grew."""
    clues = []
    for waits in found:
        growth = waits.after.mean_ns - waits.before.mean_ns
        share = growth / max(by.mean_ns, weights.SMOOTHING_NS)
        if waits.z < by.critical / 2 or growth <= 0:
            continue
        log_ratio = math.log((waits.after.mean_ns + 1) / (waits.before.mean_ns + 1))
        size = saturate(share, weights.HALF_SHARE) * saturate(log_ratio, weights.HALF_LOG_RATIO)
        significant = waits.z >= by.critical and share >= weights.PART_SHARE and growth >= weights.SLOWER_NS
        clues.append(
            _clue(waits, min(1.0, waits.z / by.critical) * math.sqrt(size), by, significant=significant)
        )
    return clues


def _clue(waits: Waits, strength: float, by: Yardstick, *, significant: bool) -> Clue:
    before, after = waits.before.mean_ns, waits.after.mean_ns
    statement = (
        f"{printable(waits.caller, 80)} -> {printable(waits.callee, 80)}: whole waits rose from {duration(before)} to "
        f"{duration(after)}; {figures(100 * waits.silent[1], 2)} % have no server span, "
        f"{figures(100 * waits.silent[0], 2)} % before"
    )
    finding = Finding(
        "trace", statement, round(after / MS, 6), round(before / MS, 6), "ms", by.source,
        f"client spans {waits.caller}->{waits.callee}",
    )  # fmt: skip
    edge = (waits.caller, waits.callee)
    return Clue("time", waits.callee, "edge", strength, finding, edge, silent=True, significant=significant)
