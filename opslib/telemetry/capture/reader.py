"""A capture answers as every telemetry source does: traces, logs, metrics and changes, each with the note of how.

Each question opens its own fenced database connection, so a capture can be asked from several threads.
"""
# ruff: noqa: S608 - every text put into SQL is a constant of this package, an integer, or a quoted path

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import duckdb
import pandas as pd

from opslib.core.blocks import LONGEST_NS
from opslib.core.columns import COLUMNS, TIME_COLUMN, SignalFile
from opslib.core.evidence import SourceNote, SpanBlock
from opslib.core.units import MAX_NS
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture import logs
from opslib.telemetry.capture.asking import ask, asking, told_as_source_error
from opslib.telemetry.capture.engine import Parts, ReadLimits, rows_sql
from opslib.telemetry.capture.manifest import CaptureMeta, read_meta
from opslib.telemetry.capture.spans import Chosen, during, prepare, read_blocks, touch
from opslib.telemetry.capture.texts import weigh, weigh_shapes
from opslib.telemetry.logtables import patterns_frame, rates_frame, step_ns
from opslib.telemetry.protocols import NOTE_SIGNAL, Blocks, Frame

MAX_ROWS = 2_000_000  # of one answer that is a frame
_CHUNK_ROWS = 250_000
_SPANS_QUERY = "all spans of the traces whose root starts in a window"


def open_capture(path: Path, *, live: bool = False, limits: ReadLimits | None = None) -> Capture:
    """Open a capture folder; with `live` it is still written, and asked anew each time.

    Raises CaptureError where the folder is no capture, or one of a schema that this version does not know.
    """
    return Capture(path, read_meta(path), live=live, limits=limits or ReadLimits())


