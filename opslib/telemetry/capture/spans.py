"""Spans of a capture as blocks of whole traces: ids, codes and peers are made in SQL, nothing loops over spans.

A trace is touched when any of its spans starts in a window, read whole wherever its spans lie, and kept when its root
starts in a window. The files are read once into a table of numbers, 40 bytes a span, that spills to disk where it must;
blocks are ranges of traces in it, cut where enough rows have gathered, so a block is bounded by rows, not by time.
What two spans share (name, kind, status, service, version, pod, peer) is their shape: there are few, each is numbered
once, and a row carries one number for all of it.
"""
# ruff: noqa: S608 - every text put into SQL is a constant of this package, an integer, or a quoted path

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from opslib.core.blocks import KINDS, NO_PARENT, STATUSES, UNKNOWN_SERVICE, SpanRows, assemble
from opslib.core.columns import COLUMNS
from opslib.core.evidence import SpanBlock, Strings
from opslib.core.peers import CALLING_KINDS, PEER_ATTRIBUTES, resolve_peer
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture.engine import ESSENTIAL, Parts, rows_sql

_SEPARATOR = (
    "chr(31)"  # JSON escapes control characters, so the raw values of the peer's attributes never hold it
)
_SHAPE = ("name", "kind", "status", "service", "version", "pod", "peer")
_FIXED = {"kind": KINDS, "status": STATUSES}
_UNKNOWN: dict[str, str | None] = {
    "kind": "UNSPECIFIED",
    "status": "UNSET",
    "service": UNKNOWN_SERVICE,
    "version": None,
    "pod": None,
}
_USABLE = (
    "trace_id IS NOT NULL AND span_id IS NOT NULL "
    "AND start_time_unix_nano IS NOT NULL AND end_time_unix_nano IS NOT NULL"
)


