"""Runs in a folder: listed with their true status, pruned with care, and nothing to undo where nothing was done."""

from __future__ import annotations

import json

import pytest

from opslib.core.errors import RefusedError, UsageError
from opslib.core.journal import RunFolder
from opslib.run import list_runs, prune_runs, refuse_without_change
from opslib.run.hold import held, is_held


@pytest.fixture
def folder_of(tmp_path):
    def make(run_id: str, status: str = "completed", journal: str = "") -> RunFolder:
        path = tmp_path / run_id
        path.mkdir()
        (path / "run.json").write_text(
            json.dumps({"id": run_id, "status": status, "exit_code": 0, "outcome": "pass"})
        )
        (path / "events.jsonl").write_text("")
        if journal:
            (path / "journal.jsonl").write_text(journal)
        return RunFolder(path)

    return make


def test_the_newest_run_comes_first_and_strangers_are_left_out(folder_of, tmp_path):
    folder_of("20260101T000000Z-a-1")
    folder_of("20260102T000000Z-a-1")
    (tmp_path / "20260103T000000Z-a-1").mkdir()
    (tmp_path / "20260104T000000Z-a-1").mkdir()
    (tmp_path / "20260104T000000Z-a-1" / "run.json").write_text("{")
    (tmp_path / "file").write_text("")
    assert [r["id"] for r in list_runs(tmp_path)] == ["20260102T000000Z-a-1", "20260101T000000Z-a-1"]
    assert list_runs(tmp_path / "absent") == []


def test_a_running_run_that_nobody_holds_is_lost(folder_of, tmp_path):
    folder = folder_of("r", "running")
    with held(folder):
        assert list_runs(tmp_path)[0]["status"] == "running"
        assert is_held(folder)
    assert list_runs(tmp_path)[0]["status"] == "lost"
    assert (
        json.loads((folder.path / "run.json").read_text())["status"] == "running"
    )  # reading changes nothing


def test_a_run_without_events_is_held_by_nobody(tmp_path):
    assert not is_held(RunFolder(tmp_path))


def test_pruning_keeps_the_newest_the_running_and_the_open(folder_of, tmp_path):
    folder_of("1-open", journal='{"phase": "shifting"}\n')
    folder_of("2-done", journal='{"phase": "shifting"}\n{"phase": "finished"}\n')
    folder_of("3-old")
    going_on = folder_of("4-running", "running")
    folder_of("5-new")
    with held(going_on):
        assert prune_runs(tmp_path, keep=1) == ["3-old", "2-done"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-open", "4-running", "5-new"]


def test_an_investigation_has_nothing_to_resume_or_roll_back(folder_of):
    with pytest.raises(RefusedError, match="changed nothing") as raised:
        refuse_without_change(folder_of("r"), "roll back")
    assert raised.value.exit_code == 3
    with pytest.raises(RefusedError, match="no driver"):
        refuse_without_change(folder_of("j", journal="{}"), "resume")


def test_a_folder_without_a_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        refuse_without_change(RunFolder(tmp_path), "resume")
