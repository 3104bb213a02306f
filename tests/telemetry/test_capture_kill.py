"""A writer that is killed, at whatever moment, leaves a capture that reads whole. Real processes, real SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from opslib.telemetry.capture import CaptureWriter, show, verify

# Rolls one span a time and writes how many are safe to `safe`; dies by SIGKILL at the Nth pass of a chosen point.
PROGRAM = """
    import os, pathlib, signal, sys
    from opslib.core import journal
    from opslib.telemetry.capture import parts, writer
    folder, point, after = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    left = [after]

    def dying(function, late):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0 and not late:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return call

    name, late = point.rsplit(":", 1)
    if name == "copy":
        parts._times = dying(parts._times, late == "late")
    elif name == "rename":
        pathlib.Path.replace = dying(pathlib.Path.replace, late == "late")
    elif name == "merge":
        writer.merge_parts = dying(writer.merge_parts, late == "late")
    elif name == "unlink":
        pathlib.Path.unlink = dying(pathlib.Path.unlink, late == "late")
    elif name == "manifest":
        writer.write_meta = dying(writer.write_meta, late == "late")
    out = writer.CaptureWriter(folder, fan_out=3, grace_s=0)
    print("started", flush=True)
    for i in range(1_000_000):
        start = 1_769_828_400_000_000_000 + i
        out.append("spans", [(f"{i:032x}", f"{i:016x}", None, "x", "SERVER", start, start + 5, "OK", "s",
                              None, None, None, None, None)])
        out.roll()
        safe = os.open(folder.parent / "safe", os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(safe, b"%09d" % (i + 1))
        os.close(safe)
"""


def start(folder, point="none:early", after=0):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder), point, str(after)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def judge(folder):
    """What was rolled is there, no file is half, and another writer goes on from there."""
    safe = folder.parent / "safe"
    rolled = int(safe.read_bytes()) if safe.exists() else 0
    content = show(folder)
    held = content["rows"].get("spans", 0)
    assert rolled <= held <= rolled + 1
    assert content["warnings"] == []
    assert not [check for check in verify(folder) if check.outcome == "fail"]
    with CaptureWriter(folder):
        pass
    assert show(folder)["rows"].get("spans", 0) == held
    listed = set(json.loads((folder / "capture.json").read_text()).get("files", {}))
    assert {p.name for p in folder.glob("*.parquet")} == listed
    assert not list(folder.glob("*.tmp"))
    return held


@pytest.mark.parametrize(
    ("point", "after"),
    [
        ("copy:late", 5),  # a part is written, not yet named
        ("rename:late", 2),  # the first part has its name, no list names it
        ("rename:early", 9),
        ("merge:early", 1),
        ("merge:late", 2),  # the merged part is there, the list still names its sources
        ("manifest:early", 6),
        ("manifest:late", 6),  # the list names the merged part, its sources lie there still
        ("unlink:late", 9),
    ],
)
def test_killed_at_a_chosen_moment(tmp_path, point, after):
    folder = tmp_path / "capture"
    process = start(folder, point, after)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    judge(folder)


def test_killed_at_any_moment_again_and_again(tmp_path):
    folder, held = tmp_path / "capture", 0
    for after_rolls in (1, 12):
        (tmp_path / "safe").unlink(missing_ok=True)
        process = start(folder)
        process.stdout.readline()
        while not (tmp_path / "safe").exists() or int((tmp_path / "safe").read_bytes() or 0) < after_rolls:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        safe = tmp_path / "safe"
        safe.write_bytes(b"%09d" % (held + int(safe.read_bytes())))
        held = judge(folder)
