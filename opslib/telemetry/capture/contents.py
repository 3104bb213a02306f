"""What a capture holds, in one dict; the same whatever the order and the number of its files."""
# ruff: noqa: S608 - every text put into SQL is a constant of this package, an integer, or a quoted path

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from opslib.core.columns import COLUMNS
from opslib.core.errors import CaptureError
from opslib.core.words import printable
from opslib.telemetry.capture.asking import ask
from opslib.telemetry.capture.engine import Parts, ReadLimits, rows_sql
from opslib.telemetry.capture.manifest import read_meta
from opslib.telemetry.capture.reader import open_capture

_SERVICE = {"spans": "service_name", "logs": "service_name", "metrics": "service_name"}


def show(path: Path, *, limits: ReadLimits | None = None) -> dict[str, Any]:
    """Return windows, selection, services, rows by signal, time range, files, bytes and warnings, as plain JSON types.

    Raises CaptureError where the folder is no capture; a signal none of whose files can be read is a warning.
    """
    meta, chosen = read_meta(path), limits or ReadLimits()
    windows = meta.to_dict()["windows"]
    held = _held(path, chosen)
    readable = "spans" in held.rows or not held.warnings
    extent = open_capture(path, limits=chosen).extent() if readable else None
    return {
        "schema": meta.schema,
        "created": meta.created,
        "windows": {name: windows.get(name) for name in ("incident", "baseline")},
        "selection": dict(meta.selection),
        "services": sorted(held.services),
        "rows": held.rows,
        "time_range": [extent.start_ns, extent.end_ns] if extent else None,
        "duration_s": extent.length_ns / 1e9 if extent else 0.0,
        "files": held.files,
        "bytes": sum(file["bytes"] for file in held.files),
        "warnings": [printable(text, 400) for text in held.warnings],
    }


@dataclass(slots=True)
class _Held:
    rows: dict[str, int] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)
    files: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _held(path: Path, limits: ReadLimits) -> _Held:
    held = _Held()
    for signal in COLUMNS:
        try:
            names, parts = ask(path, limits, signal, _services)
        except CaptureError as error:
            held.warnings.append(str(error))
            continue
        held.services |= names
        held.warnings += parts.warnings
        if parts.parts:
            held.rows[signal] = parts.rows
        there = [
            part for part in parts.parts if part.path.exists()
        ]  # a live part may have been merged meanwhile
        held.files += [{"name": p.path.name, "rows": p.rows, "bytes": p.path.stat().st_size} for p in there]
    return held


def _services(con: duckdb.DuckDBPyConnection, parts: Parts) -> set[str]:
    column = _SERVICE.get(parts.signal)
    if column is None:
        return set()
    query = f"SELECT DISTINCT {column} FROM ({rows_sql(parts)}) WHERE {column} <> ''"
    return {name for (name,) in con.execute(query).fetchall()}
