"""Few bytes on disk that are gigabytes in memory, and a line of a gigabyte: measured in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from opslib.telemetry.importers.files import zstd
from tests.cli.hostile import WINDOWS, write_capture
from tests.telemetry.importing import otlp

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

AT = WINDOWS["incident"][0]
ROOT = "(SELECT * FROM '{spans}' WHERE parent_span_id IS NULL LIMIT 1) s"
OWN = "printf('%032x', i + 1) AS trace_id, printf('%016x', i + 1) AS span_id"
LOG = f"{AT} + 5 AS time_unix_nano, 'ERROR' AS severity_text, 'risk' AS service_name"
BOMBS = {
    "one name of a gigabyte": (
        "spans",
        f"SELECT s.* REPLACE (repeat('n', 1_000_000_000) AS name) FROM {ROOT}",
    ),
    "60,000 names of 20 kB": (
        "spans",
        f"SELECT s.* REPLACE ({OWN}, i || repeat('n', 20_000) AS name) FROM {ROOT}, range(60_000) t(i)",
    ),
    "20,000 attributes of 200 kB": (
        "spans",
        f"SELECT s.* REPLACE ({OWN}, json_object('app.tenant', i || repeat('n', 200_000)) AS attributes) FROM {ROOT}, range(20_000) t(i)",
    ),
    "30 million alike rows": ("spans", f"SELECT s.* FROM {ROOT}, range(30_000_000)"),
    "two million lines of 16 kB": (
        "logs",
        f"SELECT {LOG}, repeat('n', 16_000) AS body FROM range(2_000_000)",
    ),
    "one line of a gigabyte": ("logs", f"SELECT {LOG}, repeat('n', 1_000_000_000) AS body"),
}


def peak(*args: object, cwd: Path) -> tuple[int, int, str]:
    """Return exit code, peak memory in MB and what was printed."""
    with (cwd / "said").open("w+b") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "opslib", *map(str, args)], cwd=cwd, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode()
    assert "Traceback" not in text
    return process.returncode, usage.ru_maxrss // 1024, text


@pytest.mark.parametrize("kind", BOMBS)
def test_a_capture_that_expands_to_gigabytes_stays_bounded(tmp_path: Path, kind: str) -> None:
    folder = write_capture(tmp_path / "capture")
    signal, query = BOMBS[kind]
    made = "import duckdb, sys; duckdb.sql(sys.argv[1])"
    query = query.replace("{spans}", str(folder / "spans.parquet"))
    copy = f"COPY ({query}) TO '{folder / f'{signal}-bomb.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
    subprocess.run([sys.executable, "-c", made, copy], check=True, capture_output=True, timeout=300)
    assert (folder / f"{signal}-bomb.parquet").stat().st_size < 2_000_000

    code, megabytes, said = peak("diagnose", folder, "--service", "payment", cwd=tmp_path)
    print(f"{kind}: {megabytes} MB")
    assert code == 1
    assert "risk" in said.splitlines()[1], "the cause that is there is found"
    assert megabytes < 1_600
    for command in ("show", "verify"):
        assert peak("capture", command, folder, cwd=tmp_path)[1] < 1_600


def test_a_line_of_a_gigabyte_is_passed_over(tmp_path: Path) -> None:
    good = json.dumps(otlp()).encode() + b"\n"
    with (tmp_path / "in.json").open("wb") as file:
        file.write(good)
        file.write(b'{"resourceLogs": "')
        for _ in range(1_000):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + good)

    code, megabytes, said = peak("capture", "import", "in.json", "--out", "out", cwd=tmp_path)
    assert code == 0
    assert "1 x line of more than 64 MB: left out" in said
    assert megabytes < 500
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/out/spans*.parquet'").fetchall() == [(4,)]


def test_lines_of_fifty_megabytes_out_of_few_bytes_are_a_bomb(tmp_path: Path) -> None:
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": str(AT), "body": {"stringValue": "x" * 50_000_000}}]}]}]}  # fmt: skip
    packer = zstd.ZstdCompressor()
    line = json.dumps(body).encode() + b"\n"
    packed = packer.compress(json.dumps(otlp()).encode() + b"\n")
    (tmp_path / "in.zst").write_bytes(
        packed + b"".join(packer.compress(line) for _ in range(40)) + packer.flush()
    )

    code, megabytes, said = peak("capture", "import", "in.zst", "--out", "out", cwd=tmp_path)
    assert code == 0
    assert "in.zst was left out: it is a compression bomb" in said
    assert megabytes < 1_000
