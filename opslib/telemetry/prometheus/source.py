"""Metrics of a server with Prometheus' API: raw samples of a window as the capture's rows, and PromQL for the rest.

Raw samples come by instant queries of ranges that meet and never overlap, (t - d, t]: Prometheus 3 leaves the older end
out, Prometheus 2 does not, and here it is left out always. The length of a range follows from how much the last brought,
and is halved where the server refuses its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import pandas as pd

from opslib.core.clock import Clock
from opslib.core.errors import UsageError
from opslib.core.evidence import SourceNote
from opslib.core.ids import TRACE_BYTES, hex_id
from opslib.core.windows import Window
from opslib.telemetry.http import Http
from opslib.telemetry.prometheus.answers import (
    Said,
    Series,
    TooMuchError,
    ask,
    numbers,
    query,
    seconds,
    times_ns,
)
from opslib.telemetry.prometheus.naming import USUAL, Naming, plain_name, selector
from opslib.telemetry.prometheus.rows import Gathered, frame_of
from opslib.telemetry.prometheus.units import units
from opslib.telemetry.protocols import Frame

MAX_ROWS = 2_000_000  # of one answer of ours
MAX_POINTS = 11_000  # of one answer of the server per series; it refuses more than 11,001
_NS_PER_MS = 1_000_000
_FIRST_MS, _SHORTEST_MS, _LONGEST_MS = 60_000, 1_000, 86_400_000
_ANSWER_SAMPLES = 200_000  # what one answer should bring: some 10 MB
_WARNINGS = 20  # of one answer of ours
_TRACE_LABELS = ("trace_id", "traceID", "traceId", "TraceID")


class _Exemplar(msgspec.Struct):
    labels: dict[str, str]
    value: str
    timestamp: float


class _Exemplars(msgspec.Struct, rename="camel"):
    series_labels: dict[str, str] = {}
    exemplars: list[_Exemplar] = []


@dataclass(frozen=True, slots=True)
class PrometheusMetrics:
    """Implements MetricSource; `match` are selectors that are asked for beside the usual metrics."""

    http: Http
    clock: Clock
    naming: Naming
    namespace: str = ""
    match: tuple[str, ...] = ()

    def metrics(
        self, window: Window, *, names: Sequence[str] | None = None, services: Sequence[str] | None = None
    ) -> Frame:
        """Return raw samples, the oldest where there are more than MAX_ROWS. Raises SourceError.

        A name with dots finds what servers before Prometheus 3 call the same with underscores, and is given back.
        """
        selectors = self.selectors(names)
        gathered, warnings, whole = self._raw(selectors, window)
        frame = frame_of(gathered.lines(), self.naming, units(self.http))
        if services is not None:
            frame = frame[frame["service_name"].isin(services)]
        if names is not None:
            asked = {plain_name(name): name for name in names} | {name: name for name in names}
            frame = frame.assign(name=frame["name"].map(asked))
            frame = frame[frame["name"].notna()]
        return self._frame(frame, f"{'; '.join(selectors)} in {window}", warnings, whole=whole)

    def range_query(self, expr: str, window: Window, step_s: float) -> Frame:
        """Evaluate PromQL at each step of [start, end). Raises SourceError, and UsageError for no step."""
        step = round(step_s * 1000)
        if step < 1:
            raise UsageError(f"a step of {step_s:g} s", hint="a step is at least a millisecond: step_s = 15")
        first, warnings, gathered = _last_before(window.start_ns) + 1, list[str](), Gathered()
        points = (_last_before(window.end_ns) - first) // step + 1
        point = 0
        while point < points and gathered.samples <= MAX_ROWS:
            ends = (point, min(point + MAX_POINTS, points) - 1)
            start, end = (seconds(first + number * step) for number in ends)
            # without `nocache`, VictoriaMetrics moves both ends
            params = {"query": expr, "start": start, "end": end, "step": seconds(step), "nocache": "1"}
            said = query(self.http, "query_range", params)
            gathered.add(said.data)
            warnings += said.warnings
            point += MAX_POINTS
        frame = frame_of(gathered.lines(), self.naming, lambda _: None)
        text = f"{expr} in {window}, every {step_s:g} s"
        return self._frame(frame, text, warnings, whole=point >= points)

    def instant(self, expr: str, at_ns: int | None = None) -> Frame:
        """Evaluate PromQL at one time, by default now; a range brings its raw samples. Raises SourceError."""
        at = {} if at_ns is None else {"time": seconds(at_ns // _NS_PER_MS)}
        said = query(self.http, "query", {"query": expr, **at})
        gathered = Gathered()
        gathered.add(said.data)
        frame = frame_of(gathered.lines(), self.naming, lambda _: None)
        return self._frame(frame, expr, said.warnings)

    def exemplars(self, name: str, window: Window, services: Sequence[str] | None = None) -> Frame:
        """Return the observations of a metric that name their trace: time_unix_nano, service_name, value, trace_id.

        A server without `--enable-feature=exemplar-storage` has none, and says no more. Raises SourceError.
        """
        asked = "|".join(sorted({re.escape(form) for form in (name, plain_name(name))}))
        return self.exemplars_of(selector(f"({asked})(_bucket)?", self.namespace), window, services)

    def exemplars_of(self, text: str, window: Window, services: Sequence[str] | None = None) -> Frame:
        """Return the same for a selector."""
        ends = {
            "start": seconds(_last_before(window.start_ns) + 1),
            "end": seconds(_last_before(window.end_ns)),
        }
        said = ask(self.http, "query_exemplars", {"query": text, **ends}, list[_Exemplars])
        rows = set()
        for one in said.data:
            service = self.naming.place(one.series_labels).service
            times = times_ns([found.timestamp for found in one.exemplars]).tolist()
            values = numbers([found.value for found in one.exemplars]).tolist()
            for time, value, found in zip(times, values, one.exemplars, strict=True):
                told = next((found.labels[label] for label in _TRACE_LABELS if label in found.labels), None)
                trace = hex_id(told, TRACE_BYTES, short_hex=True)
                if trace and time in window and (services is None or service in services):
                    rows.add((time, service or "", value, trace))
        frame = pd.DataFrame(sorted(rows), columns=["time_unix_nano", "service_name", "value", "trace_id"])
        return self._frame(frame, f"exemplars of {text} in {window}", said.warnings)

    def selectors(self, names: Sequence[str] | None = None) -> list[str]:
        """Return what is asked for: the names, else the usual metrics and `match`. Whose they are is told here.

        One label may say so of a mesh's series and another of the kubelet's, so services are no matchers.
        """
        if names is None:
            return [selector(USUAL, self.namespace), *self.match]
        return [selector(_pattern(names), self.namespace)] if names else []

    def _raw(self, selectors: Sequence[str], window: Window) -> tuple[Gathered, list[str], bool]:
        """Return samples, warnings, and whether it is all there is."""
        gathered, warnings = Gathered(), list[str]()
        after, end = _last_before(window.start_ns), _last_before(window.end_ns)
        length, longest = _FIRST_MS, _LONGEST_MS
        while after < end and gathered.samples <= MAX_ROWS:
            until = min(after + length, end)
            try:
                found = [self._range(text, after, until) for text in selectors]
            except TooMuchError:
                length = longest = (until - after) // 2
                if length < _SHORTEST_MS:
                    raise
                continue
            ends = {"after_ns": after * _NS_PER_MS, "until_ns": until * _NS_PER_MS}
            count = sum(gathered.add(said.data, **ends) for said in found)
            warnings += [text for said in found for text in said.warnings]
            wished = (until - after) * _ANSWER_SAMPLES // max(count, 1)
            after, length = until, min(max(wished, _SHORTEST_MS), longest)
        return gathered, warnings, after >= end

    def _range(self, text: str, after_ms: int, until_ms: int) -> Said[list[Series]]:
        return query(
            self.http, "query", {"query": f"{text}[{until_ms - after_ms}ms]", "time": seconds(until_ms)}
        )

    def _frame(self, frame: pd.DataFrame, text: str, warnings: Iterable[str], *, whole: bool = True) -> Frame:
        """Return the rows, the oldest of too many, and the note of how they were obtained."""
        told, where = list(dict.fromkeys(warnings))[:_WARNINGS], self.http.endpoint
        if not whole or len(frame) > MAX_ROWS:
            frame, whole = frame.iloc[:MAX_ROWS], False
            told.append(f"more than {MAX_ROWS:,} samples match; the oldest were read")
        note = SourceNote("metric", where.kind, where.url, text, len(frame), not whole, tuple(told))
        return Frame(frame.reset_index(drop=True), note)


def _last_before(time_ns: int) -> int:
    """Return the last whole millisecond before an instant: that of the last sample before it."""
    return -(-time_ns // _NS_PER_MS) - 1


def _pattern(names: Sequence[str]) -> str:
    """Return a pattern of names, of their forms before Prometheus 3, and of the native histograms behind their parts."""
    known = {form for name in names for form in (name, plain_name(name))}
    bases = {name.removesuffix(part) for name in known for part in ("_bucket", "_sum", "_count")}
    return "|".join(map(re.escape, sorted(known | bases)))
