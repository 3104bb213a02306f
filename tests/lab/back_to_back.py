"""Scenarios back to back in one lab: each is injected, asked about with no hint of when, graded, and recovered from."""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from opslib import lab
from opslib.core.clock import SystemClock
from opslib.core.model import Verdict
from opslib.core.settings import Settings
from opslib.core.windows import Window, Windows
from opslib.core.words import figures
from opslib.diagnosis import calls_of
from opslib.investigate import find_cause
from opslib.lab.waiting import wait_for
from opslib.telemetry.capture import open_capture

# What payment's calls need, and less of the rest than by default: on a busy machine the shop must carry its load.
LOAD = {"payment": 8.0, "browse": 8.0, "orders": 4.0}
RECOVERY_S = 300.0  # at most; a turn that begins on a shop that is not well says so
_WELL_CALLS, _WELL_NS = 64, 60_000_000  # the latest calls, and what nine in ten of them take at most


@dataclass(frozen=True)
class Turn:
    """One scenario of one round; `asked_ns` is when the question was put, `well` whether the shop was before."""

    scenario: str
    seed: int
    verdict: str
    first: str  # whom rank 1 charges
    right: bool
    well: bool
    statement: str
    windows: str
    asked_ns: int
    seconds: float

    def line(self) -> str:
        right = "right" if self.right else "WRONG"
        unwell = "" if self.well else "  (the shop was not well before)"
        return f"{self.scenario:<26}{self.seed:>4}  {self.verdict:<13}{self.first:<34}{right}  {self.seconds:5.1f}{unwell}"


HEAD = f"{'scenario':<26}{'seed':>4}  {'verdict':<13}{'rank 1':<34}{'':<7}{'s':>5}"


def rounds(state: Path, seeds: Iterable[int], names: Iterable[str]) -> Iterator[Turn]:
    """Yield every scenario once for each seed, which decides their order: neighbours change from round to round."""
    for seed in seeds:
        order = sorted(names)
        random.Random(seed).shuffle(order)
        for name in order:
            yield take_turn(state, name, seed)


def take_turn(state: Path, name: str, seed: int) -> Turn:
    """Recover, inject, ask, grade."""
    begin_s = time.monotonic()
    lab.clear(state)
    well = await_recovery(state)
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
        well=well,
        statement=f"{grade.statement}; {verdict.summary}; missing: {', '.join(verdict.missing) or 'nothing'}",
        windows=found.window_choice,
        asked_ns=asked_ns,
        seconds=time.monotonic() - begin_s,
    )


def await_recovery(state: Path) -> bool:
    """Wait until calls since now are as they should be; tell whether they became so in time."""
    clock, since_ns = SystemClock(), time.time_ns()
    capture = open_capture(state / "capture", live=True)

    def well() -> bool:
        window = Window(since_ns, max(time.time_ns(), since_ns + 1))
        latest = calls_of(capture.spans(Windows(window)).blocks, "payment")[-_WELL_CALLS:]
        slow = int((latest["duration_ns"] > _WELL_NS).sum()) + int(latest["error"].sum())
        return len(latest) == _WELL_CALLS and 10 * slow <= _WELL_CALLS

    return bool(wait_for(well, RECOVERY_S, clock, every_s=1.0))


def _first(verdict: Verdict) -> str:
    if not verdict.candidates:
        return "-"
    first = verdict.candidates[0]
    where = " -> ".join(first.edge) if first.edge else first.service
    return f"{where} {figures(first.score, 2)} {first.confidence}"
