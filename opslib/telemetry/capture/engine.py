"""One DuckDB connection over the parts of a capture, fenced in: it reads that folder and its own spill folder only.

Parts with other column types, missing or extra columns are brought to the schema here; a part that cannot be read is
left out and named in a warning, so that the rest still answers.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from opslib.core.columns import COLUMNS, ID_COLUMNS, JSON_COLUMNS, MAX_JSON, MAX_TEXT, Column, SignalFile
from opslib.core.words import printable

# Without these a row cannot be placed at all; the other columns may be absent and read as null.
ESSENTIAL: dict[SignalFile, tuple[str, ...]] = {
    "spans": ("trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano"),
    "logs": ("time_unix_nano", "body"),
    "metrics": ("time_unix_nano", "name", "value"),
    "events": ("time_unix_nano",),
    "topology": ("caller", "callee"),
}
SHORT = 200  # characters that are left of a text where all texts together are too long
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
    longest: int = MAX_TEXT  # characters of a text: what is longer is shortened as it is read

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def without(self, path: Path, why: str) -> Parts:
        """Return the parts but one, which turned out to be unreadable."""
        why = why.replace(f"{path.parent}{os.sep}", "")  # a capture that is moved gives the same words
        kept = tuple(part for part in self.parts if part.path != path)
        return replace(self, parts=kept, missing=self.missing + 1).warned(_unreadable(path.name, why))

    def warned(self, *warnings: str) -> Parts:
        """Return the same with more warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))


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


def first_unreadable(con: duckdb.DuckDBPyConnection, parts: Parts) -> tuple[Path, str] | None:
    """Read every part to its end and return the first that cannot be, with the reason; slow, so only after an error."""
    for part in parts.parts:
        columns = ", ".join(f"min({_bounded(c, part.types, SHORT)})" for c in COLUMNS[parts.signal])
        try:
            con.execute(f"SELECT {columns} FROM read_parquet(?)", [str(part.path)]).fetchall()  # noqa: S608
        except duckdb.OutOfMemoryException:  # DuckDB's words hold what was free just then
            return part.path, "a text in it does not fit into memory"
        except duckdb.Error as error:
            return part.path, str(error)
    return None


def rows_sql(parts: Parts) -> str:
    """Return SQL for all rows of a signal with exactly the schema's columns and types, long texts shortened."""
    groups: dict[tuple[str, ...], list[str]] = {}
    columns = COLUMNS[parts.signal]
    for part in parts.parts:
        select = tuple(f'{_bounded(c, part.types, parts.longest)} AS "{c.name}"' for c in columns)
        groups.setdefault(select, []).append(_literal(str(part.path)))
    if not groups:
        empty = ", ".join(f'NULL::{c.type} AS "{c.name}"' for c in columns)
        return f"SELECT {empty} WHERE false"
    return " UNION ALL ".join(
        f"SELECT {', '.join(select)} FROM read_parquet([{', '.join(files)}])"  # noqa: S608 - names from COLUMNS
        for select, files in groups.items()
    )


def _bounded(column: Column, types: Mapping[str, str], longest: int) -> str:
    """Return SQL that reads a column with no text longer than `longest` characters, JSON 16 times that; ids as they are."""
    sql = _expression(column, types)
    if column.type != "VARCHAR" or column.name in ID_COLUMNS or column.name not in types:
        return sql
    if column.name in JSON_COLUMNS:
        return f"CASE WHEN strlen({sql}) <= {longest * MAX_JSON // MAX_TEXT} THEN {sql} END"
    return f"CASE WHEN strlen({sql}) > {longest} THEN left({sql}, {longest}) ELSE {sql} END"


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
        if kind == "BOOLEAN":  # true is no first nanosecond of 1970
            return "NULL::BIGINT"
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
