"""How often the diagnosis names the true cause of public incidents: top-1, top-3, top-5, MRR, beside chance.

The captures and the truth beside each (`NAME/` and `NAME.truth.json` in one folder per collection) are made elsewhere
and never part of this repository. A ranking counts only where the verdict is neither `no_anomaly` nor `undetermined`;
those abstentions are counted apart.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from opslib.core.errors import OpslibError
from opslib.investigate import find_cause

VARIABLE = "OPSLIB_BENCH_CAPTURES"
ABSTAINED = ("no_anomaly", "undetermined")


@dataclass(frozen=True)
class Case:
    """One incident: its kind of fault, the rank given to the true cause (0: not listed, or abstained)."""

    name: str
    kind: str
    rank: int
    abstained: bool
    services: int


def captures_folder(asked: str | None) -> tuple[Path | None, str]:
    """Return the folder of captures, or why there is none."""
    named = asked or os.environ.get(VARIABLE, "")
    if not named:
        return None, f"no captures named: --captures DIR or {VARIABLE}"
    folder = Path(named)
    if not any(folder.glob("*/*.truth.json")):
        return None, f"{folder} holds no COLLECTION/NAME.truth.json"
    return folder, ""


def collections(folder: Path) -> Iterator[tuple[str, list[Case]]]:
    """Yield each collection of captures with its judged cases."""
    for collection in sorted(p for p in folder.iterdir() if p.is_dir()):
        truths = sorted(collection.glob("*.truth.json"))
        if truths:
            yield collection.name, [judge(truth) for truth in truths]


def judge(truth_file: Path) -> Case:
    """Diagnose one capture and look up the true cause in the ranking."""
    truth = json.loads(truth_file.read_text())
    name = truth_file.name.removesuffix(".truth.json")
    try:
        verdict = find_cause(truth["entry"], capture=truth_file.parent / name).verdict
        said, ranked = verdict.verdict, [candidate.service for candidate in verdict.candidates]
    except OpslibError:
        said, ranked = "undetermined", []
    abstained = said in ABSTAINED
    found = not abstained and truth["service"] in ranked
    rank = ranked.index(truth["service"]) + 1 if found else 0
    return Case(name, str(truth["type"]), rank, abstained, int(truth["services"]))


def summary(cases: Sequence[Case]) -> tuple[str, ...]:
    """Return the cells of one row: cases, top-1, top-3, top-5, MRR, chance of top-1, abstentions."""
    n = len(cases)
    within = [sum(0 < case.rank <= k for case in cases) / n for k in (1, 3, 5)]
    reciprocal = sum(1 / case.rank for case in cases if case.rank) / n
    chance = sum(1 / max(case.services, 1) for case in cases) / n
    abstentions = sum(case.abstained for case in cases)
    return (
        str(n),
        *(f"{x:.2f}" for x in (*within, reciprocal, chance)),
        f"{abstentions} ({abstentions / n:.0%})",
    )


def report(folder: Path) -> str:
    """Return the accuracy table of all collections, each as a whole and by kind of fault."""
    rows: list[tuple[str, ...]] = [
        ("accuracy", "cases", "top-1", "top-3", "top-5", "MRR", "chance", "abstained")
    ]
    for name, cases in collections(folder):
        by_kind: dict[str, list[Case]] = defaultdict(list)
        for case in cases:
            by_kind[case.kind].append(case)
        rows.append((name, *summary(cases)))
        rows += [(f"   {kind}", *summary(by_kind[kind])) for kind in sorted(by_kind)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
