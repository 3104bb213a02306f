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


OWNED = "window.owned=document.title='owned'"  # what each of the scripts below would do
LONG = "averylongnamewithoutanyblank" * 40
EVIL_NAMES = {
    "storefront": f"store<script>{OWNED}</script>",
    "order": f'order"><img src=x onerror={OWNED}>',
    "payment": f"pay\u202e</script><script>{OWNED}</script>\x1b[31m",
    "risk": f'risk\'`${{{OWNED}}}`<svg onload={OWNED}>%{{y}}$\\frac{{a}}{{b}}$<b>x</b><a href="javascript:{OWNED}">l</a>',
}
_OPERATION = (
    f" </style><style>body{{display:none!important}}</style><iframe src=javascript:parent.{OWNED}>{LONG}"
)


def write_evil_capture(folder: Path) -> Path:
    """Write the same capture with markup, scripts, styles, templates and endless names wherever a text can stand."""
    before, after = (WINDOWS[name][0] for name in ("baseline", "incident"))
    risk = EVIL_NAMES["risk"]
    line = f"\x1b]0;owned\x07<meta http-equiv=refresh content='0;url=https://evil.example/'> **x** {LONG}"
    logs = [
        {"time_unix_nano": after + i, "severity_text": "ERROR", "body": line, "service_name": risk}
        for i in range(50)
    ]
    metrics = [
        {"time_unix_nano": (before if i < 20 else after) + i % 20 * 10**9, "name": f"<script>m</script>cpu_usage{LONG}",
         "value": 1.0 if i < 20 else 90.0, "service_name": risk, "labels": '{"x": "</script>"}', "unit": "<b>%"}
        for i in range(40)
    ]  # fmt: skip
    change = {
        "time_unix_nano": after, "type": "Change", "reason": "Rollout<script>", "kind": "Deployment", "name": risk,
        "message": f"<img src=https://evil.example/x.png onerror={OWNED}>{LONG}", "namespace": "shop",
        "attributes": json.dumps({"from": "<s>1", "to": "\u202e2"}),
    }  # fmt: skip
    write_capture(folder, [_evil(row) for row in rows()], logs=logs, metrics=metrics, events=[change])
    write_manifest(
        folder, sources=[{"signal": "trace", "kind": "x", "warnings": [f"<script>w</script> {LONG}"]}]
    )
    return folder


def _evil(row: dict[str, Any]) -> dict[str, Any]:
    attributes = json.loads(row["attributes"]) if row["attributes"] else {}
    if "peer.service" in attributes:
        attributes["peer.service"] = EVIL_NAMES[attributes["peer.service"]]
    if "db.namespace" in attributes:
        attributes["db.namespace"] = f"[ledger](javascript:{OWNED})\n# h1 | a | **bold** `code` {LONG}"
    attributes["app.tenant"] = f"<style>*{{display:none}}</style>{attributes.get('app.tenant', '')}"
    return row | {
        "attributes": json.dumps(attributes),
        "service_name": EVIL_NAMES[row["service_name"]],
        "name": row["name"] + _OPERATION,
        "k8s_pod_name": f"<u>{row['k8s_pod_name']}\u2066{LONG}",
        "service_version": f"{{{{7*7}}}}{row['service_version']}",
    }
