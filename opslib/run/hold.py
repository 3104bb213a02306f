"""A run that goes on holds a lock on its folder; a `running` run that nobody holds has lost its runner.

The kernel of the operating system drops the lock with the process, so no process id has to be believed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from opslib.core.journal import RunFolder


@contextlib.contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Hold a run's folder while it goes on."""
    handle = os.open(folder.path / "events.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(
            OSError
        ):  # a file system without locks: `runs` then cannot tell, and the run goes on
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def is_held(folder: RunFolder) -> bool:
    """Tell whether a runner holds this run."""
    try:
        handle = os.open(folder.path / "events.jsonl", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
