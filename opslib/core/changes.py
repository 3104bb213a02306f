"""A change that is under way speaks through its folder: the driver alone writes the journal, anybody may send an intent.

A line of the journal is on the disk before what it announces is done. The driver holds a lock that ends with it, however
it ends, so whether one is at work is never a guess. Whoever comes next reads here what was done, and what the way back is.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import RefusedError
from opslib.core.journal import append_line, read_lines

JOURNAL, INTENTS, LOCK = "journal.jsonl", "intents.jsonl", "driver.lock"
# After one of these nothing is left to do; the two others wait for somebody.
CLOSED = frozenset({"finished", "rolled_back", "aborted"})
ENDED = CLOSED | {"rollback_failed", "not_resumed"}
ASKED_BACK, ASKED_ON = "asked_back", "asked_on"  # written before a driver is started anew
_TRIES, _LOOK_S = 10, 0.02
Intent = Literal["abort"]


class Journal:
    """The journal of one change, continued where it stands; threads that write at once wait for the disk together."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path, self._clock = folder / JOURNAL, clock
        self._seq = len(list(read_lines(self._path)))
        self._safe = 0  # lines that are on the disk for certain
        if self._path.exists() and self._path.read_bytes()[-1:] not in {b"", b"\n"}:
            with self._path.open("a") as torn:  # by a crash; the next line is to be one
                torn.write("\n")
        self._writing, self._syncing = threading.Lock(), threading.Lock()

    def write(self, phase: str, **more: Any) -> None:
        """Write what is about to be done, or how it ended; it is on the disk when this returns."""
        with self._writing:
            seq = self._seq
            line = {"seq": seq, "time_unix_nano": self._clock.now_ns(), "pid": os.getpid(), "phase": phase}
            append_line(self._path, {**line, **more})
            self._seq += 1
        with self._syncing:
            if self._safe > seq:  # who came just before has taken this line along
                return
            written = self._seq
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
            self._safe = written


def journal_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the journal of a change, empty where there is none."""
    return list(read_lines(folder / JOURNAL))


def ending(folder: Path) -> dict[str, Any] | None:
    """Return the last line of a change that has ended, well or not; None while it goes on or was cut off."""
    lines = journal_lines(folder)
    return lines[-1] if lines and lines[-1].get("phase") in ENDED else None


def is_open(folder: Path) -> bool:
    """Tell whether a change was begun that its journal does not close."""
    lines = journal_lines(folder)
    return bool(lines) and lines[-1].get("phase") not in CLOSED


def send_intent(folder: Path, intent: Intent) -> None:
    """Ask the driver of a change for something; it looks at least every few seconds."""
    append_line(folder / INTENTS, {"intent": intent, "pid": os.getpid()})


def has_intent(folder: Path, intent: Intent) -> bool:
    """Tell whether somebody has asked for this."""
    return any(line.get("intent") == intent for line in read_lines(folder / INTENTS))


def forget_intents(folder: Path) -> None:
    """Take back what was asked of a driver that is gone: who goes on with its change wants something else now."""
    (folder / INTENTS).unlink(missing_ok=True)


@contextmanager
def driving(folder: Path, clock: Clock | None = None) -> Iterator[None]:
    """Be the driver of a change. Raises RefusedError where another process is."""
    with _lock(folder) as handle:
        for _ in range(_TRIES):  # who looks for a driver has the lock for a moment
            if _is_taken(handle, fcntl.LOCK_EX):
                break
            (clock or SystemClock()).sleep(_LOOK_S)
        else:
            raise RefusedError(
                f"another process drives the change in {folder.name}",
                hint="watch it: opslib runs show --follow",
            )
        yield


def is_driven(folder: Path) -> bool:
    """Tell whether a driver is at work; any number may look at once."""
    try:
        with _lock(folder) as handle:
            return not _is_taken(handle, fcntl.LOCK_SH)
    except OSError:
        return True


@contextmanager
def _lock(folder: Path) -> Iterator[int]:
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)


def _is_taken(handle: int, how: int) -> bool:
    """Take the lock if it is free, and tell whether it is ours now."""
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
