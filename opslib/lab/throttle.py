"""Takes the processor from another process in a duty cycle, as a CPU limit does: stopped, running, stopped, running.

However this process ends by its own will, the other one runs again.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any


def main(settings: dict[str, Any]) -> None:
    """Let process `target_pid` run for `run_ms`, then stand for `stop_ms`, until SIGTERM or its end."""
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    target = int(settings["target_pid"])
    with suppress(ProcessLookupError):
        try:
            while not ending.wait(settings["run_ms"] / 1e3):
                os.kill(target, signal.SIGSTOP)
                ending.wait(settings["stop_ms"] / 1e3)
                os.kill(target, signal.SIGCONT)
        finally:
            os.kill(target, signal.SIGCONT)
