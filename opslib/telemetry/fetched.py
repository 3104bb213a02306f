"""A trace server as a TraceSource: what it has for the windows is fetched once into a scratch capture, and read there.

So a diagnosis passes over the same rows as often as it likes, whatever the server does meanwhile, and each later
question within what was fetched whole asks nobody again. The scratch folder ends with the object.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pandas as pd

from opslib.core.clock import Clock
from opslib.core.columns import COLUMNS
from opslib.core.evidence import SourceNote
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture.parts import Row
from opslib.telemetry.capture.reader import Capture, open_capture
from opslib.telemetry.capture.writer import CaptureWriter
from opslib.telemetry.protocols import Blocks, Frame

ALL = {"incident": "all", "baseline": "all"}
Write = Callable[[Sequence[Row] | pd.DataFrame], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """How the windows' spans were obtained: the note, and by which rule each window's traces were selected."""

    note: SourceNote
    selection: Mapping[str, str]


class TraceBackend(Protocol):
    """What a trace server answers. Rows are tuples in the order of `COLUMNS["spans"]`; all raise SourceError."""

    def extent(self) -> Window | None:
        """Return the window that may hold data, None where the server knows no service yet."""
        ...

    def services(self, window: Window | None = None) -> tuple[str, ...]: ...

    def fetch(self, windows: Windows, write: Write) -> Fetched:
        """Write the spans of whole traces of the windows, both windows selected by one rule; rows may come twice."""
        ...

    def trace(self, trace_id: str) -> tuple[list[Row], SourceNote]: ...


@dataclass(frozen=True, slots=True)
class _Held:
    windows: Windows
    fetched: Fetched
    capture: Capture

    def answers(self, windows: Windows) -> bool:
        """Tell whether these windows were fetched, or lie in one that was fetched whole."""
        if windows == self.windows:
            return True
        whole = self.windows.incident
        asked = [window for window in (windows.incident, windows.baseline) if window]
        inside = all(whole.start_ns <= w.start_ns and w.end_ns <= whole.end_ns for w in asked)
        return (
            inside and dict(self.fetched.selection)["incident"] == "all" and not self.fetched.note.truncated
        )


class FetchedTraces:
    """Implements TraceSource on a TraceBackend."""

    def __init__(self, backend: TraceBackend, clock: Clock) -> None:
        self._backend, self._clock = backend, clock
        self._held: list[_Held] = []
        self._scratch = Path(tempfile.mkdtemp(prefix="opslib-traces-"))
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)

    def extent(self) -> Window | None:
        return self._backend.extent()

    def services(self, window: Window | None = None) -> tuple[str, ...]:
        return self._backend.services(window)

    def spans(
        self, windows: Windows, *, attributes: bool = False, traces: Sequence[str] | None = None
    ) -> Blocks:
        """Return the spans of the windows' traces, fetched now unless they were before."""
        held = self._hold(windows)
        found = held.capture.spans(windows, attributes=attributes, traces=traces)
        warnings = tuple(dict.fromkeys((*held.fetched.note.warnings, *found.note.warnings)))
        note = replace(held.fetched.note, rows=found.note.rows, warnings=warnings)
        selection = ALL if windows != held.windows else held.fetched.selection
        return replace(found, note=note, selection=selection)

    def span_rows(self, windows: Windows) -> Iterator[pd.DataFrame]:
        return self._hold(windows).capture.span_rows(windows)

    def trace(self, trace_id: str) -> Frame:
        """Return one trace, by what was fetched, else as the server has it now."""
        for held in self._held:
            found = held.capture.trace(trace_id)
            if len(found.frame):
                return replace(found, note=replace(held.fetched.note, rows=len(found.frame)))
        rows, note = self._backend.trace(trace_id)
        frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS["spans"]])
        return Frame(frame.sort_values("start_time_unix_nano", ignore_index=True), note)

    def _hold(self, windows: Windows) -> _Held:
        for held in self._held:
            if held.answers(windows):
                return held
        folder = self._scratch / str(len(self._held))
        with CaptureWriter(folder, clock=self._clock, fan_out=0) as writer:

            def write(rows: Sequence[Row] | pd.DataFrame) -> None:
                writer.append("spans", rows)
                writer.roll()

            fetched = self._backend.fetch(windows, write)
            writer.close(windows, [fetched.note], fetched.selection)
        self._held.append(_Held(windows, fetched, open_capture(folder)))
        return self._held[-1]
