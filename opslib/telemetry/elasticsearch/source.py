"""Elasticsearch or OpenSearch as a LogSource: rows as a capture has them, whatever names the documents use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from opslib.core.columns import COLUMNS
from opslib.core.evidence import SourceNote
from opslib.core.ids import TRACE_BYTES, hex_id
from opslib.core.windows import Window, Windows
from opslib.telemetry.elasticsearch import logs
from opslib.telemetry.elasticsearch.documents import Naming, Row
from opslib.telemetry.elasticsearch.fields import Clause, Fields, asked_names, but_not, either, read_fields
from opslib.telemetry.elasticsearch.patterns import count_patterns
from opslib.telemetry.elasticsearch.rates import rates
from opslib.telemetry.elasticsearch.server import Server, Snapshot
from opslib.telemetry.logtables import Rate, patterns_frame, rates_frame, step_ns
from opslib.telemetry.protocols import Frame

MAX_ROWS = 2_000_000  # of one answer
_NAMES = [column.name for column in COLUMNS["logs"]]


class ElasticsearchLogs:
    """Implements LogSource. May be asked by several threads."""

    def __init__(self, server: Server, naming: Naming, time: str = "@timestamp") -> None:
        self.server, self.naming, self.time = server, naming, time
        self._fields: Fields | None = None

    @property
    def fields(self) -> Fields:
        """What the mappings say, asked for until there are records. Raises SourceError."""
        if self._fields is None or not self._fields.time_types:
            indices, caps = self.server.field_caps(asked_names(self.time, self.naming))
            self._fields = read_fields(indices, caps, self.time, self.naming)
        return self._fields

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
        said, bound = f"logs in {window}", limit or MAX_ROWS
        if not self.fields.time_types:
            return Frame(_frame([]), self.note(said, 0, None))
        query = self.query(
            self.fields.during(window),
            services=services,
            trace_id=trace_id,
            pods=pods,
            severities=severities,
            text=text,
        )
        wanted = _wanted(window, services, trace_id, pods, severities)
        with self.server.snapshot() as snapshot:
            rows, more = logs.read(snapshot, query, self.fields, bound, wanted)
        cut = f"more than {bound:,} rows of logs match; the first {bound:,} were read"
        return Frame(_frame(rows), self.note(said, len(rows), snapshot, *((cut,) if more else ())))

    def log_rates(self, window: Window, step_s: float, *, services: Sequence[str] | None = None) -> Frame:
        """Return how many records there are per step, counted by the server."""
        step, said = step_ns(window, step_s), f"log rates in {window}"
        if not self.fields.time_types:
            return Frame(rates_frame([]), self.note(said, 0, None))
        query = self.query(self.fields.within(window), services=services)
        with self.server.snapshot() as snapshot:
            counts, cut = rates(snapshot, query, self.fields, window, step)
        rows = [Rate(*who, n) for who, n in counts.items() if services is None or who[1] in services]
        more = ("there are more groups than were counted",) if cut else ()
        return Frame(rates_frame(rows), self.note(said, len(rows), snapshot, *more))

    def log_patterns(self, windows: Windows, *, services: Sequence[str] | None = None) -> Frame:
        """Return how many records of each pattern there are in both windows, counted by the server."""
        said = f"log patterns in {windows.incident}"
        if not self.fields.time_types:
            return Frame(patterns_frame([])[0], self.note(said, 0, None))
        incident = self.fields.within(windows.incident)
        queries = [self.query(incident, services=services)]
        if windows.baseline is not None:
            baseline = self.query(self.fields.within(windows.baseline), services=services)
            queries.append(but_not(baseline, [incident]))
        with self.server.snapshot() as snapshot:
            found = count_patterns(snapshot, queries, self.fields)
        frame, cut = patterns_frame(row for row in found if services is None or row.service_name in services)
        more = (f"more than {len(frame):,} patterns; the commonest are shown",) if cut else ()
        return Frame(frame, self.note(said, len(frame), snapshot, *more))

    def query(
        self,
        during: Clause,
        *,
        services: Sequence[str] | None = None,
        trace_id: str | None = None,
        pods: Sequence[str] | None = None,
        severities: Sequence[str] | None = None,
        text: str | None = None,
    ) -> Clause:
        """Return a query that finds at least what is asked for."""
        fields = self.fields
        clauses = [during]
        if services is not None:
            clauses.append(either([fields.service(name) for name in services]))
        if trace_id is not None:
            clauses.append(fields.trace(trace_id))
        if pods is not None:
            clauses.append(fields.any_of(fields.shape.pod, pods))
        if severities is not None:
            clauses.append(either([fields.severity(severity) for severity in severities]))
        if text is not None:
            clauses.append(fields.contains(text))
        return {"bool": {"filter": clauses}}

    def note(self, query: str, rows: int, snapshot: Snapshot | None, *cut: str) -> SourceNote:
        """Say how an answer was obtained; what is amiss with the indices or in the answers makes it truncated."""
        fields = self.fields
        amiss = tuple(snapshot.amiss) if snapshot else ()
        warnings = [*amiss, *cut, *fields.conflicts]
        if not fields.indices:
            warnings.append(f"no index matches {self.server.index}")
        elif not fields.time_types:
            warnings.append(f"no index of {self.server.index} has times in {self.time}")
        where = self.server.http.endpoint
        return SourceNote(
            "log",
            where.kind,
            where.url,
            f"{query}, {self.server.index}",
            rows,
            bool(amiss or cut),
            tuple(warnings),
        )


def _frame(rows: list[Row]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=_NAMES)
    return frame.astype({"time_unix_nano": "int64"})


def _wanted(
    window: Window,
    services: Sequence[str] | None,
    trace_id: str | None,
    pods: Sequence[str] | None,
    severities: Sequence[str] | None,
) -> Callable[[Row], bool]:
    """Return the exact condition: a query's times are whole milliseconds, and a phrase may stand in a longer text."""
    trace = hex_id(trace_id, TRACE_BYTES, short_hex=True)
    upper = None if severities is None else {severity.upper() for severity in severities}

    def wanted(row: Row) -> bool:
        return (
            row[0] in window
            and (services is None or row[3] in services)
            and (trace_id is None or row[5] == trace)
            and (pods is None or row[4] in pods)
            and (upper is None or (row[1] or "") in upper)
        )

    return wanted
