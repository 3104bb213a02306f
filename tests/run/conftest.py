"""Tiny notebooks, a clock that tests move, and runs in this process or in one that can be signalled."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opslib.core.clock import SystemClock
from opslib.core.settings import Settings
from opslib.run.runner import RunResult, run_notebook


def markdown(source: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str, *tags: str) -> dict:
    return {
        "cell_type": "code",
        "metadata": {"tags": list(tags)},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def as_cell(cell: str | dict) -> dict:
    return code(cell) if isinstance(cell, str) else cell


def notebook_of(*cells: str | dict, metadata: dict | None = None) -> dict:
    """A notebook as a plain dict; a bare text is a code cell."""
    numbered = [as_cell(cell) | {"id": f"cell-{index}"} for index, cell in enumerate(cells)]
    return {"cells": numbered, "metadata": metadata or {}, "nbformat": 4, "nbformat_minor": 5}


@dataclass
class FakeClock:
    """A clock that stands still until it is moved."""

    now_s: float = 1_000.0

    def now_ns(self) -> int:
        return 1_769_828_400_000_000_000 + int(self.now_s * 1e9)

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class JumpingClock(SystemClock):
    """The machine's clock, an hour late as soon as a file is there: a deadline passes when a cell has begun."""

    mark: Path

    def monotonic_s(self) -> float:
        return super().monotonic_s() + (3600 if self.mark.exists() else 0)


@dataclass
class Lines:
    """A live line that keeps what it was told."""

    told: list[tuple] = field(default_factory=list)

    def cell_started(self, step: int, steps: int, title: str) -> None:
        self.told.append(("started", step, steps, title))

    def cell_ended(self, status: str, duration_s: float) -> None:
        self.told.append(("ended", status))

    def note(self, text: str) -> None:
        self.told.append(("note", text))

    def tick(self) -> None:
        pass


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook of some cells."""
    return functools.partial(write_notebook, tmp_path)


def write_notebook(
    folder: Path, *cells: str | dict, name: str = "sample", metadata: dict | None = None
) -> Path:
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps(notebook_of(*cells, metadata=metadata)))
    return path


@dataclass
class Ran:
    """A finished run and the files of its folder."""

    result: RunResult
    live: Lines

    @property
    def exit_code(self) -> int:
        return self.result.exit_code

    @property
    def record(self) -> dict:
        return self.result.record

    def text(self, name: str) -> str:
        return (self.result.folder.path / name).read_text()

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.text("events.jsonl").splitlines()]

    @property
    def notebook(self) -> dict:
        return json.loads(self.text("notebook.ipynb"))

    def cell_statuses(self) -> list[str]:
        return [e["status"] for e in self.events if e["event"] == "cell_finished"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Run a notebook in this process."""
    return functools.partial(run_in, tmp_path)


def run_in(folder: Path, notebook: Path, **options) -> Ran:
    live = Lines()
    settings = Settings.from_environ({}, folder)
    options = {"out": folder / "runs", "clock": SystemClock()} | options
    return Ran(run_notebook(notebook, live=live, settings=settings, **options), live)


_DRIVER = """
import json, sys
from pathlib import Path
from opslib.core.clock import SystemClock
from opslib.core.settings import Settings
from opslib.run.guard import Limits
from opslib.run.live import stderr_line
from opslib.run.runner import run_notebook
from opslib.run.startup import prepare_process
prepare_process()
notebook, out, grace_s = sys.argv[1:]
result = run_notebook(Path(notebook), out=Path(out), live=stderr_line(),
                      clock=SystemClock(), settings=Settings.from_environ(), limits=Limits(grace_s=float(grace_s)))
sys.exit(result.exit_code)
"""


def wait_for(condition: Callable[[], object], what: str, bound_s: float = 60.0) -> None:
    end = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < end, f"waited {bound_s} s for {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


@dataclass
class Driver:
    """A run in a process of its own, to be signalled."""

    process: subprocess.Popen
    out: Path

    @property
    def folder(self) -> Path:
        return next(self.out.iterdir())

    def events(self) -> list[dict]:
        if not self.out.is_dir():
            return []
        return [
            json.loads(line) for p in self.out.glob("*/events.jsonl") for line in p.read_text().splitlines()
        ]

    def kernel_pid(self) -> int:
        return next(e["kernel_pid"] for e in self.events() if e["event"] == "kernel_started")

    def wait_for_event(self, name: str) -> None:
        wait_for(lambda: any(e["event"] == name for e in self.events()), f"the event {name}")

    def send(self, signum: int) -> None:
        self.process.send_signal(signum)

    def record(self) -> dict:
        return json.loads((self.folder / "run.json").read_text())


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    started: list[Driver] = []

    def start(notebook: Path, grace_s: float = 60.0) -> Driver:
        out = tmp_path / "runs"
        process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER, str(notebook), str(out), str(grace_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        driver = Driver(process, out)
        started.append(driver)
        return driver

    yield start
    for driver in started:
        if driver.process.poll() is None:
            driver.process.kill()
        driver.process.communicate()


@pytest.fixture(scope="session")
def kit() -> type:
    """The helpers above, since test modules cannot import this file."""

    class Kit:
        FakeClock, JumpingClock, Lines = FakeClock, JumpingClock, Lines

    for helper in (code, markdown, notebook_of, write_notebook, run_in, wait_for, alive):
        setattr(Kit, helper.__name__, staticmethod(helper))
    return Kit
