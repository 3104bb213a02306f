"""No process of the lab outlives its supervisor, however that one ends.

On Linux the kernel kills the child when the thread that started it ends; everywhere the child also holds the reading
end of a pipe whose writing end dies with the supervisor. Both work without the supervisor's help, so also after
SIGKILL. The signal is SIGKILL, which a stopped process cannot sit out.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """End this process when the parent ends. Call it first; stdin must be the parent's pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it ended before the line above
        os._exit(1)
    threading.Thread(target=_exit_at_end_of, args=(sys.stdin.fileno(),), name="lifeline", daemon=True).start()


def _exit_at_end_of(descriptor: int) -> None:
    # os.read, not sys.stdin: a thread that sits in a buffered reader breaks the interpreter's shutdown.
    try:
        while os.read(descriptor, 1024):
            continue
    except OSError:
        pass
    os._exit(1)
