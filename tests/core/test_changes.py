"""The journal of a change: each line is on the disk when its writer goes on, and one wait for it serves many."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opslib.core.changes import JOURNAL, Journal, journal_lines
from opslib.core.clock import SystemClock

WRITERS = 8


def test_lines_of_many_threads_are_on_the_disk_when_each_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe: list[int] = []

    def fsync(handle: int) -> None:
        """The first one is slow: meanwhile all others have written."""
        end_s = time.monotonic() + 10
        while not safe and len(journal_lines(tmp_path)) < WRITERS and time.monotonic() < end_s:
            os.sched_yield()
        safe.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    journal = Journal(tmp_path, SystemClock())

    def is_safe(number: int) -> bool:
        journal.write("writing", number=number)
        text = (tmp_path / JOURNAL).read_bytes()[: max(safe)]
        return f'"number": {number}}}'.encode() in text

    with ThreadPoolExecutor(WRITERS) as pool:
        assert all(pool.map(is_safe, range(WRITERS)))
    assert len(safe) <= 2
    assert [line["seq"] for line in journal_lines(tmp_path)] == list(range(WRITERS))
