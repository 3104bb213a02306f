"""Columns to Parquet parts: written under a hidden name, by as many processes as there are, and named only at the end."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

# The engine alone: the package around it takes three times as long to start, which shows where few files are imported.
from _duckdb import DuckDBPyConnection, Error, connect

from opslib.core.columns import COLUMNS, TIME_COLUMN, SignalFile
from opslib.telemetry.importers.tables import Table
from opslib.telemetry.importers.tasks import Part

MEMORY_LIMIT = "512MB"


def open_database() -> DuckDBPyConnection:
    """Open the database that turns rows into Parquet: one thread, since each process has its own."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": "1",
        "memory_limit": MEMORY_LIMIT,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return connect(":memory:", config=config)


def write_part(con: DuckDBPyConnection, path: Path, table: Table) -> Part:
    """Write all rows of a table, sorted by time, and empty it. Raises OSError."""
    signal, rows = table.signal, table.rows
    columns = table.take()
    first, last, root = _extent(signal, columns)
    present = {name: values for name, values in columns.items() if values is not None}
    kinds = {column.name: column.type for column in COLUMNS[signal]}
    select = ", ".join(
        f'"{name}"' if name in present else f'NULL::{kinds[name]} AS "{name}"' for name in kinds
    )
    made = ", ".join(f'"{name}" {kinds[name]}' for name in present)
    target = str(path).replace("'", "''")
    try:
        con.execute(f"CREATE TEMP TABLE incoming ({made})")
        with con.appender("incoming") as appender:
            appender.append_rows(zip(*present.values(), strict=True))
        con.execute(
            f"COPY (SELECT {select} FROM incoming ORDER BY {_order(signal)}) "  # noqa: S608 - names from COLUMNS
            f"TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except Error as error:
        path.unlink(missing_ok=True)
        raise OSError(str(error)) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        with contextlib.suppress(Error):
            con.execute("DROP TABLE incoming")
    return Part(signal, path.name, rows, digest, first, last, root)


def _order(signal: SignalFile) -> str:
    """Return a total order that begins with time, so that a reader of a window skips whole row groups."""
    time = TIME_COLUMN[signal]
    ids = ("trace_id", "span_id") if signal == "spans" else ("service_name",)
    return ", ".join(f'"{name}"' for name in (time, *ids) if name)


def _extent(signal: SignalFile, columns: dict[str, list[Any] | None]) -> tuple[int, int, int | None]:
    start = columns[TIME_COLUMN[signal] or ""]
    end = columns["end_time_unix_nano"] if signal == "spans" else start
    if start is None or end is None:
        raise ValueError(f"{signal} without times")
    root = None
    if signal == "spans":
        parents = columns["parent_span_id"] or [None] * len(start)
        root = min((time for time, above in zip(start, parents, strict=True) if above is None), default=None)
    return min(start), max(end), root
