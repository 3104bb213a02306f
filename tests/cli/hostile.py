"""A small capture with a known cause (the edge payment -> risk), to be spoilt by tests, and the command line to ask it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from opslib.cli import main
from opslib.core.columns import COLUMNS
from tests.diagnosis.diagnosis_shop import BASELINE, INCIDENT, Fault, shop

EVIL = "<script>document.title='owned'</script>\u202e\0\x1b[31m\"'`$x$%{y}"
WINDOWS = {
    "incident": [INCIDENT.start_ns, INCIDENT.end_ns],
    "baseline": [BASELINE.start_ns, BASELINE.end_ns],
}
Rows = list[dict[str, Any]]


@functools.cache
def _shop() -> pd.DataFrame:
    frame = shop(seed=3, baseline=30, incident=30, fault=Fault(edge_ms=200))
    return frame.astype(object).where(frame.notna(), None)


def rows() -> Rows:
    """Return fresh rows of the whole capture."""
    return _shop().to_dict("records")


def write_rows(path: Path, signal: str, content: Rows, types: dict[str, str] | None = None) -> Path:
    """Write rows as Parquet with the types of the contract, but for `types` of some columns."""
    frame = pd.DataFrame(content, columns=[c.name for c in COLUMNS[signal]])
    kinds = {c.name: c.type for c in COLUMNS[signal]} | (types or {})
    select = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in kinds.items())
    with duckdb.connect() as con:
        con.register("frame", frame)
        con.execute(f"COPY (SELECT {select} FROM frame) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return path


def write_capture(folder: Path, spans: Rows | None = None, **signals: Rows) -> Path:
    """Write a capture whose capture.json lists no files, so that every file in it counts."""
    folder.mkdir()
    write_rows(folder / "spans.parquet", "spans", rows() if spans is None else spans)
    for signal, content in signals.items():
        write_rows(folder / f"{signal}.parquet", signal, content)
    write_manifest(folder)
    return folder


def write_manifest(folder: Path, **content: Any) -> None:
    all_of = {"incident": "all", "baseline": "all"}
    text = json.dumps({"schema": 1, "windows": WINDOWS, "selection": all_of} | content)
    (folder / "capture.json").write_text(text)


@dataclass(frozen=True)
class Said:
    """What a command ended with and said."""

    code: int
    out: str
    err: str
    record: Any = field(default=None)

    @property
    def verdict(self) -> str:
        return str(self.record["verdict"])

    @property
    def suspect(self) -> tuple[str, str]:
        first = self.record["candidates"][0]
        return first["kind"], first["service"]

    @property
    def gaps(self) -> dict[str, Any]:
        return dict(self.record["completeness"])

    @property
    def warnings(self) -> str:
        return "\n".join(self.gaps["warnings"])


Ask = Callable[..., Said]


def asking(capfd: pytest.CaptureFixture[str]) -> Ask:
    """Return what runs `opslib ARGS` in this process, with real file descriptors, so that what cannot be encoded shows."""

    def ask(*args: object) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as leave:
            main([str(word) for word in args])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert "bug in opslib" not in out + err
        record = json.loads(out) if "--json" in args else None
        return Said(int(leave.value.code or 0), out, err, record)

    return ask
