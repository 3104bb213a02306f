"""The files of a signal that can be read: regular, inside the folder, Parquet with the columns that a row needs."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

import duckdb

from opslib.core.columns import SignalFile
from opslib.core.words import printable
from opslib.telemetry.capture.engine import ESSENTIAL, Part, Parts
from opslib.telemetry.capture.manifest import MANIFEST, CaptureMeta, FileEntry, inside, signal_of
from opslib.telemetry.capture.parts import part_key

_PATTERN = re.compile(r"[*?\[{]")  # what DuckDB reads as a pattern
# Rows with ids and times that differ take ten bytes and more; alike ones cost nothing on disk and all of them in memory.
_MANY_ROWS, _ROWS_PER_BYTE = 10_000_000, 20


def find_parts(con: duckdb.DuckDBPyConnection, folder: Path, meta: CaptureMeta, signal: SignalFile) -> Parts:
    """Look at the footers of a signal's files. Raises CaptureError for a name that leaves the folder."""
    folder = folder.resolve()
    if meta.files is None:
        names = sorted(path.name for path in folder.iterdir() if signal_of(path.name) == signal)
    else:
        names = sorted(name for name in meta.files if signal_of(name) == signal)
    listed = {path: _why_not(path) for path in (inside(folder, name) for name in names)}
    faults, paths = (
        {path: why for path, why in listed.items() if why},
        [p for p, why in listed.items() if not why],
    )
    try:
        probed = _probe(con, paths)
    except duckdb.Error:
        probed, more = _probe_each(con, paths)
        faults |= more
    found = Parts(signal, tuple(probed))
    for path, why in faults.items():
        found = found.without(path, why)
    strays = _strays(folder, meta, signal)
    found = Parts(signal, found.parts, (*found.warnings, *strays), found.missing)
    for part in found.parts:
        found = _judge(found, part, (meta.files or {}).get(part.path.name))
    return found


def _why_not(path: Path) -> str:
    """Say why a file cannot be read at all: whoever opens a pipe waits for ever, and a pattern is other files."""
    if _PATTERN.search(path.name):
        return "its name is a pattern"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "it is not there" if isinstance(error, FileNotFoundError) else str(error.strerror)
    return "" if stat.S_ISREG(mode) else "it is no regular file"


def _strays(folder: Path, meta: CaptureMeta, signal: SignalFile) -> list[str]:
    """Name the files that lie there unlisted, but for a writer's own parts, which come and go."""
    if meta.files is None:
        return []
    names = sorted(p.name for p in folder.iterdir() if signal_of(p.name) == signal and not part_key(p.name))
    return [
        f"{printable(name)} is not listed in {MANIFEST} and was not read"
        for name in names
        if name not in meta.files
    ]


def _probe(con: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> list[Part]:
    if not paths:
        return []
    names = [str(path) for path in paths]
    types: dict[str, dict[str, str]] = {name: {} for name in names}
    for file, column, kind in con.execute(
        "SELECT file_name, name, duckdb_type FROM parquet_schema(?) WHERE duckdb_type IS NOT NULL", [names]
    ).fetchall():
        types[file].setdefault(column, kind)
    rows = dict(con.execute("SELECT file_name, num_rows FROM parquet_file_metadata(?)", [names]).fetchall())
    return [Part(Path(name), rows[name], types[name]) for name in names]


def _probe_each(con: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> tuple[list[Part], dict[Path, str]]:
    good, faults = [], {}
    for path in paths:
        try:
            good += _probe(con, [path])
        except duckdb.Error as error:
            faults[path] = _why_not(path) or str(error)
    return good, faults


def _judge(found: Parts, part: Part, entry: FileEntry | None) -> Parts:
    absent = [name for name in ESSENTIAL[found.signal] if name not in part.types]
    if absent:
        return found.without(part.path, f"it has no column {', '.join(absent)}")
    if (
        found.signal == "spans"
        and part.rows > _MANY_ROWS
        and part.rows > _ROWS_PER_BYTE * part.path.stat().st_size
    ):
        return found.without(part.path, f"{part.rows:,} rows in so few bytes are a compression bomb")
    if entry and entry.rows is not None and entry.rows != part.rows:
        text = f"{printable(part.path.name)} holds {part.rows:,} rows, capture.json says {entry.rows:,}"
        return found.warned(text)
    return found
