"""Takes the processor from other processes in a duty cycle, as a CPU limit does: stopped, running, stopped, running.

However this process ends by its own will, the others run again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

_AGAIN_S = 0.01  # whoever else steers them may have let them run


def main(settings: dict[str, Any]) -> None:
    """Let processes `target_pids` run for `run_ms`, then stand for `stop_ms`, until SIGTERM or the end of all."""
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    targets = [int(pid) for pid in settings["target_pids"]]
    try:
        while targets and not ending.wait(settings["run_ms"] / 1e3):
            end_s = time.monotonic() + settings["stop_ms"] / 1e3
            while time.monotonic() < end_s and not ending.is_set():
                targets = _send(targets, signal.SIGSTOP)
                ending.wait(_AGAIN_S)
            _send(targets, signal.SIGCONT)
    finally:
        _send(targets, signal.SIGCONT)


def _send(targets: list[int], number: int) -> list[int]:
    """Send a signal; return who is still there."""
    there = []
    for pid in targets:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            there.append(pid)
    return there
