"""What a headless kernel does differently, loaded into it as an IPython extension by the runner.

A cell's `finally` gets its time: the kernel leaves SIGTERM and SIGHUP to the runner, who interrupts it once; and when
the runner is gone (kill -9, out of memory) the kernel interrupts itself once, lets the running cell end, and exits.
An error of opslib's own tree is sent along with its hint and exit code, because the protocol carries only its name.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from opslib.core.errors import OpslibError

ERROR_MIME = "application/vnd.opslib.error+json"  # {"type", "message", "hint", "exit_code"} of an OpslibError
GRACE_NAME = "grace_s"  # a file beside the keys: how long a cell may go on after its runner has gone
_POLL_S = 0.5
_SETTLE_S = 2


class Cell:
    """Whether a cell is running now; set by IPython's own events, read by the parent's watcher."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.idle = threading.Event()
        self.idle.set()

    def started(self, _info: Any) -> None:
        self.idle.clear()

    def ended(self, result: Any) -> None:
        # A cancelled `await` at the top of a cell gives no result at all.
        error = getattr(result, "error_before_exec", None) or getattr(result, "error_in_exec", None)
        bundle = error_bundle(error)
        if bundle is not None:
            self._shell.display_pub.publish(data=bundle)
        self.idle.set()


def error_bundle(error: BaseException | None) -> dict[str, Any] | None:
    """Return what an error of ours knows beyond its name, as an output of its cell; None for any other error."""
    if not isinstance(error, OpslibError):
        return None
    content = {
        "type": type(error).__name__,
        "message": str(error),
        "hint": error.hint,
        "exit_code": int(error.exit_code),
    }
    return {ERROR_MIME: content, "text/plain": error.hint or str(error)}


class Watcher(threading.Thread):
    """Ends the kernel when its runner has gone, after the running cell has had its `finally`.

    It also nudges the kernel's loop while a cell runs: the interrupt of a cell that awaits something is queued there
    without waking it, and would otherwise come with the next message, or never.
    """

    def __init__(self, cell: Cell, kernel: Any, parent_pid: int, grace_s: float) -> None:
        super().__init__(daemon=True, name="opslib-watcher")
        self._cell, self._kernel, self._parent_pid, self._grace_s = cell, kernel, parent_pid, grace_s

    def run(self) -> None:
        while os.getppid() == self._parent_pid:
            self._pause()
        if not self._cell.idle.is_set():
            # To the main thread itself: a signal to the process may land here and leave a waiting loop asleep.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            until_s = time.monotonic() + self._grace_s
            while not self._cell.idle.is_set() and time.monotonic() < until_s:
                self._pause()
        end_group()

    def _pause(self) -> None:
        time.sleep(_POLL_S)
        if not self._cell.idle.is_set() and self._kernel.io_loop is not None:
            self._kernel.io_loop.add_callback(lambda: None)


def end_group() -> None:
    """End this kernel and what its cells have started; nobody is left to read an exit code."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def settle(app: Any) -> None:
    """Let the control thread finish what it sends, before ipykernel's own `atexit` closes what it sends through.

    Otherwise one end in forty waits for ever: the main thread for the control thread, and that one for an output
    channel that is closed already.
    """
    thread = app.control_thread
    if thread is not None and thread.is_alive():
        thread.stop()
        thread.join(_SETTLE_S)


def _left_to_the_runner(_signum: int, _frame: Any) -> None:
    """Do nothing. A handler, not SIG_IGN: that one would be inherited by the commands a cell starts."""


def load_ipython_extension(shell: Any) -> None:
    """Prepare this kernel; called by IPython before any cell runs."""
    signal.signal(signal.SIGTERM, _left_to_the_runner)
    signal.signal(signal.SIGHUP, _left_to_the_runner)
    cell = Cell(shell)
    shell.events.register("pre_run_cell", cell.started)
    shell.events.register("post_run_cell", cell.ended)
    app = shell.kernel.parent
    keys = Path(app.abs_connection_file)
    grace = keys.with_name(GRACE_NAME)
    grace_s = float(grace.read_text(encoding="utf-8"))
    atexit.register(settle, app)  # the last one in is the first one called
    # In the place of ipykernel's own, which calls os._exit at once.
    app.poller = Watcher(cell, shell.kernel, app.parent_handle, grace_s)
    # The runner keeps the keys in memory; on disk they, and their folder, would outlive a kill -9. Last of all: it
    # reads their absence as the sign that everything above is in place.
    grace.unlink()
    keys.unlink()
    keys.parent.rmdir()
