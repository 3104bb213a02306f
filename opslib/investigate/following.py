"""From log records and metrics to one trace, and from the trace to its log records.

Which trace: the one asked for; where the records were narrowed, that of the first record; else an exemplar of the
slowest bucket of the duration metric; else the slowest call. It is said which of these it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pandas as pd

from opslib.core.blocks import blocks_from_frame
from opslib.core.settings import Environment
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.diagnosis import calls_of, explain_trace
from opslib.investigate.querying import LogAnswer
from opslib.telemetry.collect import empty_frame, redact_frame
from opslib.telemetry.protocols import Frame, LogSource

MAX_LOGS = 500
_SLOWEST = 50  # traces, of a source that can look for slow ones
_TRIES = 5  # traces that are looked for, where the first was not kept
_AIR_NS = 60 * NS_PER_S  # clocks of hosts differ, and a line may be written after the span has ended
# Histograms of how long calls take: OpenTelemetry's conventions, with the unit in the name and without, and Istio's.
DURATIONS = (
    "http_server_request_duration_seconds",
    "http_server_request_duration",
    "rpc_server_duration_milliseconds",
    "istio_request_duration_milliseconds",
)
CALLS = ("time_unix_nano", "service_name", "duration_ns", "error", "trace_id")


@runtime_checkable
class Exemplars(Protocol):
    """A metric source that keeps trace ids beside samples: columns `time_unix_nano, service_name, value, trace_id`."""

    def exemplars(self, name: str, window: Window, services: Sequence[str] | None = None) -> Frame: ...


@runtime_checkable
class Slowest(Protocol):
    """A trace source that finds slow traces without reading all; None where it had better read all."""

    def slowest(self, service: str, window: Window, n: int) -> Frame | None: ...


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """One trace. `calls` are what it was chosen from (columns `CALLS`, by time; `error` None where it is
    not known), `calls_are` says what they are.

    `spans` as `explain_trace` returns them; `logs` by time, `logs_are` says how they were found.
    """

    trace_id: str
    how: str
    calls: pd.DataFrame
    calls_are: str
    spans: pd.DataFrame
    logs: pd.DataFrame
    logs_are: str
    service: str
    windows: Windows
    environment: Environment

    @property
    def window(self) -> Window:
        """Return the window of the trace; where it has no spans, the one that was looked at."""
        if self.spans.empty:
            return self.windows.incident
        start = int(self.spans["start_time_unix_nano"].min())
        return Window(start, max(start, int(self.spans["end_time_unix_nano"].max())) + 1)


@dataclass(frozen=True, slots=True)
class _Calls:
    frame: pd.DataFrame
    are: str
    best: str  # how the slowest of them is called


def follow_trace(found: LogAnswer, *, metric: str = "") -> TraceAnswer:
    """Choose a trace and read it with its log records. `metric`: whose exemplars to follow; empty: the usual ones.

    Where there is no trace to be found, `trace_id` is empty and `how` says why. Raises SourceError and CaptureError.
    """
    calls = _calls(found, metric)
    ids, how = _candidates(found, calls)
    trace_id, spans = _first_kept(found, ids)
    logs, logs_are = _logs(found, trace_id, spans)
    return TraceAnswer(
        trace_id,
        how,
        calls.frame,
        calls.are,
        spans,
        logs,
        logs_are,
        found.service,
        found.windows,
        found.environment,
    )


def _candidates(found: LogAnswer, calls: _Calls) -> tuple[list[str], str]:
    """Return the ids of the traces to try, the best first, and how they were chosen."""
    if found.asked.trace_id:
        return [found.asked.trace_id], "as asked"
    if str(found.asked):
        ids = found.records["trace_id"].fillna("").astype(str)
        known = list(dict.fromkeys(ids[ids != ""]))
        if known:
            return known[:_TRIES], f"of the first record with {found.asked} that bears the id of a trace"
    if len(calls.frame):
        ranked = calls.frame.sort_values(["duration_ns", "trace_id"], ascending=[False, True])
        return [str(name) for name in ranked["trace_id"].head(_TRIES)], calls.best
    return [], "there are no exemplars, no calls and no records with a trace id in the incident window"


def _first_kept(found: LogAnswer, ids: Sequence[str]) -> tuple[str, pd.DataFrame]:
    """Return the first trace of which there are spans: an exemplar may name one that was not kept."""
    traces = found.question.sources.traces
    for trace_id in ids if traces else ():
        rows = traces.trace(trace_id).frame if traces else empty_frame("spans")
        if len(rows):
            return trace_id, explain_trace(redact_frame(rows, found.redactor))
    return next(iter(ids), ""), explain_trace(empty_frame("spans"))


def _calls(found: LogAnswer, metric: str) -> _Calls:
    """Return the exemplars of the window where there are any, else the calls that the traces hold."""
    sources, window = found.question.sources, found.windows.incident
    services = [found.service] if found.service else None
    if isinstance(sources.metrics, Exemplars):
        for name in [metric] if metric else DURATIONS:
            exemplars = _of_exemplars(sources.metrics.exemplars(name, window, services).frame, name)
            if len(exemplars):
                return _Calls(exemplars, f"exemplars of {name}", f"the slowest exemplar of {name}")
    whose = f"calls of {found.service}" if found.service else "root operations"
    traces = sources.traces
    if traces is None:
        return _Calls(pd.DataFrame({name: [] for name in CALLS}), whose, "")
    slow = (
        traces.slowest(found.service, window, _SLOWEST) if isinstance(traces, Slowest) and services else None
    )
    whose = f"slow {whose}" if slow else whose
    blocks = blocks_from_frame(slow.frame) if slow else traces.spans(Windows(window)).blocks
    calls = calls_of(blocks, found.question.service)
    calls = calls.rename(columns={"start_ns": "time_unix_nano"}).assign(service_name=found.service)
    inside = calls["time_unix_nano"].between(window.start_ns, window.end_ns, inclusive="left")
    best = f"the slowest of {int(inside.sum()):,} {whose}"
    return _Calls(calls.loc[inside, list(CALLS)].reset_index(drop=True), whose, best)


def _of_exemplars(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return exemplars as calls; their values are seconds unless the metric's name says milliseconds."""
    unit_ns = 1e6 if "milliseconds" in name else 1e9
    usable = frame[frame["trace_id"].fillna("").astype(str) != ""]
    return (
        usable.assign(duration_ns=(usable["value"] * unit_ns).round().astype("int64"), error=None)
        .sort_values(["time_unix_nano", "trace_id"], kind="stable", ignore_index=True)
        .reindex(columns=list(CALLS))
    )


def _logs(found: LogAnswer, trace_id: str, spans: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the records that bear the trace's id; where none do, what its services logged meanwhile."""
    source = found.question.sources.logs
    if not trace_id or source is None:
        return empty_frame("logs"), "no trace, so no log records of it"
    window = found.windows.incident
    if len(spans):
        start, end = int(spans["start_time_unix_nano"].min()), int(spans["end_time_unix_nano"].max())
        window = Window(start - _AIR_NS, max(start, end) + _AIR_NS)
    own = _asked(source, found, window, trace_id=trace_id)
    if len(own) or spans.empty:
        return own, "bearing the id of the trace"
    services = sorted({str(name) for name in spans["service_name"].dropna()})
    meanwhile = Window(window.start_ns + _AIR_NS, window.end_ns - _AIR_NS + 1)
    return (
        _asked(source, found, meanwhile, services=services),
        "of its services in its time: none bears the id of the trace",
    )


def _asked(
    source: LogSource,
    found: LogAnswer,
    window: Window,
    *,
    trace_id: str | None = None,
    services: Sequence[str] | None = None,
) -> pd.DataFrame:
    frame = source.logs(window, trace_id=trace_id, services=services, limit=MAX_LOGS).frame
    return redact_frame(frame, found.redactor)
