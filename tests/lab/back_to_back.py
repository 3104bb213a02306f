"""Scenarios back to back in one lab: each is injected, asked about with no hint of when, and graded."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from opslib import lab
from opslib.core.model import Verdict
from opslib.core.settings import Settings
from opslib.core.words import figures
from opslib.investigate import find_cause


@dataclass(frozen=True)
class Turn:
    """One scenario of one round; `asked_ns` is when the question was put."""

    scenario: str
    seed: int
    verdict: str
    first: str  # whom rank 1 charges
    right: bool
    statement: str
    windows: str
    asked_ns: int
    seconds: float

    def line(self) -> str:
        right = "right" if self.right else "WRONG"
        return f"{self.scenario:<26}{self.seed:>4}  {self.verdict:<13}{self.first:<32}{right}  {self.seconds:5.1f}"


HEAD = f"{'scenario':<26}{'seed':>4}  {'verdict':<13}{'rank 1':<32}{'':<7}{'s':>5}"


def rounds(state: Path, seeds: Iterable[int], names: Iterable[str]) -> Iterator[Turn]:
    """Yield every scenario once for each seed, which decides their order: nobody has the same neighbours twice."""
    for seed in seeds:
        order = sorted(names)
        random.Random(seed).shuffle(order)
        for name in order:
            yield take_turn(state, name, seed)


def take_turn(state: Path, name: str, seed: int, clock: Callable[[], float] = time.monotonic) -> Turn:
    """Inject (which first mends what was broken), ask, grade."""
    begin_s = clock()
    lab.inject(state, name)
    asked_ns = time.time_ns()
    found = find_cause("payment", settings=Settings(cwd=state, lab_state=state))
    verdict = found.verdict
    grade = lab.grade(state, verdict.to_dict())
    return Turn(
        scenario=name,
        seed=seed,
        verdict=verdict.verdict,
        first=_first(verdict),
        right=grade.right,
        statement=f"{grade.statement}; {verdict.summary}; missing: {', '.join(verdict.missing) or 'nothing'}",
        windows=found.window_choice,
        asked_ns=asked_ns,
        seconds=clock() - begin_s,
    )


def _first(verdict: Verdict) -> str:
    if not verdict.candidates:
        return "-"
    first = verdict.candidates[0]
    where = " -> ".join(first.edge) if first.edge else first.service
    return f"{where} {figures(first.score, 2)} {first.confidence}"
