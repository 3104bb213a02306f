"""From two windows to the spans of their traces: which services are searched, how many slices, when it is enough.

A trace is kept where its anchor (`answers.anchors`) lies in the slice that found it, so it comes once, and neither a
slice nor a sample of slices holds more of the long traces than of the short ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pandas as pd

from opslib.core.clock import Clock
from opslib.core.windows import NS_PER_S, Window
from opslib.telemetry.fetched import Write
from opslib.telemetry.importers.tables import Table
from opslib.telemetry.jaeger.asking import Asking, Piece
from opslib.telemetry.jaeger.cover import OWN
from opslib.telemetry.jaeger.dialects import MOST, Dialect
from opslib.telemetry.jaeger.slices import Pace, rounds

CONCURRENCY = 4
_PROBE = 50  # traces of an answer that only tells how many there are, and how long
_ENOUGH = 8  # traces to judge by
_ROWS_OF_ANSWER = 6_000  # about 6 MB of JSON
_ROWS_AT_ONCE = 100_000
_LATER_NS = (
    10 * NS_PER_S
)  # a root starts before the span by which its trace is found, and not longer than this


@dataclass(frozen=True, slots=True)
class Load:
    """How many traces a window holds, as far as a look at its middle tells, how many rows each has; questions asked."""

    traces: float
    rows_each: float
    asked: int


def look(dialect: Dialect, service: str, window: Window) -> Load:
    """Ask for a short piece in the middle of a window, wider or narrower until it holds some traces but not too many."""
    asking = Asking(dialect, service, _PROBE)
    width, tried = max(window.length_ns // 256, 1), 0
    while True:
        middle = window.start_ns + (window.length_ns - width) // 2
        answer = asking.ask(Window(middle, middle + width))
        found, full = answer.found, answer.full
        traces, tried = len(found.trace_ids()), tried + 1
        load = Load(traces * window.length_ns / width, found.rows / max(traces, 1), tried)
        if tried == 8 or (full and width < 1_000) or (not full and traces >= _ENOUGH):
            return load
        if full:
            width = max(1, width // 8)
        elif width == window.length_ns:
            return load
        else:
            width = min(window.length_ns, width * 8)


@dataclass(slots=True)
class Taken:
    """What a fetch has brought; rows go to `write` in large frames."""

    write: Write
    names: Callable[[str], str]  # what a service of Jaeger is called here
    traces: set[str] = field(default_factory=set)
    rows: int = 0
    cut_off: int = 0  # slices that cannot be cut further and still hold more than one answer
    warnings: Counter[str] = field(default_factory=Counter)
    table: Table = field(default_factory=lambda: Table("spans"))

    def add(self, piece: Piece) -> None:
        found, new = piece.found, piece.own - self.traces
        self.traces |= new
        self.cut_off += piece.cut_off
        self.warnings |= found.warnings  # a trace may come with several answers
        columns = found.column("trace_id"), found.column("service_name")
        good = [trace_id in new and service not in OWN for trace_id, service in zip(*columns, strict=True)]
        self.table.add(found.columns, good)
        if self.table.rows >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if not self.table.rows:
            return
        self.rows += self.table.rows
        frame = pd.DataFrame(self.table.take())
        frame["service_name"] = frame["service_name"].map(self.names)
        self.write(frame)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much was asked: rounds done of how many, and how many traces there seemed to be."""

    done: int
    rounds: int
    expected: int


@dataclass(frozen=True, slots=True)
class Fetching:
    """Brings traces by slices of time, at most at a pace; `tell` hears how far it is."""

    dialect: Dialect
    pace: Pace
    clock: Clock
    tell: Callable[[str], None]

    def run(self, services: Sequence[str], windows: Sequence[Window], taken: Taken) -> Coverage:
        """Bring the traces of the windows that pass these services. Raises SourceError."""
        if not services:
            return Coverage(1, 1, 0)
        started_s = self.clock.monotonic_s()
        searched = [_widened(window, services) for window in windows]
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            pairs = [(service, window) for service in services for window in searched]
            load = _together(pool.map(lambda pair: look(self.dialect, *pair), pairs))
            self.tell(f"about {round(load.traces):,} traces")
            per_slice = max(20, min(MOST // 3, int(_ROWS_OF_ANSWER / load.rows_each)))
            plan = rounds(searched, load.traces / len(services), per_slice, self.pace.most)
            askings = [Asking(self.dialect, service, 3 * per_slice) for service in services]
            done = 0
            while done < len(plan) and self.pace.allows(
                done, len(taken.traces), self.clock.monotonic_s() - started_s
            ):
                for asking in askings:  # in turn, so that no race decides which of them brings a trace
                    for pieces in pool.map(asking.whole, plan[done]):
                        for piece in pieces:
                            taken.add(piece)
                done += 1
                self.tell(f"{100 * done // len(plan)} % of the time, {len(taken.traces):,} traces")
        taken.flush()
        return Coverage(done, len(plan), round(load.traces))


def _together(loads: Iterable[Load]) -> Load:
    known = list(loads)
    return Load(
        sum(load.traces for load in known),
        max([1.0, *(load.rows_each for load in known)]),
        sum(load.asked for load in known),
    )


def _widened(window: Window, services: Sequence[str]) -> Window:
    return window if list(services) == [""] else Window(window.start_ns, window.end_ns + _LATER_NS)
