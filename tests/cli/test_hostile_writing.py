"""A disk that is full in mid-write, and two processes that write at once: a capture is whole or is not there."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from opslib.telemetry.capture import CaptureWriter, show, verify
from tests.cli.hostile import WINDOWS, Ask, write_capture
from tests.telemetry.importing import otlp

OPSLIB = [sys.executable, "-m", "opslib"]


def start(folder: Path, *args: str, most_bytes: int | None = None) -> subprocess.Popen[str]:
    """Run a command in a process whose files may not grow beyond so many bytes: what a full disk does, without a disk."""

    def limited() -> None:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.Popen(
        [*OPSLIB, *args],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=limited,  # noqa: PLW1509 - no thread of ours runs
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err
    return process.returncode, err


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A file to import, and an environment to export from."""
    spans = [otlp() for _ in range(400)]
    for number, text in enumerate(spans):
        for group in text["resourceSpans"]:
            for span in group["scopeSpans"][0]["spans"]:
                span["traceId"] = f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}"
    (tmp_path / "in.json").write_text("\n".join(json.dumps(text) for text in spans))
    write_capture(tmp_path / "source")
    (tmp_path / "opslib.toml").write_text('[environments.e]\ntraces = {kind = "capture", path = "source"}\n')
    return tmp_path


START, END = (f"{ns // 10**9}000000000" for ns in WINDOWS["incident"])
WRITING = {
    "import": ("capture", "import", "in.json", "--out", "out"),
    "export": ("capture", "export", "--environment", "e", "--window", f"{START}/{END}", "--out", "out"),
}


@pytest.mark.parametrize("command", WRITING)
def test_a_full_disk_leaves_nothing_and_says_so(evidence: Path, command: str) -> None:
    before = sorted(path.name for path in evidence.iterdir())
    code, err = ended(start(evidence, *WRITING[command], most_bytes=5_000))

    assert code == 2
    assert "error: cannot write " in err
    assert "try: is the disk full?" in err
    assert sorted(path.name for path in evidence.iterdir()) == before


@pytest.mark.parametrize("command", WRITING)
def test_of_two_that_write_one_capture_at_once_one_does(evidence: Path, ask: Ask, command: str) -> None:
    both = [start(evidence, *WRITING[command]) for _ in range(2)]
    ends = sorted(ended(process) for process in both)

    assert [code for code, _ in ends] == [0, 3]
    assert "out is not empty" in ends[1][1]
    assert not list(evidence.glob(".out*"))
    assert ask("capture", "verify", evidence / "out").code in {0, 7}
    assert ask("capture", "show", evidence / "out", "--json").record["rows"]["spans"] > 0


WRITE = """
import resource, sys
from pathlib import Path
from opslib.core.errors import CaptureError
from opslib.telemetry.capture import CaptureWriter
writer = CaptureWriter(Path(sys.argv[1]))
print(writer.path, flush=True)
def roll(n):
    spans = [(f"{i:032x}", f"{i:016x}", None, f"name {i * 7919}", "SERVER", i, i + 5, "OK", "s", *[None] * 5) for i in range(1, n)]
    writer.append("spans", spans)
    writer.roll()
roll(100)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
try:
    roll(20_000)
except CaptureError as error:
    print(error.hint, flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
roll(50)
"""


def test_a_writer_whose_disk_was_full_keeps_what_it_had_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(folder)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout.readline().strip() == str(folder)
        assert writer.stdout.readline().strip() == "is the disk full?"
        assert show(folder)["rows"] == {"spans": 99}
        assert not [check for check in verify(folder) if check.outcome == "fail"]
        writer.communicate("\n", timeout=60)
    finally:
        writer.kill()
        writer.wait()
    assert writer.returncode == 0
    assert show(folder)["rows"] == {"spans": 148}


def test_a_second_process_may_not_write_a_capture_that_is_being_written(tmp_path: Path) -> None:
    second = "import sys; from pathlib import Path; from opslib.telemetry.capture import CaptureWriter; "
    second += "CaptureWriter(Path(sys.argv[1]))"
    with CaptureWriter(tmp_path / "live"):
        found = subprocess.run(
            [sys.executable, "-c", second, str(tmp_path / "live")],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert "RefusedError: another process writes to the capture" in found.stderr


def test_a_full_disk_does_not_keep_anybody_from_asking(evidence: Path) -> None:
    asking = start(evidence, "diagnose", "source", "--service", "payment", most_bytes=100)

    assert ended(asking)[0] == 1
