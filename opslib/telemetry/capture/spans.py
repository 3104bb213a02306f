"""Spans of a capture as blocks of whole traces: ids, codes and peers are made in SQL, nothing loops over spans.

A trace is touched when any of its spans starts in a window, read whole wherever its spans lie, and kept when its root
starts in a window. Traces go to blocks by a hash of their id, so a block's size is bounded by rows, not by time.
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

_HEX_ID = "[0-9a-f]{16}"
_SEPARATOR = (
    "chr(31)"  # JSON escapes control characters, so the raw values of the peer's attributes never hold it
)
_SHAPE = ("name", "kind", "status", "service", "version", "pod", "peer")
_FIXED = {"kind": KINDS, "status": STATUSES}
_NO_TEXT = ("version", "pod")  # an empty text there is none
_USABLE = "trace_id <> '' AND span_id <> '' AND start_time_unix_nano >= 0 AND end_time_unix_nano IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a pass over the spans is about to read."""

    rows: int
    blocks: int
    unusable: int  # rows without ids or times
    hex_ids: bool
    long: tuple[str, ...] = ()  # what is said of texts that were shortened


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
    windows that is; so every later pass skips the row groups outside. Raises duckdb.Error.
    """
    con.execute(f"CREATE TEMP VIEW usable AS SELECT * FROM ({rows_sql(parts)}) WHERE {_USABLE}")
    starts = " UNION ".join(
        f"SELECT trace_id FROM usable WHERE {during('start_time_unix_nano', window)}"
        for window in both(windows)
    )
    con.execute(f"CREATE TEMP TABLE touched AS SELECT DISTINCT trace_id FROM ({starts})")
    if traces is not None:
        con.execute("DELETE FROM touched WHERE NOT list_contains(?::VARCHAR[], trace_id)", [list(traces)])
    first, last = con.execute(
        "SELECT coalesce(min(start_time_unix_nano), 0), coalesce(max(start_time_unix_nano), -1) "
        "FROM usable SEMI JOIN touched USING (trace_id)"
    ).fetchall()[0]
    con.execute(
        f"CREATE TEMP VIEW near AS SELECT * FROM usable WHERE start_time_unix_nano BETWEEN {first} AND {last}"
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
    """Make the temporary tables of a pass: the chosen traces and the dictionaries. Raises duckdb.Error."""
    touch(con, parts, windows, traces)
    rows, hex_ids = con.execute(
        f"SELECT count(*), bool_and(regexp_full_match(span_id, '{_HEX_ID}') AND "
        f"coalesce({_parent()}, span_id) SIMILAR TO '{_HEX_ID}') FROM near SEMI JOIN touched USING (trace_id)"
    ).fetchall()[0]
    blocks = max(1, -(-rows // block_rows))
    con.execute(
        "CREATE TEMP TABLE chosen AS SELECT trace_id, block, "
        "row_number() OVER (PARTITION BY block ORDER BY trace_id) - 1 AS code "
        f"FROM (SELECT trace_id, hash(trace_id) % {blocks} AS block FROM touched)"
    )
    con.execute(
        f"CREATE TEMP TABLE shapes AS SELECT *, (row_number() OVER () - 1)::INTEGER AS shape "
        f"FROM (SELECT DISTINCT {', '.join(_SHAPE)} FROM ({_shaped('touched')}))"
    )
    if attributes:
        con.execute(_dictionary("attributes", "near SEMI JOIN touched USING (trace_id)"))
    return Chosen(rows, blocks, _unusable(con, parts), bool(hex_ids))


def _unusable(con: duckdb.DuckDBPyConnection, parts: Parts) -> int:
    """Count the rows without ids or times; where the footers rule them out, without reading a row."""
    plain = {c.name: c.type for c in COLUMNS["spans"] if c.name in ESSENTIAL["spans"]}
    if all(part.types[name] == kind for part in parts.parts for name, kind in plain.items()):
        files = [str(part.path) for part in parts.parts]
        nulls = (
            con.execute(
                "SELECT count(*) FILTER (coalesce(stats_null_count, 1) > 0 OR coalesce(stats_min_value, '') = '' "
                "OR stats_min_value LIKE '-%') "
                f"FROM parquet_metadata(?) WHERE path_in_schema IN ({_list(plain)})",
                [files],
            ).fetchall()[0][0]
            if files
            else 0
        )
        if not nulls:
            return 0
    rows: int = con.execute("SELECT count(*) FROM usable").fetchall()[0][0]
    return parts.rows - rows


def _parent() -> str:
    return f"CASE WHEN parent_span_id NOT IN ({_list(NO_PARENT)}) THEN parent_span_id END"


def _shaped(traces: str) -> str:
    """Return SQL for the spans of some traces; the attributes are taken apart only after the join with the traces."""
    paths = ", ".join(f"'$.\"{name}\"'" for name in PEER_ATTRIBUTES)
    raw_peers = ", ".join(f"coalesce(found[{i + 1}]::VARCHAR, '')" for i in range(len(PEER_ATTRIBUTES)))
    return f"""
        SELECT *, concat_ws({_SEPARATOR}, {raw_peers}) AS peer FROM (
            SELECT * EXCLUDE (name, kind), {_parent()} AS parent, coalesce(name, '') AS name,
                CASE WHEN kind IN ({_list(KINDS)}) THEN kind ELSE 'UNSPECIFIED' END AS kind,
                CASE WHEN status_code IN ({_list(STATUSES)}) THEN status_code ELSE 'UNSET' END AS status,
                coalesce(nullif(service_name, ''), '{UNKNOWN_SERVICE}') AS service,
                coalesce(service_version, '') AS version, coalesce(k8s_pod_name, '') AS pod,
                CASE WHEN coalesce(kind, '') NOT IN ({_list(set(KINDS) - set(CALLING_KINDS))})
                    THEN try(json_extract(attributes, [{paths}])) END AS found
            FROM near JOIN {traces} USING (trace_id)
        )"""


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
        texts: dict[str, list[str | None]] = {
            word: [text or None for text in column] if word in _NO_TEXT else list(column)
            for word, column in columns.items()
        }
        texts["peer"] = [peers[key][0] for key in columns["peer"]]
        types = np.array([peers[key][1] for key in columns["peer"]], dtype=np.int8)
        return cls({word: _numbered(column, _FIXED.get(word)) for word, column in texts.items()}, types)


def _peer(key: str) -> tuple[str | None, int]:
    raw = dict(zip(PEER_ATTRIBUTES, key.split("\x1f"), strict=True))
    return resolve_peer({name: json.loads(text) for name, text in raw.items() if text.startswith('"')})


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
    for number in range(chosen.blocks):
        trace_ids = _texts(con, f"SELECT trace_id FROM chosen WHERE block = {number} ORDER BY code")
        if not trace_ids:
            continue
        query = _block_sql(number, hex_ids=chosen.hex_ids, attributes=attributes)
        block = assemble(_rows(con.execute(query).fetchnumpy(), trace_ids, shapes, values), windows)
        if len(block):
            yield block


def _block_sql(number: int, *, hex_ids: bool, attributes: bool) -> str:
    """Return SQL for one block's rows as numbers. Ids that are not 16 hex digits are numbered by rank instead."""
    traces = f"(SELECT trace_id, code AS trace FROM chosen WHERE block = {number})"
    with_s = f"WITH s AS ({_shaped(traces)})"
    joins = f"JOIN shapes USING ({', '.join(_SHAPE)})"
    ids = "('0x' || span_id)::UBIGINT AS span, coalesce(('0x' || parent)::UBIGINT, 0) AS parent"
    if not hex_ids:
        with_s += (
            ", ids AS (SELECT v, row_number() OVER (ORDER BY v)::UBIGINT AS id FROM ("
            "SELECT span_id AS v FROM s UNION SELECT parent FROM s WHERE parent IS NOT NULL))"
        )
        joins += " JOIN ids i ON i.v = s.span_id LEFT JOIN ids j ON j.v = s.parent"
        ids = "i.id AS span, coalesce(j.id, 0) AS parent"
    code = ""
    if attributes:
        joins += " LEFT JOIN d_attributes a ON a.v = s.attributes"
        code = ", coalesce(a.code, -1)::INTEGER AS attributes"
    return (
        f"{with_s} SELECT trace::BIGINT AS trace, {ids}, s.parent IS NOT NULL AS has_parent, "
        f"start_time_unix_nano AS start_ns, end_time_unix_nano AS end_ns, shape{code} FROM s {joins}"
    )


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


def _list(words: Any) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))
