"""Parquet parts on disk: a part appears under its name only when it is whole, and is never changed afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from opslib.core.columns import COLUMNS, TIME_COLUMN, SignalFile
from opslib.core.units import MAX_NS
from opslib.core.windows import Window
from opslib.telemetry.capture.manifest import FileEntry

Row = tuple[Any, ...]
_PART = re.compile(rf"({'|'.join(COLUMNS)})-(\d+)-(\d{{8,}})\.parquet")
_LEFTOVER = re.compile(r"\..+\.parquet\.tmp")
# Sorted by time, so that a reader of a window skips whole row groups; the rest makes the order total.
_ORDER: dict[SignalFile, str] = {
    "spans": "start_time_unix_nano, trace_id, span_id, ALL",
    "logs": "time_unix_nano, ALL",
    "metrics": "time_unix_nano, ALL",
    "events": "time_unix_nano, ALL",
    "topology": "ALL",
}


def part_name(signal: SignalFile, level: int, number: int) -> str:
    """Return the name of a part: level 0 is as rolled, each level above is merged from the one below."""
    return f"{signal}-{level}-{number:08d}.parquet"


def part_key(name: str) -> tuple[SignalFile, int, int] | None:
    """Return signal, level and number of a part's name, None for any other file."""
    match = _PART.fullmatch(name)
    return (match[1], int(match[2]), int(match[3])) if match else None  # type: ignore[return-value]


def leftovers(folder: Path, listed: Iterable[str]) -> list[Path]:
    """Return what a killed writer left behind: half-written files, and parts that no manifest lists."""
    known = set(listed)
    return [
        path
        for path in folder.iterdir()
        if _LEFTOVER.fullmatch(path.name) or (part_key(path.name) and path.name not in known)
    ]


def extent_of(files: Mapping[str, FileEntry]) -> Window | None:
    """Return the window that holds the rows of these parts: of the spans, without any of the other signals."""
    timed = {n: f for n, f in files.items() if f.start_ns is not None and f.end_ns is not None and f.rows}
    spans = [f for n, f in timed.items() if n.startswith("spans")]
    chosen = spans or list(timed.values())
    if not chosen:
        return None
    return Window(min(f.start_ns or 0 for f in chosen), max(f.end_ns or 0 for f in chosen))


def connect_writer() -> duckdb.DuckDBPyConnection:
    """Open the small database that turns rows into Parquet: one thread, bounded memory, no extensions."""
    return duckdb.connect(
        ":memory:",
        config={
            "threads": "1",
            "memory_limit": "512MB",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )


def write_rows(
    con: duckdb.DuckDBPyConnection, path: Path, signal: SignalFile, rows: Sequence[Row]
) -> FileEntry:
    """Write tuples in the order of `COLUMNS[signal]`. Raises duckdb.Error, and ValueError for a wrong length."""
    columns = COLUMNS[signal]
    lists = [list(values) for values in zip(*rows, strict=True)]
    if len(lists) != len(columns):
        raise ValueError(f"{signal} has {len(columns)} columns, the rows have {len(lists)}")
    select = ", ".join(f'unnest(?::{c.type}[]) AS "{c.name}"' for c in columns)
    return _copy(con, path, signal, f"SELECT {select}", values=lists, rows=len(rows))


def write_frame(
    con: duckdb.DuckDBPyConnection, path: Path, signal: SignalFile, frame: pd.DataFrame
) -> FileEntry:
    """Write a frame; columns beyond `COLUMNS[signal]` are left out, absent ones are null. Raises duckdb.Error."""
    select = ", ".join(
        f'{_quoted(c.name) if c.name in frame.columns else "NULL"}::{c.type} AS "{c.name}"'
        for c in COLUMNS[signal]
    )
    con.register("incoming", frame)
    try:
        return _copy(con, path, signal, f"SELECT {select} FROM incoming", values=[], rows=len(frame))  # noqa: S608
    finally:
        con.unregister("incoming")


def merge_parts(
    con: duckdb.DuckDBPyConnection, path: Path, signal: SignalFile, parts: Sequence[Path], rows: int
) -> FileEntry:
    """Write the rows of several parts into one. Raises duckdb.Error, also when a part cannot be read."""
    return _copy(
        con, path, signal, "SELECT * FROM read_parquet(?)", values=[[str(part) for part in parts]], rows=rows
    )


def _copy(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    signal: SignalFile,
    select: str,
    *,
    values: list[Any],
    rows: int,
) -> FileEntry:
    hidden = path.with_name(f".{path.name}.tmp")
    target = str(hidden).replace("'", "''")
    order = _ORDER[signal].replace("ALL", ", ".join(_quoted(c.name) for c in COLUMNS[signal]))
    try:
        con.execute(
            f"COPY (SELECT * FROM ({select}) ORDER BY {order}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)",  # noqa: S608
            values,
        ).fetchall()  # a result left unread keeps the connection busy
        with hidden.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        entry = FileEntry(digest, rows, *_times(con, hidden, signal))
        hidden.replace(path)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)
    return entry


def _times(con: duckdb.DuckDBPyConnection, path: Path, signal: SignalFile) -> tuple[int | None, int | None]:
    column = TIME_COLUMN[signal]
    if column is None:
        return None, None
    end = "end_time_unix_nano" if signal == "spans" else column
    last = f"least(greatest(max({column}), max({end})), {MAX_NS})"
    query = f"SELECT least(min({column}), {MAX_NS}), {last} + 1 FROM read_parquet(?)"  # noqa: S608
    start_ns, end_ns = con.execute(query, [str(path)]).fetchall()[0]
    return start_ns, end_ns


def _quoted(name: str) -> str:
    return f'"{name}"'
