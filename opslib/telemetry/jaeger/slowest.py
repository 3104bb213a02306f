"""The slowest calls of a service, from a server that cannot sort.

Slices of the window are asked for spans of the service that last long enough. What is found raises the bar for the
slices after: below the n-th longest so far nothing is wanted any more. Where too few pass, the bar is lowered, and only
what lies between the old and the new one is asked for. A duration is that of the service's longest span in its trace,
since that is what a server compares; such a sample says nothing of percentiles.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import nsmallest

from opslib.core.clock import Clock
from opslib.core.columns import COLUMNS
from opslib.core.windows import Window
from opslib.core.words import duration
from opslib.telemetry.capture.parts import Row
from opslib.telemetry.jaeger.answers import Found
from opslib.telemetry.jaeger.asking import Answer, Asking
from opslib.telemetry.jaeger.dialects import Dialect
from opslib.telemetry.jaeger.fetching import CONCURRENCY, look
from opslib.telemetry.jaeger.slices import Pace, asked_whole, cut

_SLICES = 16
_SAMPLED = 8  # pieces of the window whose calls tell where to put the bar
_IN_PIECE = 40  # calls of each
_SPARE = 1.5  # times n calls are meant to pass the first bar
_LOWER = 4  # by which the bar is divided where too few pass
_COLUMN = {column.name: i for i, column in enumerate(COLUMNS["spans"])}


@dataclass(frozen=True, slots=True)
class Tail:
    """The slowest calls found: (trace id, duration in ns) by duration, and the spans of their traces.

    proven: parts of the window in which no call above `above_ns` is missing. asked: number of questions.
    """

    durations: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]
    window: Window
    proven: tuple[Window, ...]
    above_ns: int
    asked: int

    @property
    def share(self) -> float:
        """The part of the window that is proven, 0 to 1."""
        return sum(piece.length_ns for piece in self.proven) / self.window.length_ns

    def coverage(self) -> str:
        what = (
            f"every call of {duration(self.above_ns)} or longer was asked for"
            if self.above_ns
            else "every call was asked for"
        )
        return f"{what} in {100 * self.share:.0f} % of the window"


@dataclass(slots=True)
class Top:
    """The n slowest so far, with the rows of their traces. Safe for threads."""

    service: str
    window: Window
    n: int
    kept: dict[str, tuple[int, list[Row]]] = field(default_factory=dict)
    bar_ns: int = 0  # the n-th longest, 0 before there are n
    asked: int = 0
    traces: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, found: Found) -> dict[str, int]:
        """Take an answer and return the durations in it."""
        lasted = self._lasted(found)
        with self._lock:
            self.asked += 1
            self.traces += len(lasted)
            fresh = {t: ns for t, ns in lasted.items() if ns >= self.bar_ns and t not in self.kept}
            rows: dict[str, list[Row]] = {trace_id: [] for trace_id in fresh}
            for row in found.tuples() if fresh else ():
                if row[_COLUMN["trace_id"]] in rows:
                    rows[row[_COLUMN["trace_id"]]].append(row)
            self.kept |= {trace_id: (ns, rows[trace_id]) for trace_id, ns in fresh.items()}
            self._prune()
        return lasted

    def _lasted(self, found: Found) -> dict[str, int]:
        longest: dict[str, int] = {}
        names = ("trace_id", "service_name", "start_time_unix_nano", "end_time_unix_nano")
        for trace_id, service, start, end in zip(*map(found.column, names), strict=True):
            if service == self.service and start in self.window:
                longest[trace_id] = max(end - start, longest.get(trace_id, 0))
        return longest

    def _prune(self) -> None:
        if len(self.kept) >= self.n:
            best = nsmallest(self.n, self.kept.items(), key=lambda item: (-item[1][0], item[0]))
            self.kept, self.bar_ns = dict(best), best[-1][1][0]


@dataclass(slots=True)
class Hunt:
    """Asks for the slowest calls of one service until they are found, or the pace allows no more."""

    dialect: Dialect
    top: Top
    pace: Pace
    clock: Clock
    tell: Callable[[str], None]
    started_s: float = 0.0

    def run(self) -> Tail:
        """Find the n slowest. Raises SourceError."""
        self.started_s = self.clock.monotonic_s()
        low, high = self._first_bar(), 0
        slices = cut(self.top.window, _SLICES)
        while True:
            with ThreadPoolExecutor(CONCURRENCY) as pool:
                done = list(pool.map(lambda piece: self._slice(piece, low, high), slices))  # noqa: B023 - asked within
            self.tell(
                f"{len(self.top.kept):,} calls of {duration(low)} or longer, {self.top.asked:,} questions"
            )
            slices = [piece for piece, whole in zip(slices, done, strict=True) if whole]
            if len(self.top.kept) >= self.top.n or not low or not slices:
                break
            low, high = low // _LOWER // 1000 * 1000, low
        ordered = sorted(self.top.kept.items(), key=lambda item: (-item[1][0], item[0]))
        return Tail(
            tuple((trace_id, ns) for trace_id, (ns, _) in ordered),
            tuple(row for _, (_, rows) in ordered for row in rows),
            self.top.window,
            tuple(slices),
            max(low, self.top.bar_ns),
            self.top.asked,
        )

    def _first_bar(self) -> int:
        """Return a duration that a few more than n calls exceed, by what a sample of the window's calls takes."""
        load = look(self.dialect, self.top.service, self.top.window)
        self.top.asked += load.asked
        width = max(1000, int(self.top.window.length_ns * _IN_PIECE / max(load.traces, 1)))
        asking = Asking(self.dialect, self.top.service, 4 * _IN_PIECE)
        sample: list[int] = []
        for part in cut(self.top.window, _SAMPLED):
            piece = Window(part.start_ns, min(part.end_ns, part.start_ns + width))
            sample += self.top.add(asking.ask(piece).found).values()
        rank = int(len(sample) * _SPARE * self.top.n / max(load.traces, 1)) + 2
        return sorted(sample, reverse=True)[rank] // 1000 * 1000 if rank < len(sample) else 0

    def _slice(self, piece: Window, low: int, high: int) -> bool:
        """Ask for what lasts at least `low`, or the bar if that is higher by now; tell whether nothing is missing."""
        asking = Asking(self.dialect, self.top.service)

        def ask(at: Window) -> Answer:
            if not self._allowed():
                return Answer(Found(), full=True, cuttable=False)
            answer = asking.ask(at, max(low, self.top.bar_ns), high)
            self.top.add(answer.found)
            return answer

        return not any(answer.full for _, answer in asked_whole(ask, piece))

    def _allowed(self) -> bool:
        seconds = self.clock.monotonic_s() - self.started_s
        return seconds <= self.pace.budget_s and self.top.traces <= self.pace.most
