"""`python -m opslib.lab.supervisor STATE`, options as JSON on stdin: takes the lab's lock, goes into the background.

Exit code of the foreground: 0 when the supervisor is on its way, 3 when another holds the lock. The lock is taken
before the fork and held by the supervisor until it ends, however it ends.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from opslib.core.clock import SystemClock
from opslib.core.errors import LabError
from opslib.core.outcome import ExitCode
from opslib.lab.state import Folder, ProcessId
from opslib.lab.supervisor.plan import Options
from opslib.lab.supervisor.supervisor import Supervisor


def main() -> int:
    """Fork; the parent says how it began, the child is the supervisor."""
    folder = Folder(Path(sys.argv[1]))
    options = Options(**json.load(sys.stdin))
    if folder.take_lock("lab") is None:
        return ExitCode.REFUSED
    _clear_remains(folder)
    if os.fork():
        return ExitCode.PASS
    identity = ProcessId.of(os.getpid())
    assert identity is not None  # it is this process
    return _supervise(Supervisor(folder, options, identity, SystemClock()), folder)


def _clear_remains(folder: Folder) -> None:
    """Remove what an earlier lab left: its record, and the capture and cluster that the new one starts afresh."""
    folder.forget()
    for path in (folder.capture, folder.cluster, folder.logs):
        shutil.rmtree(path, ignore_errors=True)
    folder.logs.mkdir()


def _supervise(supervisor: Supervisor, folder: Folder) -> int:
    logging.basicConfig(
        filename=folder.logs / "supervisor.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        supervisor.run()
    except LabError:
        return ExitCode.BROKEN
    except Exception:
        logging.getLogger(__name__).exception("the supervisor failed")
        raise
    folder.forget()
    return ExitCode.PASS


if __name__ == "__main__":
    sys.exit(main())
