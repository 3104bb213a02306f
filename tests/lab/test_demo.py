"""The whole path as a new user walks it: `make demo` of each scenario, from nothing to a graded verdict."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from opslib.lab import scenario_names

ROOT = Path(__file__).resolve().parents[2]


def demo(folder: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in a folder of its own, so that it meets no lab of somebody else's."""
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    command = [sys.executable, "-m", "opslib.lab.demo", scenario]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, check=False, cwd=folder, env=environ, capture_output=True, text=True, timeout=240
    )


@pytest.mark.lab
@pytest.mark.kernel
@pytest.mark.timeout(300)
def test_a_demo_ends_with_the_right_verdict_and_nothing_running(tmp_path: Path) -> None:
    done = demo(tmp_path, "edge-delay")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "right: the verdict is edge payment -> risk" in done.stdout
    assert "the lab is down" in done.stdout
    assert list(tmp_path.glob("runs/*/report.html"))


def test_a_scenario_that_is_none_is_refused_with_near_names(tmp_path: Path) -> None:
    done = demo(tmp_path, "risk-cup")

    assert done.returncode == 2
    assert "did you mean risk-cpu" in done.stdout
    assert not (tmp_path / ".opslib").exists()


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", scenario_names())
def test_every_demo_is_right(tmp_path: Path, scenario: str) -> None:
    done = demo(tmp_path, scenario)

    print(f"\n{scenario}: {done.stdout.splitlines()[-2].strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
