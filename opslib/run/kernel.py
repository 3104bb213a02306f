"""What a headless kernel does differently, loaded into it as an IPython extension by the runner.

A cell's `finally` gets its time: the kernel leaves SIGTERM and SIGHUP to the runner, who interrupts it once; and when
the runner is gone (kill -9, out of memory) the kernel interrupts itself once, lets the running cell end, and exits.
An error of opslib's own tree is sent along with its hint and exit code, because the protocol carries only its name.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from opslib.core.errors import OpslibError

ERROR_MIME = "application/vnd.opslib.error+json"  # {"type", "message", "hint", "exit_code"} of an OpslibError
GRACE_VARIABLE = "OPSLIB_KERNEL_GRACE_S"  # how long a cell may go on after its runner has gone
_POLL_S = 0.5


class Cell:
    """Whether a cell is running now; set by IPython's own events, read by the parent's watcher."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.idle = threading.Event()
        self.idle.set()

    def started(self, _info: Any) -> None:
        self.idle.clear()

    def ended(self, result: Any) -> None:
        bundle = error_bundle(result.error_before_exec or result.error_in_exec)
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


class Orphanage(threading.Thread):
    """Ends the kernel when its runner has gone, after the running cell has had its `finally`."""

    def __init__(self, cell: Cell, parent_pid: int, grace_s: float) -> None:
        super().__init__(daemon=True, name="opslib-orphanage")
        self._cell, self._parent_pid, self._grace_s = cell, parent_pid, grace_s

    def run(self) -> None:
        while os.getppid() == self._parent_pid:
            time.sleep(_POLL_S)
        if not self._cell.idle.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            self._cell.idle.wait(self._grace_s)
        end_group()


def end_group() -> None:
    """End this kernel and what its cells have started; nobody is left to read an exit code."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


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
    # The runner keeps the keys in memory; on disk they would outlive a kill -9.
    Path(app.abs_connection_file).unlink(missing_ok=True)
    grace_s = float(os.environ.pop(GRACE_VARIABLE, "120"))
    app.poller = Orphanage(
        cell, app.parent_handle, grace_s
    )  # in the place of the one that calls os._exit at once
