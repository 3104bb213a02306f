"""Spans of a capture as blocks of whole traces: ids, codes and peers are made in SQL, nothing loops over spans.

A trace is touched when any of its spans starts in a window, read whole wherever its spans lie, and kept when its root
starts in a window. The files are read once into a table of numbers, 40 bytes a span, that spills to disk where it must;
blocks are ranges of traces in it, cut where enough rows have gathered, so a block is bounded by rows, not by time.
"""
# ruff: noqa: S608 - every text put into SQL is a constant of this package, an integer, or a quoted path

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from opslib.core.blocks import SpanRows, assemble
from opslib.core.columns import COLUMNS
from opslib.core.evidence import SpanBlock, Strings
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture.engine import ESSENTIAL, Parts, rows_sql
from opslib.telemetry.capture.shapes import (
    JOIN,
    RARE,
    Shapes,
    listed,
    number_rares,
    sample_shapes,
    shaped,
    texts_of,
)

_USABLE = "trace_id <> '' AND span_id <> '' AND start_time_unix_nano >= 0 AND end_time_unix_nano IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a pass over the spans is about to read."""

    rows: int
    cuts: tuple[tuple[int, int], ...]  # first and last trace of each block
    unusable: int  # rows without ids or times
    long: tuple[str, ...] = ()  # what is said of texts that were shortened


def both(windows: Windows) -> tuple[Window, ...]:
    """Return the windows that there are."""
    return (windows.incident, windows.baseline) if windows.baseline else (windows.incident,)


def during(column: str, window: Window) -> str:
    """Return the SQL condition that a time lies in a window."""
    return f"({column} >= {window.start_ns} AND {column} < {window.end_ns})"


def touch(
    con: duckdb.DuckDBPyConnection, parts: Parts, windows: Windows, traces: tuple[str, ...] | None = None
) -> tuple[int, int]:
    """Make the table `touched` of trace ids and the view `near`, which holds all their spans and few others.

    A first look at ids and starts alone tells from when to when the touched traces have spans, however far from the
    windows that is, which is returned; so every later pass skips the row groups outside. Some traces alone are read
    once and kept as they are. Raises duckdb.Error.
    """
    con.execute(f"CREATE TEMP VIEW usable AS SELECT * FROM ({rows_sql(parts)}) WHERE {_USABLE}")
    source = "usable"
    if traces is not None:
        con.execute("CREATE TEMP TABLE asked AS SELECT DISTINCT unnest(?::VARCHAR[]) AS trace_id", [traces])
        con.execute("CREATE TEMP TABLE found AS SELECT * FROM usable SEMI JOIN asked USING (trace_id)")
        source = "found"
    starts = " UNION ALL ".join(
        f"SELECT trace_id FROM {source} WHERE {during('start_time_unix_nano', window)}"
        for window in both(windows)
    )
    con.execute(f"CREATE TEMP TABLE touched AS SELECT DISTINCT trace_id FROM ({starts})")
    first, last = con.execute(  # of the starts
        "SELECT coalesce(min(start_time_unix_nano), 0), coalesce(max(start_time_unix_nano), -1) "
        f"FROM {source} SEMI JOIN touched USING (trace_id)"
    ).fetchall()[0]
    con.execute(
        f"CREATE TEMP VIEW near AS SELECT * FROM {source} WHERE start_time_unix_nano BETWEEN {first} AND {last}"
    )
    return first, last


def prepare(
    con: duckdb.DuckDBPyConnection,
    parts: Parts,
    windows: Windows,
    *,
    block_rows: int,
    attributes: bool,
    traces: tuple[str, ...] | None = None,
) -> Chosen:
    """Make the temporary tables of a pass: the dictionaries and the spans as numbers. Raises duckdb.Error."""
    first, last = touch(con, parts, windows, traces)
    con.execute(
        "CREATE TEMP TABLE traces AS "
        "SELECT trace_id, (row_number() OVER (ORDER BY trace_id) - 1)::INTEGER AS trace FROM touched"
    )
    sample_shapes(con, "near", "touched", first, last)
    if attributes:
        con.execute(
            "CREATE TEMP TABLE texts AS SELECT attributes, (row_number() OVER (ORDER BY attributes) - 1)::INTEGER AS text "
            "FROM (SELECT DISTINCT attributes FROM near SEMI JOIN touched USING (trace_id) WHERE attributes IS NOT NULL)"
        )
    con.execute(f"CREATE TEMP TABLE numbers AS {_numbers_sql(hex_ids=True, attributes=attributes)}")
    unread = "span IS NULL OR has_parent AND parent IS NULL"
    if con.execute(f"SELECT 1 FROM numbers WHERE {unread} LIMIT 1").fetchall():
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE numbers AS {_numbers_sql(hex_ids=False, attributes=attributes)}"
        )
    number_rares(con, "numbers")
    found = con.execute("SELECT count(*) AS n FROM numbers GROUP BY trace ORDER BY trace").fetchnumpy()
    counts = np.asarray(found["n"], dtype=np.int64)
    return Chosen(int(counts.sum()), _cuts(counts, block_rows), _unusable(con, parts))


