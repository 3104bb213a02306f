"""The four questions a telemetry backend answers. Every answer carries the note of how it was obtained.

Implementations take their client, clock and time-outs as arguments, bound every query, and say when a bound was hit.
All raise SourceError when the source does not answer, and CaptureError when a capture cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from opslib.core.columns import SignalFile
from opslib.core.evidence import SourceNote, SpanBlock
from opslib.core.windows import Window, Windows

# How a note, and the evidence of a verdict, call the signal that a kind of file holds.
NOTE_SIGNAL: dict[SignalFile, str] = {
    "spans": "trace",
    "logs": "log",
    "metrics": "metric",
    "events": "event",
    "topology": "topology",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of one signal (columns of `opslib.core.columns`), or what they come to, and how they were obtained."""

    frame: pd.DataFrame
    note: SourceNote


@dataclass(frozen=True, slots=True)
class Blocks:
    """Spans as blocks of whole traces, re-iterable; the rule by which each window was selected; the note."""

    blocks: Iterable[SpanBlock]
    note: SourceNote
    selection: Mapping[str, str]


class TraceSource(Protocol):
    """Spans: of all traces whose root starts in one of the windows, or of one trace."""

    def extent(self) -> Window | None:
        """Return the window that holds data, None where there are none yet."""
        ...

    def services(self, window: Window | None = None) -> tuple[str, ...]:
        """Return the names of the services with spans, sorted."""
        ...

    def spans(
        self, windows: Windows, *, attributes: bool = False, traces: Sequence[str] | None = None
    ) -> Blocks:
        """Return the spans of the windows' traces, or of some of these alone."""
        ...

    def span_rows(self, windows: Windows) -> Iterator[pd.DataFrame]:
        """Yield the rows behind `spans` with the capture's columns, in frames of whole traces, for an export."""
        ...

    def trace(self, trace_id: str) -> Frame: ...


class LogSource(Protocol):
    """Log records by time, service, pod, severity, trace and text; and what they come to, where they are."""

    def logs(
        self,
        window: Window,
        *,
        services: Sequence[str] | None = None,
        trace_id: str | None = None,
        limit: int | None = None,
        pods: Sequence[str] | None = None,
        severities: Sequence[str] | None = None,
        text: str | None = None,
    ) -> Frame:
        """Return records by time.

        severities: in either case, "" for records without one. text: its words stand in the body, whole and side by
        side, in either case.
        """
        ...

    def log_rates(self, window: Window, step_s: float, *, services: Sequence[str] | None = None) -> Frame:
        """Return the columns of `logtables.Rate`: lines per step of `step_s` from the window's start on.

        Raises UsageError for more than `logtables.MAX_STEPS` steps.
        """
        ...

    def log_patterns(self, windows: Windows, *, services: Sequence[str] | None = None) -> Frame:
        """Return the columns of `logtables.PatternCount`: lines of each pattern in both windows, commonest first."""
        ...


class MetricSource(Protocol):
    """Samples by time, name and service."""

    def metrics(
        self, window: Window, *, names: Sequence[str] | None = None, services: Sequence[str] | None = None
    ) -> Frame: ...


class ChangeSource(Protocol):
    """Events and changes: rollouts, restarts, configuration, scaling."""

    def events(self, window: Window) -> Frame: ...

    def topology(self) -> Frame:
        """Return callers and callees known beside the traces; an empty frame where nothing is known."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What an investigation may ask; None where an environment names no source for a signal."""

    traces: TraceSource | None = None
    logs: LogSource | None = None
    metrics: MetricSource | None = None
    changes: ChangeSource | None = None