def _list(words: Any) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a pass over the spans is about to read."""

    rows: int
    cuts: tuple[tuple[int, int], ...]  # first and last trace of each block
    unusable: int  # rows without ids or times


def both(windows: Windows) -> tuple[Window, ...]:
    """Return the windows that there are."""
    return (windows.incident, windows.baseline) if windows.baseline else (windows.incident,)


def during(column: str, window: Window) -> str:
    """Return the SQL condition that a time lies in a window."""
    return f"({column} >= {window.start_ns} AND {column} < {window.end_ns})"


def touch(
    con: duckdb.DuckDBPyConnection, parts: Parts, windows: Windows, traces: tuple[str, ...] | None = None
) -> None:
    """Make the table `touched` of trace ids and the view `near`, which holds all their spans and few others.

    A first look at ids and starts alone tells from when to when the touched traces have spans, however far from the
    windows that is; so every later pass skips the row groups outside. Some traces alone are read once and kept as
    they are. Raises duckdb.Error.
    """
    con.execute(f"CREATE TEMP VIEW usable AS SELECT * FROM ({rows_sql(parts)}) WHERE {_USABLE}")
    source = "usable"
    if traces is not None:
        con.execute("CREATE TEMP TABLE asked AS SELECT DISTINCT unnest(?::VARCHAR[]) AS trace_id", [traces])
        con.execute("CREATE TEMP TABLE found AS SELECT * FROM usable SEMI JOIN asked USING (trace_id)")
        source = "found"
    starts = " UNION ".join(
        f"SELECT trace_id FROM {source} WHERE {during('start_time_unix_nano', window)}"
        for window in both(windows)
    )
    con.execute(f"CREATE TEMP TABLE touched AS SELECT DISTINCT trace_id FROM ({starts})")
    first, last = con.execute(
        "SELECT coalesce(min(start_time_unix_nano), 0), coalesce(max(start_time_unix_nano), -1) "
        f"FROM {source} SEMI JOIN touched USING (trace_id)"
    ).fetchall()[0]
    con.execute(
        f"CREATE TEMP VIEW near AS SELECT * FROM {source} WHERE start_time_unix_nano BETWEEN {first} AND {last}"
    )


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
    touch(con, parts, windows, traces)
    con.execute(
        "CREATE TEMP TABLE traces AS "
        "SELECT trace_id, (row_number() OVER (ORDER BY trace_id) - 1)::INTEGER AS trace FROM touched"
    )
    con.execute(
        f"CREATE TEMP TABLE shapes AS SELECT *, (row_number() OVER () - 1)::INTEGER AS shape "
        f"FROM (SELECT DISTINCT {', '.join(_SHAPE)} FROM ({_SHAPED}))"
    )
    if attributes:
        con.execute(_dictionary("attributes", "near SEMI JOIN touched USING (trace_id)"))
    con.execute(f"CREATE TEMP TABLE numbers AS {_numbers_sql(hex_ids=True, attributes=attributes)}")
    unread = "span IS NULL OR has_parent AND parent IS NULL"
    if con.execute(f"SELECT 1 FROM numbers WHERE {unread} LIMIT 1").fetchall():
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE numbers AS {_numbers_sql(hex_ids=False, attributes=attributes)}"
        )
    found = con.execute("SELECT count(*) AS n FROM numbers GROUP BY trace ORDER BY trace").fetchnumpy()
    counts = np.asarray(found["n"], dtype=np.int64)
    return Chosen(int(counts.sum()), _cuts(counts, block_rows), _unusable(con, parts))


def _cuts(counts: NDArray[np.int64], block_rows: int) -> tuple[tuple[int, int], ...]:
    """Return the first and last trace of blocks that hold about so many rows, at least one trace each."""
    block = (np.cumsum(counts) - counts) // block_rows
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
                f"SELECT sum(coalesce(stats_null_count, 1)) FROM parquet_metadata(?) WHERE path_in_schema IN ({_list(plain)})",
                [files],
            ).fetchall()[0][0]
            if files
            else 0
        )
        if not nulls:
            return 0
    rows: int = con.execute("SELECT count(*) FROM usable").fetchall()[0][0]
    return parts.rows - rows


_PARENT = f"CASE WHEN parent_span_id NOT IN ({_list(NO_PARENT)}) THEN parent_span_id END"
_PATHS = ", ".join(f"'$.\"{name}\"'" for name in PEER_ATTRIBUTES)
_RAW_PEERS = ", ".join(f"coalesce(found[{i + 1}]::VARCHAR, '')" for i in range(len(PEER_ATTRIBUTES)))
# The spans of the touched traces; the attributes are taken apart only after the join, and only where a span may call.
_SHAPED = f"""
    SELECT *, CASE WHEN found IS NULL THEN '' ELSE concat_ws({_SEPARATOR}, {_RAW_PEERS}) END AS peer FROM (
        SELECT * EXCLUDE (name, kind), {_PARENT} AS parent_id, coalesce(name, '') AS name,
            coalesce(kind, '') AS kind, coalesce(status_code, '') AS status, coalesce(service_name, '') AS service,
            coalesce(service_version, '') AS version, coalesce(k8s_pod_name, '') AS pod,
            CASE WHEN coalesce(kind, '') NOT IN ({_list(set(KINDS) - set(CALLING_KINDS))})
                THEN try(json_extract(attributes, [{_PATHS}])) END AS found
        FROM near JOIN traces USING (trace_id)
    )"""


def _numbers_sql(*, hex_ids: bool, attributes: bool) -> str:
    """Return SQL for all rows as numbers. Ids that are not 16 hex digits have to be numbered by rank instead."""
    with_s, joins = f"WITH s AS ({_SHAPED})", f"JOIN shapes USING ({', '.join(_SHAPE)})"
    ids = f"{_number('span_id')} AS span, {_number('parent_id')} AS parent"
    if not hex_ids:
        with_s += (
            ", ids AS (SELECT v, row_number() OVER (ORDER BY v)::UBIGINT AS id FROM ("
            "SELECT span_id AS v FROM s UNION SELECT parent_id FROM s WHERE parent_id IS NOT NULL))"
        )
        joins += " JOIN ids i ON i.v = s.span_id LEFT JOIN ids j ON j.v = s.parent_id"
        ids = "i.id AS span, j.id AS parent"
    code = ""
    if attributes:
        joins += " LEFT JOIN d_attributes a ON a.v = s.attributes"
        code = ", coalesce(a.code, -1)::INTEGER AS attributes"
    return (
        f"{with_s} SELECT trace, {ids}, parent_id IS NOT NULL AS has_parent, "
        f"start_time_unix_nano AS start_ns, end_time_unix_nano AS end_ns, shape{code} FROM s {joins}"
    )


def _number(column: str) -> str:
    """Return SQL for an id of 16 lower-case hex digits as a number, null where it is none."""
    return f"CASE WHEN regexp_full_match({column}, '[0-9a-f]{{16}}') THEN ('0x' || {column})::UBIGINT END"


def _dictionary(word: str, source: str) -> str:
    return (
        f"CREATE TEMP TABLE d_{word} AS SELECT v, (row_number() OVER (ORDER BY v) - 1)::INTEGER AS code "
        f"FROM (SELECT DISTINCT {word} AS v FROM {source} WHERE {word} IS NOT NULL)"
    )


@dataclass(frozen=True, slots=True)
class Shapes:
    """The texts of each shape, (number of shapes,), and which attribute named its peer."""

    texts: dict[str, Strings]
    peer_type: NDArray[np.int8]

    @classmethod
    def read(cls, con: duckdb.DuckDBPyConnection) -> Shapes:
        """Number the distinct texts of each column in the order of the texts, and resolve each distinct peer once."""
        columns = {word: _texts(con, f"SELECT {word} FROM shapes ORDER BY shape") for word in _SHAPE}
        peers = {key: _peer(key) for key in set(columns["peer"])}
        texts = {word: [_told(word, text) for text in column] for word, column in columns.items()}
        texts["peer"] = [peers[key][0] for key in columns["peer"]]
        types = np.array([peers[key][1] for key in columns["peer"]], dtype=np.int8)
        return cls({word: _numbered(column, _FIXED.get(word)) for word, column in texts.items()}, types)


def _told(word: str, text: str) -> str | None:
    """Return what an absent or unknown text of a column stands for, others as they are."""
    if word in _FIXED:
        return text if text in _FIXED[word] else _UNKNOWN[word]
    return text or _UNKNOWN.get(word, "")


def _peer(key: str) -> tuple[str | None, int]:
    raw = zip(PEER_ATTRIBUTES, key.split("\x1f"), strict=True) if key else ()
    return resolve_peer({name: json.loads(text) for name, text in raw if text})


def _numbered(texts: list[str | None], fixed: tuple[str, ...] | None) -> Strings:
    values = fixed or tuple(sorted({text for text in texts if text is not None}))
    place: dict[str | None, int] = {text: code for code, text in enumerate(values)} | {None: -1}
    return Strings(np.array([place[text] for text in texts], dtype=np.int32), values)


def read_blocks(
    con: duckdb.DuckDBPyConnection, chosen: Chosen, windows: Windows, *, attributes: bool
) -> Iterator[SpanBlock]:
    """Yield the blocks of a prepared pass. Raises duckdb.Error."""
    shapes = Shapes.read(con)
    values = _texts(con, "SELECT v FROM d_attributes ORDER BY code") if attributes else ()
    for first, last in chosen.cuts:
        range_ = f"WHERE trace BETWEEN {first} AND {last}"
        trace_ids = _texts(con, f"SELECT trace_id FROM traces {range_} ORDER BY trace")
        columns = con.execute(
            f"SELECT * REPLACE (trace - {first} AS trace, coalesce(parent, 0) AS parent) FROM numbers {range_}"
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
        attributes=Strings(plain["attributes"].astype(np.int32), values) if "attributes" in plain else None,
    )


def _texts(con: duckdb.DuckDBPyConnection, query: str) -> tuple[str, ...]:
    return tuple(value for (value,) in con.execute(query).fetchall())