def _cuts(counts: NDArray[np.int64], block_rows: int) -> tuple[tuple[int, int], ...]:
    """Return the first and last trace of one block, or of blocks of about equal size and at most half as many rows.

    Half, since while one is worked on the next one is made.
    """
    rows = int(counts.sum())
    number = 1 if rows <= block_rows else -(-2 * rows // block_rows)
    block = (np.cumsum(counts) - counts) * number // max(rows, 1)
    firsts = np.flatnonzero(np.diff(block, prepend=-1))
    lasts = np.append(firsts[1:], len(counts)) - 1
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=False))


def _unusable(con: duckdb.DuckDBPyConnection, parts: Parts) -> int:
    """Count the rows without ids or times; where the footers rule them out, without reading a row."""
    plain = {c.name: c.type for c in COLUMNS["spans"] if c.name in ESSENTIAL["spans"]}
    if all(part.types[name] == kind for part in parts.parts for name, kind in plain.items()):
        files = [str(part.path) for part in parts.parts]
        nulls = (
            con.execute(
                "SELECT count(*) FILTER (coalesce(stats_null_count, 1) > 0 OR coalesce(stats_min_value, '') = '' "
                "OR stats_min_value LIKE '-%') "
                f"FROM parquet_metadata(?) WHERE path_in_schema IN ({listed(plain)})",
                [files],
            ).fetchall()[0][0]
            if files
            else 0
        )
        if not nulls:
            return 0
    rows: int = con.execute("SELECT count(*) FROM usable").fetchall()[0][0]
    return parts.rows - rows


def _numbers_sql(*, hex_ids: bool, attributes: bool) -> str:
    """Return SQL for all rows as numbers. Ids that are not 16 hex digits have to be numbered by rank instead."""
    with_s, joins = f"WITH s AS ({shaped('near JOIN traces USING (trace_id)')})", JOIN
    ids = f"{_number('span_id')} AS span, {_number('parent_id')} AS parent"
    if not hex_ids:
        with_s += (
            ", ids AS (SELECT v, row_number() OVER (ORDER BY v)::UBIGINT AS id FROM ("
            "SELECT span_id AS v FROM s UNION SELECT parent_id FROM s WHERE parent_id IS NOT NULL))"
        )
        joins += " JOIN ids i ON i.v = s.span_id LEFT JOIN ids j ON j.v = s.parent_id"
        ids = "i.id AS span, j.id AS parent"
    text = ""
    if attributes:
        joins += " LEFT JOIN texts USING (attributes)"
        text = ", coalesce(text, -1) AS text"
    return (
        f"{with_s} SELECT trace, {ids}, parent_id IS NOT NULL AS has_parent, start_time_unix_nano AS start_ns, "
        f"end_time_unix_nano AS end_ns, shape, {RARE} AS rare{text} FROM s {joins}"
    )


def _number(column: str) -> str:
    """Return SQL for an id of 16 lower-case hex digits as a number, null where it is none."""
    return f"CASE WHEN regexp_full_match({column}, '[0-9a-f]{{16}}') THEN ('0x' || {column})::UBIGINT END"


def read_blocks(
    con: duckdb.DuckDBPyConnection, chosen: Chosen, windows: Windows, *, attributes: bool
) -> Iterator[SpanBlock]:
    """Yield the blocks of a prepared pass. Raises duckdb.Error."""
    shapes = Shapes.read(con)
    values = texts_of(con, "SELECT attributes FROM texts ORDER BY text") if attributes else ()
    for first, last in chosen.cuts:
        where = f"WHERE trace BETWEEN {first} AND {last}"
        trace_ids = texts_of(con, f"SELECT trace_id FROM traces {where} ORDER BY trace")
        columns = con.execute(
            f"SELECT * EXCLUDE (rare) REPLACE (trace - {first} AS trace, coalesce(parent, 0) AS parent, "
            f"coalesce(n.shape, r.shape) AS shape) FROM numbers n LEFT JOIN rares r USING (rare) {where}"
        ).fetchnumpy()
        block = assemble(_rows(columns, trace_ids, shapes, values), windows)
        if len(block):
            yield block


def _rows(columns: Any, trace_ids: tuple[str, ...], shapes: Shapes, values: tuple[str, ...]) -> SpanRows:
    plain: dict[str, NDArray[Any]] = {name: np.ma.getdata(column) for name, column in columns.items()}
    return SpanRows(
        trace_ids=trace_ids,
        trace=plain["trace"].astype(np.int64, copy=False),
        span=plain["span"].astype(np.uint64, copy=False),
        parent=plain["parent"].astype(np.uint64, copy=False),
        has_parent=plain["has_parent"].astype(np.bool_, copy=False),
        start=plain["start_ns"].astype(np.int64, copy=False),
        end=plain["end_ns"].astype(np.int64, copy=False),
        shape=plain["shape"],
        texts=shapes.texts,
        peer_type=shapes.peer_type,
        attributes=Strings(plain["text"].astype(np.int32), values) if "text" in plain else None,
    )
