"""Ends the processes of a cluster's pods: those that an earlier kubelet left, or all when the kubelet has died.

`python -m opslib.lab.cluster.kubelet.guard STATE` waits for the end of its standard input, which the kubelet holds open
and which ends however the kubelet ends. A process belongs to a pod when its `POD_ROOT` lies in the state folder; so
nothing has to be recorded, and a reused pid is never taken for what it was.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

_LOOKS = 20
_BETWEEN_S = 0.1


def end_all(state: Path) -> int:
    """Kill every process of the pods under a state folder, look until there are no more; return how many."""
    killed = 0
    for look in range(_LOOKS):
        found = [process for process in psutil.process_iter() if _belongs(process, state)]
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        killed += len(found)
        if not found and look:
            break
        time.sleep(_BETWEEN_S)  # one may just be starting another
    return killed


def _belongs(process: psutil.Process, state: Path) -> bool:
    try:
        root = process.environ().get("POD_ROOT", "")
        return bool(root) and Path(root).is_relative_to(state) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def main() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    end_all(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
