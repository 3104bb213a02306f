"""A change that is under way: who drives it is never a guess, who looks never stands in its way, each line is safe."""

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opslib.core.changes import (
    JOURNAL,
    LOCK,
    Journal,
    driving,
    ending,
    has_intent,
    is_driven,
    is_open,
    journal_lines,
    send_intent,
)
from opslib.core.clock import SystemClock
from opslib.core.errors import RefusedError

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


def looking(folder: Path):
    """Hold the lock as somebody does who looks for a driver."""
    handle = (folder / LOCK).open("a")
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def test_one_drives_and_another_is_refused_until_it_ends(tmp_path: Path) -> None:
    assert not is_driven(tmp_path)
    with driving(tmp_path):
        assert is_driven(tmp_path)
        with pytest.raises(RefusedError, match="another process drives"), driving(tmp_path):
            pass
        assert is_driven(tmp_path), "the one that was refused took nothing away"
    assert not is_driven(tmp_path)
    with driving(tmp_path):
        assert is_driven(tmp_path)


def test_two_who_look_at_once_take_neither_for_a_driver(tmp_path: Path) -> None:
    with looking(tmp_path):
        assert not is_driven(tmp_path)


def test_a_driver_that_starts_while_somebody_looks_waits_for_that_moment(tmp_path: Path) -> None:
    class Moment(SystemClock):
        def sleep(self, seconds: float) -> None:
            look.close()

    with looking(tmp_path) as look, driving(tmp_path, Moment()):
        assert is_driven(tmp_path)


def test_a_folder_that_cannot_be_looked_into_counts_as_driven(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    assert is_driven(tmp_path)


@pytest.mark.parametrize("whole", [["began"], []])
def test_a_torn_journal_is_read_to_its_last_whole_line_and_continued(
    tmp_path: Path, whole: list[str]
) -> None:
    for phase in whole:
        Journal(tmp_path, SystemClock()).write(phase)
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write('{"seq": 1, "phase": "finished", "text": "é'.encode()[:-1])

    assert [line["phase"] for line in journal_lines(tmp_path)] == whole
    assert (is_open(tmp_path), ending(tmp_path)) == (bool(whole), None)
    Journal(tmp_path, SystemClock()).write("rolled_back")
    assert (is_open(tmp_path), ending(tmp_path)["phase"]) == (False, "rolled_back")


def test_an_intent_is_heard_by_its_name(tmp_path: Path) -> None:
    assert not has_intent(tmp_path, "abort")
    (tmp_path / "intents.jsonl").write_text('{"intent": "other"}\n[1]\nnonsense\n')
    assert not has_intent(tmp_path, "abort")
    send_intent(tmp_path, "abort")
    assert has_intent(tmp_path, "abort")
