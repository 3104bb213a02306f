"""Captures made up for tests: a small shop's spans, and folders of Parquet written with DuckDB alone."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pytest

from opslib.core.columns import COLUMNS

T0 = 1_769_828_400_000_000_000
S = 1_000_000_000
DATABASE = duckdb.connect(":memory:", config={"threads": "1"})


def shop_rows(traces=40, seed=7, spacing_ns=S):
    """Whole traces of front -> payment -> ledger, one trace a second, with odd ones between."""
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(traces):
        trace, start = rng.bytes(16).hex(), T0 + t * spacing_ns
        ids = [rng.bytes(8).hex() for _ in range(4)]
        took = [int(x) for x in rng.integers(5_000_000, 50_000_000, 4)]
        peer = json.dumps({"peer.service": "payment", "server.address": "10.0.0.9"})
        ledger = json.dumps({"db.namespace": "ledger", "server.address": "127.0.0.1"})
        parents = [None, ids[0], ids[1], ids[2]]
        what = [("front", "SERVER", "GET /", None), ("front", "CLIENT", "POST /pay", peer),
                ("payment", "SERVER", "POST /pay", "{}"), ("payment", "CLIENT", "INSERT", ledger)]  # fmt: skip
        for i, (service, kind, name, attributes) in enumerate(what):
            rows.append({
                "trace_id": trace, "span_id": ids[i], "parent_span_id": parents[i], "name": name, "kind": kind,
                "start_time_unix_nano": start + i * 1_000_000, "end_time_unix_nano": start + i * 1_000_000 + took[i],
                "status_code": "ERROR" if t % 11 == 0 else "UNSET", "service_name": service,
                "service_version": f"v{t % 2}", "k8s_pod_name": None if t % 3 else f"{service}-{t % 5}",
                "k8s_namespace_name": "shop", "attributes": attributes, "links": None,
            })  # fmt: skip
    return rows


def frame_of(signal, rows):
    names = [column.name for column in COLUMNS[signal]]
    return pd.DataFrame(rows, columns=[*names, *sorted({k for row in rows for k in row} - set(names))])


def write_parquet(path: Path, signal, rows, *, types=None, leave_out=(), order="1"):
    """Write rows with the schema's types, but for `types` of some columns and without those in `leave_out`."""
    frame = frame_of(signal, rows)
    kinds = {column.name: column.type for column in COLUMNS[signal]} | (types or {})
    select = ", ".join(
        f'"{name}"::{kinds.get(name, "VARCHAR")} AS "{name}"'
        for name in frame.columns
        if name not in leave_out
    )
    DATABASE.register("frame", frame)
    target = str(path).replace("'", "''")
    DATABASE.execute(
        f"COPY (SELECT {select} FROM frame ORDER BY {order}) TO '{target}' (FORMAT parquet)"
    ).fetchall()
    DATABASE.unregister("frame")


def write_manifest(folder: Path, *, windows=None, files=True, **more):
    windows = windows or {"incident": [T0 + 20 * S, T0 + 40 * S], "baseline": [T0, T0 + 20 * S]}
    content = {"schema": 1, "windows": windows} | more
    if files is True:
        content["files"] = {
            p.name: {
                "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
                "rows": DATABASE.execute("SELECT count(*) FROM read_parquet(?)", [str(p)]).fetchall()[0][0],
            }
            for p in sorted(folder.glob("*.parquet"))
        }
    (folder / "capture.json").write_text(json.dumps(content))


def write_capture(folder: Path, rows):
    """A whole capture: spans in two parts, logs, metrics, events, topology."""
    folder.mkdir(parents=True)
    write_parquet(folder / "spans-a.parquet", "spans", rows[::2])
    write_parquet(folder / "spans-b.parquet", "spans", rows[1::2])
    write_parquet(folder / "logs.parquet", "logs", [
        {"time_unix_nano": T0 + t * S, "severity_text": "INFO", "body": f"paid {t}", "service_name": "payment",
         "trace_id": rows[4 * t]["trace_id"]} for t in range(40)])  # fmt: skip
    write_parquet(folder / "metrics.parquet", "metrics", [
        {"time_unix_nano": T0 + t * S, "name": name, "value": float(t), "service_name": "risk"}
        for t in range(40) for name in ("cpu", "pool")])  # fmt: skip
    write_parquet(folder / "events.parquet", "events", [
        {"time_unix_nano": T0 + 19 * S, "type": "Change", "reason": "Rollout", "message": "payment v2",
         "kind": "Deployment", "name": "payment", "namespace": "shop"}])  # fmt: skip
    write_parquet(folder / "topology.parquet", "topology", [{"caller": "front", "callee": "payment"}] * 2)
    write_manifest(folder)
    return folder


@pytest.fixture(scope="session")
def made():
    """The helpers of this file, for tests and for other folders' fixtures."""
    return SimpleNamespace(
        T0=T0, S=S, shop_rows=shop_rows, frame_of=frame_of, write_parquet=write_parquet,
        write_manifest=write_manifest, write_capture=write_capture,
    )  # fmt: skip


@pytest.fixture
def rows():
    return shop_rows()


@pytest.fixture
def capture_folder(tmp_path, rows):
    return write_capture(tmp_path / "capture", rows)
