"""Columns to Parquet parts: written under a hidden name, by as many processes as there are, and named only at the end."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from numpy.typing import NDArray

from opslib.core.columns import COLUMNS, TIME_COLUMN, SignalFile
from opslib.telemetry.importers.tables import Table

MEMORY_LIMIT = "512MB"


class Part(msgspec.Struct, frozen=True):
    """One written part: what capture.json says of it, and the times in it, None where it is empty of them."""

    signal: SignalFile
    path: str
    rows: int
    sha256: str
    first_ns: int
    last_ns: int
    first_root_ns: int | None = None


def connect() -> duckdb.DuckDBPyConnection:
    """Open the database that turns arrays into Parquet: one thread, since each process has its own."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": "1",
        "memory_limit": MEMORY_LIMIT,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return duckdb.connect(":memory:", config=config)


def write_part(con: duckdb.DuckDBPyConnection, path: Path, table: Table) -> Part:
    """Write all rows of a table, sorted by time, and empty it. Raises duckdb.Error and OSError."""
    signal, rows = table.signal, table.rows
    columns = table.take()
    first, last, root = _extent(signal, columns)
    present = {name: values for name, values in columns.items() if values is not None}
    select = ", ".join(
        f'"{c.name}"::{c.type} AS "{c.name}"' if c.name in present else f'NULL::{c.type} AS "{c.name}"'
        for c in COLUMNS[signal]
    )
    target = str(path).replace("'", "''")
    try:
        con.register("incoming", present)
        con.execute(
            f"COPY (SELECT {select} FROM incoming ORDER BY {_order(signal)}) "  # noqa: S608 - names from COLUMNS
            f"TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        with contextlib.suppress(duckdb.Error):
            con.unregister("incoming")
    return Part(signal, path.name, rows, digest, first, last, root)


def _order(signal: SignalFile) -> str:
    """Return a total order that begins with time, so that a reader of a window skips whole row groups."""
    time = TIME_COLUMN[signal]
    ids = ("trace_id", "span_id") if signal == "spans" else ("service_name",)
    return ", ".join(f'"{name}"' for name in (time, *ids) if name)


def _extent(signal: SignalFile, columns: dict[str, NDArray[Any] | None]) -> tuple[int, int, int | None]:
    start = columns[TIME_COLUMN[signal] or ""]
    end = columns["end_time_unix_nano"] if signal == "spans" else start
    if start is None or end is None:
        raise ValueError(f"{signal} without times")
    root = None
    if signal == "spans":
        parents = columns["parent_span_id"]
        roots = start if parents is None else start[[parent is None for parent in parents]]
        root = int(roots.min()) if len(roots) else None
    return int(start.min()), int(end.max()), root
