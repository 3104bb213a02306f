"""The kernel's own part, without a kernel: errors sent along, and the end after the runner's end."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from opslib.core.errors import RefusedError
from opslib.run import kernel
from opslib.run.kernel import (
    ERROR_MIME,
    GRACE_NAME,
    Cell,
    Watcher,
    error_bundle,
    load_ipython_extension,
    settle,
)
from opslib.run.kernels import how_it_died


class Shell:
    """As much of IPython's shell as the extension touches."""

    def __init__(self, folder: Path) -> None:
        self.published: list[dict] = []
        self.callbacks: dict[str, object] = {}
        self.display_pub = SimpleNamespace(publish=lambda *, data: self.published.append(data))
        self.events = SimpleNamespace(register=self.callbacks.__setitem__)
        app = SimpleNamespace(
            abs_connection_file=str(folder / "keys.json"), parent_handle=42, poller=None, control_thread=None
        )
        self.nudges: list[object] = []
        self.kernel = SimpleNamespace(parent=app, io_loop=SimpleNamespace(add_callback=self.nudges.append))


@pytest.fixture
def shell(tmp_path):
    folder = tmp_path / "kernel"
    folder.mkdir()
    (folder / "keys.json").write_text("secret")
    (folder / GRACE_NAME).write_text("7.5")
    return Shell(folder)


def test_an_error_of_ours_is_sent_with_its_hint_and_exit_code(shell):
    cell = Cell(shell)
    cell.started(None)
    assert not cell.idle.is_set()
    cell.ended(SimpleNamespace(error_before_exec=None, error_in_exec=RefusedError("no", hint="ask")))
    assert cell.idle.is_set()
    (bundle,) = shell.published
    assert bundle[ERROR_MIME] == {"type": "RefusedError", "message": "no", "hint": "ask", "exit_code": 3}
    assert bundle["text/plain"] == "ask"


def test_other_errors_and_no_result_at_all_are_not_told(shell):
    cell = Cell(shell)
    cell.ended(SimpleNamespace(error_before_exec=None, error_in_exec=ValueError("x")))
    cell.ended(None)
    assert shell.published == []
    assert error_bundle(None) is None


def test_the_extension_prepares_the_kernel_and_removes_its_keys_last(shell, tmp_path, monkeypatch):
    monkeypatch.setenv(GRACE_NAME, "7")
    at_exit: list[tuple] = []
    monkeypatch.setattr(kernel.atexit, "register", lambda *told: at_exit.append(told))
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        load_ipython_extension(shell)
        signal.raise_signal(signal.SIGTERM)  # the runner's business: nothing happens here
        signal.raise_signal(signal.SIGHUP)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    assert set(shell.callbacks) == {"pre_run_cell", "post_run_cell"}
    assert isinstance(shell.kernel.parent.poller, Watcher)
    assert at_exit == [(settle, shell.kernel.parent)]
    assert not (tmp_path / "kernel").exists()


def test_the_control_thread_is_let_finish_before_the_channels_close():
    go = threading.Event()
    thread = threading.Thread(target=go.wait, daemon=True)
    thread.stop = go.set
    thread.start()
    settle(SimpleNamespace(control_thread=thread))
    assert not thread.is_alive()
    settle(SimpleNamespace(control_thread=thread))  # already ended
    settle(SimpleNamespace(control_thread=None))


@pytest.fixture
def orphan(shell, monkeypatch):
    """A watcher whose runner is gone at the second look; returns what it did, in order."""
    did: list[str] = []
    parents = iter([42, 1])
    monkeypatch.setattr(kernel.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(kernel, "end_group", lambda: did.append("end"))
    monkeypatch.setattr(kernel, "_POLL_S", 0.001)
    cell = Cell(shell)

    def interrupt(thread: int, signum: int) -> None:
        assert (thread, signum) == (threading.main_thread().ident, signal.SIGINT)
        did.append("interrupt")

    monkeypatch.setattr(kernel.signal, "pthread_kill", interrupt)

    def run(grace_s: float) -> list[str]:
        Watcher(cell, shell.kernel, 42, grace_s).run()
        return did

    return cell, run


def test_an_idle_kernel_ends_with_its_runner(orphan, shell):
    _, run = orphan
    assert run(5) == ["end"]
    assert shell.nudges == []


def test_a_busy_kernel_is_interrupted_once_and_given_its_grace(orphan, shell):
    cell, run = orphan
    cell.started(None)
    assert run(0.01) == ["interrupt", "end"]
    assert shell.nudges  # the loop was woken, so that a queued interrupt is looked at


def test_ending_the_group_kills_it_only_where_it_is_the_kernels_own(monkeypatch):
    did: list[tuple] = []
    monkeypatch.setattr(kernel.os, "killpg", lambda *told: did.append(told))
    monkeypatch.setattr(kernel.os, "_exit", lambda code: did.append(("exit", code)))
    monkeypatch.setattr(kernel.os, "getpgrp", lambda: 7)
    monkeypatch.setattr(kernel.os, "getpid", lambda: 8)
    kernel.end_group()
    assert did == [("exit", 1)]
    monkeypatch.setattr(kernel.os, "getpid", lambda: 7)
    kernel.end_group()
    assert did[1:] == [(7, signal.SIGKILL), ("exit", 1)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "does not answer"),
        (3, "exited with code 3"),
        (-9, "SIGKILL (often"),
        (-6, "SIGABRT"),
        (-99, "by 99"),
    ],
)
def test_how_a_kernel_died_in_words(code, words):
    assert words in how_it_died(code)
