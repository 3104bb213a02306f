"""Jaeger as a trace backend: whole traces of two windows, one trace, who calls whom, and how far its data reach.

Rows bear our names of services (`services.NAME.traces` of the environment is Jaeger's), questions Jaeger's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress

import msgspec
import pandas as pd

from opslib.core.clock import Clock
from opslib.core.columns import COLUMNS
from opslib.core.errors import SourceError
from opslib.core.evidence import SourceNote
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.core.words import printable
from opslib.telemetry.capture.parts import Row
from opslib.telemetry.collect import disjoint
from opslib.telemetry.fetched import Fetched, Write
from opslib.telemetry.http import Http
from opslib.telemetry.jaeger.answers import Found
from opslib.telemetry.jaeger.cover import OWN, cover, searchable
from opslib.telemetry.jaeger.dialects import Dialect, Legacy, Search, choose, normal_id
from opslib.telemetry.jaeger.fetching import CONCURRENCY, Fetching, Taken
from opslib.telemetry.jaeger.matching import matching
from opslib.telemetry.jaeger.slices import Pace, selection
from opslib.telemetry.jaeger.slowest import Hunt, Tail, Top
from opslib.telemetry.protocols import Frame

_RETENTION_NS = 7 * 86_400 * NS_PER_S  # how far back it is looked for data
_RECENT_NS = 3_600 * NS_PER_S  # within which it is known to a second when the data begin

_NEWEST = 20  # traces of an answer that tells how far the data reach


class _Link(msgspec.Struct):
    parent: str = ""
    child: str = ""


class _Links(msgspec.Struct):
    data: list[_Link] | None = None


@dataclass(frozen=True, slots=True)
class Slowest:
    """Durations: `trace_id`, `duration_ns` by duration; all spans of these traces; how far both can be relied on."""

    durations: pd.DataFrame
    spans: pd.DataFrame
    note: SourceNote
    tail: Tail


class JaegerTraces:
    """Implements TraceBackend. `names` maps our names of services to Jaeger's; `roots` (ours) are searched alone, if any."""

    def __init__(
        self,
        http: Http,
        clock: Clock,
        *,
        names: Mapping[str, str],
        pace: Pace,
        roots: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.http, self.clock = http, clock
        self._names, self._roots, self._pace = dict(names), tuple(roots), pace
        self._ours = {theirs: ours for ours, theirs in names.items()}
        self._tell = progress or (lambda _: None)

    @cached_property
    def dialect(self) -> Dialect:
        """The way in which this server is asked, found out once. Raises SourceError."""
        return choose(self.http)

    @property
    def mapped(self) -> tuple[str, ...]:
        """Our names of services, as the environment's map has them."""
        return tuple(sorted(self._names))

    def theirs(self, service: str) -> str:
        return self._names.get(service, service)

    def ours(self, service: str) -> str:
        return self._ours.get(service, service)

    def fetch(self, windows: Windows, write: Write) -> Fetched:
        """Write the traces of the windows; of more than the pace allows an even sample of both."""
        both = disjoint(windows)
        chosen = cover(self.dialect, list(map(self.theirs, self._roots)), list(self._names.values()), both)
        taken = Taken(write, self.ours)
        fetching = Fetching(self.dialect, self._pace, self.clock, self._tell)
        got = fetching.run(chosen.services, both, taken)
        rule = selection(got.done, got.rounds)
        warnings = [*chosen.warnings, *(f"{n:,} x {what}" for what, n in sorted(taken.warnings.items()))]
        if rule != "all":
            fetched = len(taken.traces)
            warnings.append(
                f"{fetched:,} of about {max(got.expected, fetched):,} traces were fetched: {rule}, alike in both windows"
            )
        if taken.cut_off:
            warnings.append(
                f"{taken.cut_off:,} slices of time that cannot be cut hold more traces than one answer"
            )
        by = ", ".join(filter(None, chosen.services)) or "any service"
        note = self._note(f"traces by slices of time, with spans of {by}", taken.rows, warnings)
        return Fetched(replace(note, truncated=bool(taken.cut_off)), {"incident": rule, "baseline": rule})

    def services(self, window: Window | None = None) -> tuple[str, ...]:
        """Return the names of the services, where a window is given of those alone that have spans in it."""
        names = [name for name in self.dialect.services() if name not in OWN]
        if window is not None:
            names = list(compress(names, (found.rows for found in self._search(names, window, 1))))
        return tuple(sorted({self.ours(name) for name in names}))

    def extent(self) -> Window | None:
        """Return from when to when there are spans, None where there are none.

        The end is that of the newest span. The start is known to a second where it lies in the last hour, else it is
        a week ago: nobody says how long a storage keeps its spans, and no choice of windows looks further back.
        """
        now_ns = self.clock.now_ns()
        week = Window(now_ns - _RETENTION_NS, now_ns + 1)
        names = searchable(self.dialect, week)
        newest_ns = self._newest_ns(names, week)
        if newest_ns is None:
            return None
        low, high = newest_ns - _RECENT_NS, newest_ns
        if self._any(names, Window(week.start_ns, low)):
            return Window(week.start_ns, newest_ns)
        while high - low > NS_PER_S:
            middle = (low + high) // 2
            low, high = (low, middle) if self._any(names, Window(low, middle)) else (middle, high)
        return Window(low, newest_ns)

    def _newest_ns(self, names: Sequence[str], week: Window) -> int | None:
        """Return when the newest spans end: looked for in the last second, in ever longer times, then after what was found.

        For what a storage calls its most recent traces are the last that it was sent, not those that started last.
        """
        length_ns = NS_PER_S
        found: list[Found] = []
        while not found and length_ns < 8 * week.length_ns:
            at = Window(max(week.start_ns, week.end_ns - length_ns), week.end_ns)
            found = [answer for answer in self._search(names, at, _NEWEST) if answer.rows]
            length_ns *= 8
        end_ns = 0
        while found:
            end_ns = max([end_ns, *(max(answer.column("end_time_unix_nano")) for answer in found)])
            last_ns = max(max(answer.column("start_time_unix_nano")) for answer in found)
            if (
                last_ns < at.start_ns or last_ns + 1 >= week.end_ns
            ):  # by a storage that cuts times: found again
                break
            at = Window(last_ns + 1, week.end_ns)
            found = [answer for answer in self._search(names, at, _NEWEST) if answer.rows]
        return end_ns + 1 if end_ns else None

    def _any(self, names: Sequence[str], window: Window) -> bool:
        return any(found.rows for found in self._search(names, window, 1))

    def _search(self, names: Iterable[str], window: Window, limit: int) -> list[Found]:
        dialect = self.dialect
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            return list(pool.map(lambda name: dialect.search(Search(name, window, limit)), names))

    def trace(self, trace_id: str) -> tuple[list[Row], SourceNote]:
        """Return one trace, by whichever dialect has it; no rows where there is none, or the text is no id."""
        known = normal_id(trace_id)
        found = self._trace(known) if known else None
        found = found or Found()
        named = replace(
            found,
            columns=found.columns | {"service_name": list(map(self.ours, found.column("service_name")))},
        )
        note = self._note(f"trace {printable(trace_id, 64)}", found.rows, list(found.warnings))
        return named.tuples(), note

    def _trace(self, trace_id: str) -> Found | None:
        found = self.dialect.trace(trace_id)
        if found or isinstance(self.dialect, Legacy):
            return found
        try:
            return Legacy(self.http).trace(trace_id)
        except SourceError:  # newer versions do not speak it
            return None

    def slowest(self, service: str, window: Window, n: int) -> Slowest:
        """Return the n traces whose spans of a service last longest, of those that start in the window.

        No percentile follows from them. What the budget left out is said in the note. Raises SourceError.
        """
        top = Top(self.theirs(service), window, n)
        tail = Hunt(self.dialect, top, self._pace, self.clock, self._tell).run()
        durations = pd.DataFrame(tail.durations, columns=["trace_id", "duration_ns"]).astype(
            {"duration_ns": "int64"}
        )
        spans = pd.DataFrame(tail.rows, columns=[column.name for column in COLUMNS["spans"]])
        spans["service_name"] = spans["service_name"].map(self.ours)
        said = [] if tail.share == 1 else [f"not all of the slowest calls may be here: {tail.coverage()}"]
        note = self._note(f"the {n:,} slowest of {printable(service)}: {tail.coverage()}", len(spans), said)
        return Slowest(durations, spans, replace(note, truncated=tail.share < 1), tail)

    def matching(
        self, service: str, window: Window, attributes: Mapping[str, str], limit: int = 200
    ) -> Frame:
        """Return the traces with a span of a service that has all these attributes, the earliest of the window.

        The note is truncated where there are more than the limit. Raises SourceError.
        """
        got = matching(self.dialect, self.theirs(service), window, attributes, limit)
        frame = pd.DataFrame(got.rows, columns=[column.name for column in COLUMNS["spans"]])
        frame["service_name"] = frame["service_name"].map(self.ours)
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(attributes.items()))
        note = self._note(
            f"traces of {printable(service)} with {printable(wanted)}", len(frame), got.warnings
        )
        return Frame(
            frame.sort_values(["start_time_unix_nano", "span_id"], ignore_index=True),
            replace(note, truncated=got.more),
        )

    def topology(self) -> Frame:
        """Return callers and callees of the last day as Jaeger has added them up; many storages do so once a day, or never."""
        params = {"endTs": self.clock.now_ns() // 1_000_000, "lookback": 86_400_000}
        answer = self.http.get("/api/dependencies", params)
        links = answer.json(_Links).data or [] if answer.status == 200 else []
        pairs = sorted({(self.ours(link.parent), self.ours(link.child)) for link in links})
        frame = pd.DataFrame(
            [p for p in pairs if all(p) and p[0] != p[1]], columns=["caller", "callee"], dtype="object"
        )
        return Frame(frame, replace(self._note("/api/dependencies", len(frame), []), signal="topology"))

    def _note(self, query: str, rows: int, warnings: Sequence[str]) -> SourceNote:
        said = f"{self.dialect.name}: {query}"
        return SourceNote("trace", "jaeger", self.http.endpoint.url, said, rows, warnings=tuple(warnings))
