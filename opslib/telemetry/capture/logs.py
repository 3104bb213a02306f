"""Which log records of a capture are meant, how many there are per step, and how many of each pattern."""
# ruff: noqa: S608 - every text put into SQL is a constant of this package, an integer, or a quoted path

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from opslib.core.windows import Window, Windows
from opslib.diagnosis.logpatterns import pattern
from opslib.telemetry.capture.engine import Parts, rows_sql
from opslib.telemetry.capture.spans import during
from opslib.telemetry.logtables import PatternCount, Rate

_SERVICE, _SEVERITY = "coalesce(service_name, '')", "upper(coalesce(severity_text, ''))"
_TIME = "time_unix_nano"
_CHUNK = 10_000

Condition = tuple[str, list[Any]]


def condition(
    window: Window,
    *,
    services: Sequence[str] | None = None,
    trace_id: str | None = None,
    pods: Sequence[str] | None = None,
    severities: Sequence[str] | None = None,
    text: str | None = None,
) -> Condition:
    """Return SQL for the records that are meant, and its values."""
    where = [during(_TIME, window)]
    values: list[Any] = []
    for column, wanted in (("service_name", services), ("k8s_pod_name", pods)):
        if wanted is not None:
            where.append(f"{column} IN (SELECT unnest(?::VARCHAR[]))")
            values.append(list(wanted))
    if severities is not None:
        where.append(f"{_SEVERITY} IN (SELECT unnest(?::VARCHAR[]))")
        values.append([severity.upper() for severity in severities])
    if trace_id is not None:
        where.append("trace_id = ?")
        values.append(trace_id)
    if text is not None:
        where.append("regexp_matches(body, ?, 'i')")
        values.append(_side_by_side(text))
    return " AND ".join(where), values


def rates(
    con: duckdb.DuckDBPyConnection, parts: Parts, window: Window, step: int, services: Sequence[str] | None
) -> list[Rate]:
    """Count the records of each step of `step` ns from the window's start. Raises duckdb.Error."""
    where, values = condition(window, services=services)
    start = f"{window.start_ns} + ({_TIME} - {window.start_ns}) // {step} * {step}"
    found = con.execute(
        f"SELECT {start}, {_SERVICE}, {_SEVERITY}, count(*) FROM ({rows_sql(parts)}) WHERE {where} GROUP BY 1, 2, 3",
        values,
    )
    return [Rate(*row) for row in found.fetchall()]


def patterns(
    con: duckdb.DuckDBPyConnection, parts: Parts, windows: Windows, services: Sequence[str] | None
) -> list[PatternCount]:
    """Count the records of each pattern in both windows; where they overlap, the incident's. Raises duckdb.Error."""
    incident = during(_TIME, windows.incident)
    baseline = f"NOT {incident} AND " + (during(_TIME, windows.baseline) if windows.baseline else "false")
    where, values = condition(_around(windows), services=services)
    found = con.execute(
        f"SELECT {_SERVICE}, {_SEVERITY}, coalesce(body, ''), count(*) FILTER ({incident}), count(*) FILTER ({baseline}) "
        f"FROM ({rows_sql(parts)}) WHERE {where} AND ({incident} OR {baseline}) GROUP BY 1, 2, 3",
        values,
    )
    counted: dict[tuple[str, str, str], tuple[int, int, str]] = {}
    for service, severity, body, after, before in _all(found):
        key = (service, severity, pattern(body))
        n, m, example = counted.get(key, (0, 0, body))
        counted[key] = (n + after, m + before, min(example, body))
    return [PatternCount(*key, *found, exact=True) for key, found in counted.items()]


def _around(windows: Windows) -> Window:
    both = [windows.incident, windows.baseline or windows.incident]
    return Window(min(w.start_ns for w in both), max(w.end_ns for w in both))


def _all(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := found.fetchmany(_CHUNK):
        yield from rows


def _side_by_side(text: str) -> str:
    """Return a pattern for the words of a text, whole and side by side, as a search engine finds a phrase."""
    words = r"\W+".join(map(re.escape, re.findall(r"\w+", text)))
    return rf"(^|\W){words}($|\W)" if words else re.escape(text)
