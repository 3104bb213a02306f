"""One DuckDB connection over the parts of a capture, fenced in: it reads that folder and its own spill folder only.

Parts with other column types, missing or extra columns are brought to the schema here; a part that cannot be read is
left out and named in a warning, so that the rest still answers.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from opslib.core.columns import COLUMNS, Column, SignalFile
from opslib.core.words import printable
from opslib.telemetry.capture.manifest import MANIFEST, CaptureMeta, FileEntry, inside, signal_of
from opslib.telemetry.capture.parts import part_key

# Without these a row cannot be placed at all; the other columns may be absent and read as null.
ESSENTIAL: dict[SignalFile, tuple[str, ...]] = {
    "spans": ("trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano"),
    "logs": ("time_unix_nano", "body"),
    "metrics": ("time_unix_nano", "name", "value"),
    "events": ("time_unix_nano",),
    "topology": ("caller", "callee"),
}
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"}


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of the machine reading a capture may take."""

    memory_limit_mb: int = 1024  # of DuckDB; beyond it, it spills to a temporary folder
    threads: int = field(default_factory=lambda: min(os.cpu_count() or 1, 8))
    block_rows: int = 2_000_000  # about so many spans are in memory at once


@dataclass(frozen=True, slots=True)
class Part:
    """One readable file: its rows by its footer, and the DuckDB types of its columns."""

    path: Path
    rows: int
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Parts:
    """The readable files of one signal, and what is wrong with the others."""

    signal: SignalFile
    parts: tuple[Part, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: int = 0  # files that should be there and could not be read

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def without(self, path: Path, why: str) -> Parts:
        """Return the parts but one, which turned out to be unreadable."""
        why = why.replace(f"{path.parent}{os.sep}", "")  # a capture that is moved gives the same words
        kept = tuple(part for part in self.parts if part.path != path)
        return Parts(self.signal, kept, (*self.warnings, _unreadable(path.name, why)), self.missing + 1)


@contextlib.contextmanager
def open_engine(folder: Path, limits: ReadLimits) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection that can touch nothing but `folder` and a spill folder, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="opslib-", ignore_cleanup_errors=True) as spill:
        con = duckdb.connect(
            ":memory:",
            config={
                "threads": str(limits.threads),
                "memory_limit": f"{limits.memory_limit_mb}MB",
                "temp_directory": spill,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "preserve_insertion_order": "false",
            },
        )
        try:
            # Paths are canonical here: DuckDB compares where a link leads, not what it is called.
            allowed = ", ".join(_literal(str(Path(p).resolve())) for p in (folder, spill))
            con.execute(f"SET allowed_directories = [{allowed}]")
            con.execute("SET enable_external_access = false")
            con.execute("SET lock_configuration = true")
            yield con
        finally:
            con.close()


def find_parts(con: duckdb.DuckDBPyConnection, folder: Path, meta: CaptureMeta, signal: SignalFile) -> Parts:
    """Look at the footers of a signal's files. Raises CaptureError for a name that leaves the folder."""
    folder = folder.resolve()
    if meta.files is None:
        names = sorted(path.name for path in folder.iterdir() if signal_of(path.name) == signal)
    else:
        names = sorted(name for name in meta.files if signal_of(name) == signal)
    paths = [inside(folder, name) for name in names]
    try:
        probed = _probe(con, paths)
        faults: dict[Path, str] = {}
    except duckdb.Error:
        probed, faults = _probe_each(con, paths)
    found = Parts(signal, tuple(probed))
    for path, why in faults.items():
        found = found.without(path, why)
    strays = _strays(folder, meta, signal)
    found = Parts(signal, found.parts, (*found.warnings, *strays), found.missing)
    for part in found.parts:
        found = _judge(found, part, (meta.files or {}).get(part.path.name))
    return found


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
            faults[path] = "it is not there" if not path.exists() else str(error)
    return good, faults


def _judge(found: Parts, part: Part, entry: FileEntry | None) -> Parts:
    absent = [name for name in ESSENTIAL[found.signal] if name not in part.types]
    if absent:
        return found.without(part.path, f"it has no column {', '.join(absent)}")
    if entry and entry.rows is not None and entry.rows != part.rows:
        text = f"{printable(part.path.name)} holds {part.rows:,} rows, capture.json says {entry.rows:,}"
        return Parts(found.signal, found.parts, (*found.warnings, text), found.missing)
    return found


def first_unreadable(con: duckdb.DuckDBPyConnection, parts: Parts) -> tuple[Path, str] | None:
    """Read every part to its end and return the first that cannot be, with the reason; slow, so only after an error."""
    for part in parts.parts:
        columns = ", ".join(f"min({_expression(c, part.types)})" for c in COLUMNS[parts.signal])
        try:
            con.execute(f"SELECT {columns} FROM read_parquet(?)", [str(part.path)]).fetchall()  # noqa: S608
        except duckdb.Error as error:
            return part.path, str(error)
    return None


def rows_sql(parts: Parts) -> str:
    """Return SQL for all rows of a signal with exactly the schema's columns and types."""
    groups: dict[tuple[str, ...], list[str]] = {}
    columns = COLUMNS[parts.signal]
    for part in parts.parts:
        select = tuple(f'{_expression(c, part.types)} AS "{c.name}"' for c in columns)
        groups.setdefault(select, []).append(_literal(str(part.path)))
    if not groups:
        empty = ", ".join(f'NULL::{c.type} AS "{c.name}"' for c in columns)
        return f"SELECT {empty} WHERE false"
    return " UNION ALL ".join(
        f"SELECT {', '.join(select)} FROM read_parquet([{', '.join(files)}])"  # noqa: S608 - names from COLUMNS
        for select, files in groups.items()
    )


def _expression(column: Column, types: Mapping[str, str]) -> str:
    """Return SQL that reads a column as its schema type; a plain name where it has it, so filters reach the file."""
    kind, name = types.get(column.name), f'"{column.name}"'
    if kind is None:
        return f"NULL::{column.type}"
    if kind == column.type:
        return name
    if column.type == "BIGINT":
        if kind in _INTEGERS:
            return f"{name}::BIGINT"
        return f"epoch_ns({name})" if kind.startswith("TIMESTAMP") else f"TRY_CAST({name} AS BIGINT)"
    if column.type == "DOUBLE":
        return f"TRY_CAST({name} AS DOUBLE)"
    if kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
        return f"to_json({name})::VARCHAR"
    return f"try(decode({name}))" if kind == "BLOB" else f"{name}::VARCHAR"


def _unreadable(name: str, why: str) -> str:
    return f"{printable(name)} was left out: {printable(why.splitlines()[0] if why else 'it cannot be read')}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
