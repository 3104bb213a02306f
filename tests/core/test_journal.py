"""A run folder's files are whole at every moment; a crash leaves the old content, never half of the new."""

import json
import os
from pathlib import Path

import pytest

from opslib.core.clock import SystemClock
from opslib.core.errors import UsageError
from opslib.core.journal import RunFolder, append_line, read_lines, write_atomic, write_json


class Noon:
    """A clock that stands still."""

    def now_ns(self) -> int:
        return 1_769_828_400_000_000_000

    def monotonic_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, "old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")

    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_json_that_no_other_parser_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"value": float("nan")})


def test_a_torn_last_line_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_line(path, {"seq": 1})
    append_line(path, {"seq": 2, "text": "é\n"})
    with path.open("a") as file:
        file.write('{"seq": 3, "te')

    assert [record["seq"] for record in read_lines(path)] == [1, 2]
    assert list(read_lines(tmp_path / "none.jsonl")) == []


def test_ids_sort_by_time_and_do_not_repeat(tmp_path: Path) -> None:
    first, second = (RunFolder.create(tmp_path, "investigate", Noon()) for _ in range(2))

    assert first.id != second.id
    assert first.id.startswith("20260131T030000Z-investigate-")


def test_a_run_is_found_by_the_end_of_its_id(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "investigate", Noon())
    folder.write_run({"id": folder.id, "status": "running"})

    assert RunFolder.find(tmp_path, folder.id[-6:]).read_run()["status"] == "running"
    with pytest.raises(UsageError, match="no run matches"):
        RunFolder.find(tmp_path, "zzz")
    with pytest.raises(UsageError, match="no run matches"):
        RunFolder.find(tmp_path / "absent", "zzz")


def test_two_runs_that_match_are_both_named(tmp_path: Path) -> None:
    for _ in range(2):
        folder = RunFolder.create(tmp_path, "investigate", Noon())
        folder.write_run({})

    with pytest.raises(UsageError, match="2 runs match"):
        RunFolder.find(tmp_path, "2026")


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_an_unreadable_run_says_so(tmp_path: Path, content: str) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "run.json").write_text(content)

    with pytest.raises(UsageError, match=r"run\.json"):
        folder.read_run()


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot create the run folder") as error:
        RunFolder.create(tmp_path / "file", "x", SystemClock())

    assert "--out" in error.value.hint


def test_events_are_one_json_line_each(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.event({"event": "cell_start", "cell": 3})

    assert json.loads((tmp_path / "events.jsonl").read_text()) == {"event": "cell_start", "cell": 3}
