"""Signals, time-outs and dead kernels: a cell's `finally` gets its time, and the run says what happened."""

from __future__ import annotations

import os
import signal

import pytest

from opslib.run.guard import Limits

pytestmark = pytest.mark.kernel

# The `finally` takes a while and writes at its end: the file is there only if nobody cut it.
LONG = """
import pathlib, time
here = pathlib.Path({folder!r})
try:
    (here / "began").write_text("")
    time.sleep(600)
finally:
    for step in range(10):
        time.sleep(0.1)
    (here / "finished").write_text("rolled back")
    print("rolled back")
"""


# The same with an `await` at the top, which the kernel runs, and interrupts, in another way.
LONG_AWAIT = LONG.replace("import pathlib, time", "import pathlib, asyncio").replace(
    "time.sleep", "await asyncio.sleep"
)


@pytest.fixture
def long_cell(tmp_path):
    return LONG.format(folder=str(tmp_path))


@pytest.fixture
def began(write, drive, tmp_path, long_cell, kit):
    """Start a run with the long cell, then others, and wait until the cell is at work."""

    def start(*others):
        driver = drive(write(long_cell, *others))
        kit.wait_for((tmp_path / "began").exists, "the cell")
        return driver

    return start


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_the_finally_finish_and_gives_its_exit_code(began, tmp_path, kit, signum):
    code = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}[signum]
    driver = began(f"open({str(tmp_path / 'next')!r}, 'w')")
    driver.send(signum)
    driver.wait_for_event("kernel_interrupted")
    driver.send(signum)  # impatient: must not cut the finally
    _, err = driver.process.communicate(timeout=60)

    assert (tmp_path / "finished").exists()
    assert not (tmp_path / "next").exists()
    assert driver.process.returncode == code
    record = driver.record()
    assert (record["status"], record["exit_code"], record["outcome"]) == ("interrupted", code, "error")
    statuses = [e["status"] for e in driver.events() if e["event"] == "cell_finished"]
    assert statuses == ["interrupted"]
    assert "rolled back" in (driver.folder / "notebook.ipynb").read_text()
    assert "already stopping" in err
    assert not kit.alive(driver.kernel_pid())


def test_a_signal_before_the_first_cell_runs_starts_nothing(write, drive, tmp_path, kit):
    driver = drive(write(f"open({str(tmp_path / 'ran')!r}, 'w')"))
    driver.wait_for_event("run_started")
    driver.send(signal.SIGTERM)
    driver.process.communicate(timeout=60)

    assert driver.process.returncode == 143
    assert driver.record()["status"] == "interrupted"
    assert "Stopped by SIGTERM." in (driver.folder / "summary.md").read_text()
    assert not (tmp_path / "ran").exists()


def test_a_signal_to_the_whole_family_does_not_cut_the_finally(began, tmp_path):
    """A service manager sends SIGTERM to every process of the unit, the kernel too."""
    driver = began()
    os.kill(driver.kernel_pid(), signal.SIGTERM)
    driver.send(signal.SIGTERM)
    driver.process.communicate(timeout=60)

    assert (tmp_path / "finished").exists()
    assert driver.process.returncode == 143


@pytest.mark.parametrize("source", [LONG, LONG_AWAIT], ids=["plain", "await"])
def test_after_kill_9_of_the_runner_the_cell_finishes_and_the_kernel_ends(
    write, drive, tmp_path, kit, source
):
    driver = drive(write(source.format(folder=str(tmp_path))))
    kit.wait_for((tmp_path / "began").exists, "the cell")
    kernel = driver.kernel_pid()
    driver.process.kill()

    kit.wait_for(lambda: not kit.alive(kernel), "the end of the kernel")
    assert (tmp_path / "finished").exists()
    assert driver.record()["status"] == "running"


def test_an_idle_kernel_ends_with_its_runner(write, drive, kit):
    driver = drive(write("1"))
    driver.wait_for_event("kernel_started")
    kernel = driver.kernel_pid()
    driver.process.kill()
    kit.wait_for(lambda: not kit.alive(kernel), "the end of the kernel")


@pytest.fixture
def late(tmp_path, kit):
    """A clock by which an hour passes as soon as the cell has begun."""
    return kit.JumpingClock(tmp_path / "began")


@pytest.mark.parametrize("source", [LONG, LONG_AWAIT], ids=["plain", "await"])
def test_a_cell_timeout_lets_the_finally_finish(write, run, kit, late, source):
    tmp_path = late.mark.parent
    long_cell = kit.code(source.format(folder=str(tmp_path)), "timeout-s-900")
    ran = run(write(long_cell, "print('next')"), clock=late)

    assert (tmp_path / "finished").exists()
    assert (ran.exit_code, ran.record["status"]) == (4, "timed_out")
    assert ran.cell_statuses() == ["timed_out"]
    assert "took longer than 900 s" in ran.text("summary.md")
    assert ran.notebook["cells"][1]["outputs"] == []


def test_a_run_timeout_lets_the_finally_finish(write, run, tmp_path, long_cell, late):
    ran = run(write("1 + 1", long_cell), timeout_s=1800, clock=late)

    assert (tmp_path / "finished").exists()
    assert (ran.exit_code, ran.record["status"]) == (4, "timed_out")
    assert ran.cell_statuses() == ["ok", "timed_out"]
    assert "the run took longer than 1800 s" in ran.text("summary.md")


def test_a_cell_that_ignores_the_interrupt_is_ended_when_the_grace_is_over(write, run, tmp_path, late):
    stubborn = (
        f"import time\nopen({str(tmp_path / 'began')!r}, 'w').close()\n"
        "while True:\n    try:\n        time.sleep(9)\n    except KeyboardInterrupt:\n        pass"
    )
    ran = run(write(stubborn), limits=Limits(grace_s=1), clock=late)

    assert (ran.exit_code, ran.record["status"]) == (4, "timed_out")
    assert "kernel_killed" in [e["event"] for e in ran.events]
    assert "its kernel was killed" in ran.text("summary.md")


def test_a_cell_that_swallows_the_interrupt_does_not_let_the_next_one_start(write, run, tmp_path, kit, late):
    watcher = (
        f"import time\ntry:\n    open({str(tmp_path / 'began')!r}, 'w').close()\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('stopped watching')"
    )
    ran = run(write(kit.code(watcher, "raises-exception"), f"open({str(tmp_path / 'x')!r}, 'w')"), clock=late)

    assert (ran.exit_code, ran.record["status"]) == (4, "timed_out")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("import os; os._exit(0)", "exited with code 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ],
)
def test_a_dead_kernel_is_no_failed_check_and_no_success(write, run, cell, words):
    ran = run(write("1", cell))

    assert (ran.exit_code, ran.record["status"], ran.record["outcome"]) == (4, "kernel_died", "error")
    died = next(e for e in ran.events if e["event"] == "kernel_died")
    assert words in died["reason"]


def test_a_crash_of_the_kernel_leaves_its_last_words(write, run):
    ran = run(write("import os\nos.write(2, b'fatal: out of luck')\nos.abort()"))

    died = next(e for e in ran.events if e["event"] == "kernel_died")
    assert "SIGABRT" in died["reason"]