class Capture:
    """One capture folder; implements TraceSource, LogSource, MetricSource and ChangeSource."""

    def __init__(self, path: Path, meta: CaptureMeta, *, live: bool, limits: ReadLimits) -> None:
        self.path, self.live, self.limits = path, live, limits
        self._meta = meta

    @property
    def meta(self) -> CaptureMeta:
        """What capture.json says; of a live capture, what it says now."""
        if self.live:
            self._meta = read_meta(self.path)
        return self._meta

    def extent(self) -> Window | None:
        """Return the window from the first to the last instant of any span; without spans, of any log or sample."""
        signals: tuple[SignalFile, ...] = ("spans", "logs", "metrics")
        extents = (ask(self.path, self.limits, signal, _extent)[0] for signal in signals)
        return next((extent for extent in extents if extent is not None), None)

    def services(self, window: Window | None = None) -> tuple[str, ...]:
        """Return the names of the services with spans that start in the window, sorted."""
        during_it = f" AND {during('start_time_unix_nano', window)}" if window else ""

        def question(con: duckdb.DuckDBPyConnection, parts: Parts) -> tuple[str, ...]:
            names = con.execute(
                f"SELECT DISTINCT service_name FROM ({rows_sql(parts)}) WHERE service_name <> ''{during_it} ORDER BY 1"
            )
            return tuple(name for (name,) in names.fetchall())

        return ask(self.path, self.limits, "spans", question)[0]

    def spans(
        self, windows: Windows, *, attributes: bool = False, traces: Sequence[str] | None = None
    ) -> Blocks:
        """Return the spans as blocks; what fits one block is read now and kept, more is read again on each pass.

        What is prepared here serves the first pass, and is dropped with it.
        """
        only = None if traces is None else tuple(traces)
        source = _SpanPasses(self.path, self.limits, windows, attributes, only)
        chosen, parts, blocks = source.start()
        kept = tuple(blocks) if len(chosen.cuts) <= 1 else None
        if kept is None:
            source.started.append(blocks)
        rows = chosen.rows if kept is None else sum(len(block) + block.duplicates for block in kept)
        note = self._note("spans", _SPANS_QUERY, rows, parts)
        if chosen.unusable:
            text = f"{chosen.unusable:,} span rows without ids or times were left out"
            note = replace(note, warnings=(*note.warnings, text))
        note = replace(note, warnings=(*note.warnings, *chosen.long))
        return Blocks(source if kept is None else kept, note, self.meta.selection)

    def span_rows(self, windows: Windows) -> Iterator[pd.DataFrame]:
        """Yield the rows behind `spans`, in frames of whole traces with the capture's columns."""
        kept = [trace_id for block in self.spans(windows).blocks for trace_id in block.trace_ids]

        def question(con: duckdb.DuckDBPyConnection, parts: Parts) -> int:
            touch(con, parts, windows)
            con.execute("CREATE TEMP TABLE kept AS SELECT unnest(?::VARCHAR[]) AS trace_id", [kept])
            rows: int = con.execute("SELECT count(*) FROM near SEMI JOIN kept USING (trace_id)").fetchall()[
                0
            ][0]
            return max(1, -(-rows // _CHUNK_ROWS))

        with asking(self.path, self.limits, "spans", question) as (con, _, chunks), told_as_source_error():
            for number in range(chunks):
                yield con.execute(
                    f"SELECT {_names('spans')} FROM near SEMI JOIN kept USING (trace_id) "
                    f"WHERE hash(trace_id) % {chunks} = {number} ORDER BY start_time_unix_nano, {_names('spans')}"
                ).df()

    def trace(self, trace_id: str) -> Frame:
        """Return the distinct rows of one trace, by start."""
        return self._frame(
            "spans", "trace_id = ?", [trace_id], MAX_ROWS, f"the trace {trace_id}", distinct=True
        )

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
        """Return log records by time; the oldest where there are more than the limit."""
        where, values = logs.condition(
            window, services=services, trace_id=trace_id, pods=pods, severities=severities, text=text
        )
        return self._frame("logs", where, values, limit or MAX_ROWS, f"logs in {window}")

    def log_rates(self, window: Window, step_s: float, *, services: Sequence[str] | None = None) -> Frame:
        """Return how many records there are per step."""
        step = step_ns(window, step_s)
        found, parts = ask(
            self.path, self.limits, "logs", lambda con, parts: logs.rates(con, parts, window, step, services)
        )
        return Frame(rates_frame(found), self._note("logs", f"log rates in {window}", len(found), parts))

    def log_patterns(self, windows: Windows, *, services: Sequence[str] | None = None) -> Frame:
        """Return how many records of each pattern there are in both windows."""
        found, parts = ask(
            self.path, self.limits, "logs", lambda con, parts: logs.patterns(con, parts, windows, services)
        )
        frame, cut = patterns_frame(found)
        note = self._note("logs", f"log patterns in {windows.incident}", len(frame), parts)
        return Frame(frame, replace(note, truncated=note.truncated or cut))

    def metrics(
        self, window: Window, *, names: Sequence[str] | None = None, services: Sequence[str] | None = None
    ) -> Frame:
        """Return samples by time."""
        where: list[str] = [during("time_unix_nano", window)]
        values: list[Any] = []
        for column, wanted in (("name", names), ("service_name", services)):
            if wanted is not None:
                where.append(f"{column} IN (SELECT unnest(?::VARCHAR[]))")
                values.append(list(wanted))
        return self._frame("metrics", " AND ".join(where), values, MAX_ROWS, f"metrics in {window}")

    def events(self, window: Window) -> Frame:
        """Return events and changes by time."""
        return self._frame("events", during("time_unix_nano", window), [], MAX_ROWS, f"events in {window}")

    def topology(self) -> Frame:
        """Return the distinct callers and callees of the topology files."""
        where = "caller IS NOT NULL AND callee IS NOT NULL"
        return self._frame("topology", where, [], MAX_ROWS, "all callers and callees", distinct=True)

    def _frame(
        self,
        signal: SignalFile,
        where: str,
        values: list[Any],
        limit: int,
        query: str,
        *,
        distinct: bool = False,
    ) -> Frame:
        time = TIME_COLUMN[signal]
        order = f"{time}, {_names(signal)}" if time else _names(signal)

        def question(con: duckdb.DuckDBPyConnection, parts: Parts) -> tuple[pd.DataFrame, tuple[str, ...]]:
            long = weigh(con, parts, where, values, limit)
            frame = con.execute(
                f"SELECT {'DISTINCT ' if distinct else ''}{_names(signal)} FROM ({rows_sql(parts)}) WHERE {where} "
                f"ORDER BY {order} LIMIT {limit + 1}",
                values,
            ).df()
            return frame, long

        (frame, long), parts = ask(self.path, self.limits, signal, question)
        note = self._note(signal, query, min(len(frame), limit), parts.warned(*long))
        if len(frame) > limit:
            text = f"more than {limit:,} rows of {signal} match; the first {limit:,} were read"
            note = replace(note, truncated=True, warnings=(*note.warnings, text))
        return Frame(frame.iloc[:limit], note)

    def _note(self, signal: SignalFile, query: str, rows: int, parts: Parts) -> SourceNote:
        """Say how a signal was read here, or first of all, and what was amiss already when it was captured."""
        word = NOTE_SIGNAL[signal]
        before = [note for note in self._meta.sources if note.signal in {signal, word}]
        told = itertools.chain.from_iterable(note.warnings for note in before)
        warnings = tuple(dict.fromkeys((*told, *parts.warnings)))
        taken = next((note for note in before if self._meta.occasion), None)
        kind, url, asked = (taken.kind, taken.url, taken.query) if taken else ("capture", "", query)
        return SourceNote(word, kind, url, asked, rows, any(note.truncated for note in before), warnings)


@dataclass(frozen=True, slots=True)
class _SpanPasses:
    """The blocks of one question, read from the files again on each pass but the one that is `started`."""

    path: Path
    limits: ReadLimits
    windows: Windows
    attributes: bool
    traces: tuple[str, ...] | None = None
    started: list[Iterator[SpanBlock]] = field(default_factory=list)

    def start(self) -> tuple[Chosen, Parts, Iterator[SpanBlock]]:
        """Prepare a pass: what it will read, and its blocks, which hold the database open while there are more."""
        steps = self._pass()
        chosen, parts = cast("tuple[Chosen, Parts]", next(steps))
        return chosen, parts, cast("Iterator[SpanBlock]", steps)

    def __iter__(self) -> Iterator[SpanBlock]:
        return _ahead(self.started.pop() if self.started else self.start()[2])

    def _pass(self) -> Iterator[tuple[Chosen, Parts] | SpanBlock]:
        with asking(self.path, self.limits, "spans", self._prepare) as (con, parts, chosen):
            yield chosen, parts
            with told_as_source_error():
                yield from read_blocks(con, chosen, self.windows, attributes=self.attributes)

    def _prepare(self, con: duckdb.DuckDBPyConnection, parts: Parts) -> Chosen:
        rows = self.limits.block_rows
        chosen = prepare(
            con, parts, self.windows, block_rows=rows, attributes=self.attributes, traces=self.traces
        )
        return replace(chosen, long=weigh_shapes(con, parts, attributes=self.attributes))


def _ahead(blocks: Iterator[SpanBlock]) -> Iterator[SpanBlock]:
    """Yield the blocks, each next one made by another thread while its taker works on the one before."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = pool.submit(next, blocks, None)
            yield block


def _extent(con: duckdb.DuckDBPyConnection, parts: Parts) -> Window | None:
    column = TIME_COLUMN[parts.signal]
    end = "end_time_unix_nano" if parts.signal == "spans" else column
    # an end that cannot be tells nothing of how far the evidence reaches
    timely = f"{end} <= least({column}, {MAX_NS - LONGEST_NS}) + {LONGEST_NS}"
    low, high = con.execute(
        f"SELECT min({column}), least(greatest(max({column}), max({end}) FILTER ({timely})), {MAX_NS}) "
        f"FROM ({rows_sql(parts)}) WHERE {column} >= 0"
    ).fetchall()[0]
    return None if low is None else Window(min(low, MAX_NS), high + 1)


def _names(signal: SignalFile) -> str:
    return ", ".join(f'"{column.name}"' for column in COLUMNS[signal])
