"""Runs in a folder: listed with their true status, pruned with care, and nothing to undo where nothing was done."""

from __future__ import annotations

import json

import pytest

from opslib.core.changes import driving, has_intent
from opslib.core.clock import SystemClock
from opslib.core.errors import RefusedError, UsageError
from opslib.core.journal import RunFolder
from opslib.core.outcome import Outcome
from opslib.run import follow, list_runs, prune_runs, resume_run, roll_back_run
from opslib.run.hold import held, is_held
from opslib.run.open_changes import ask_for_the_way_back, settled
from opslib.run.record import Ended


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
        roll_back_run(folder_of("r"), print)
    assert raised.value.exit_code == 3
    with pytest.raises(RefusedError, match="nothing to resume"):
        resume_run(folder_of("s"), print)
    with pytest.raises(RefusedError, match="nothing to resume"):
        resume_run(folder_of("done", journal='{"phase": "began"}\n{"phase": "rolled_back"}\n'), print)
    assert follow(folder_of("t"), print) is None


def test_a_folder_without_a_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        resume_run(RunFolder(tmp_path), print)


END = Ended("interrupted", Outcome.ERROR, 143, "Stopped by SIGTERM.")


def line(phase: str, **more) -> str:
    return json.dumps({"phase": phase, "pid": 1, **more}) + "\n"


def test_a_run_without_an_open_change_ends_as_it_did(folder_of):
    done = line("began") + line("finished", outcome="pass", summary="done")
    for folder in (folder_of("a"), folder_of("b", journal=done)):
        assert settled(folder, END, SystemClock(), 1) is END
        assert not (folder.path / "intents.jsonl").exists()


@pytest.mark.parametrize(
    ("phase", "outcome", "code"),
    [("rolled_back", "rolled_back", 5), ("rollback_failed", "rollback_failed", 6), ("finished", "pass", 4)],
)
def test_a_run_whose_kernel_died_waits_for_the_way_back_of_its_change(folder_of, phase, outcome, code):
    folder = folder_of("r", journal=line("began"))
    journal = folder.path / "journal.jsonl"

    class DriverClock(SystemClock):
        """While the runner waits, the driver hears the intent and ends."""

        def sleep(self, seconds: float) -> None:
            assert has_intent(folder.path, "abort")
            journal.write_text(journal.read_text() + line(phase, outcome=outcome, summary="as it was"))

    died = Ended("kernel_died", Outcome.ERROR, 4, "The kernel died.")
    with driving(folder.path):
        end = settled(folder, died, DriverClock(), 5)
        ask_for_the_way_back(folder)
    assert (end.exit_code, end.status) == (code, "kernel_died")
    assert "as it was" in end.sentence
    assert (folder.path / "intents.jsonl").read_text().count("abort") == 1


def test_a_signal_keeps_its_exit_code_and_tells_the_outcome(folder_of):
    folder = folder_of("r", journal=line("began"))

    class DriverClock(SystemClock):
        def sleep(self, seconds: float) -> None:
            path = folder.path / "journal.jsonl"
            path.write_text(path.read_text() + line("rolled_back", outcome="rolled_back", summary="back"))

    with driving(folder.path):
        end = settled(folder, END, DriverClock(), 5)
    assert (end.exit_code, end.outcome) == (143, Outcome.ROLLED_BACK)


def test_a_way_back_that_is_quicker_than_the_kernels_end_is_told_too(folder_of):
    folder = folder_of("r", journal=line("began"))
    ask_for_the_way_back(folder)
    journal = folder.path / "journal.jsonl"
    journal.write_text(journal.read_text() + line("rolled_back", outcome="rolled_back", summary="back"))

    end = settled(folder, END, SystemClock(), 0)
    assert (end.exit_code, end.outcome) == (143, Outcome.ROLLED_BACK)
    assert "Its change: back" in end.sentence


def test_a_driver_that_is_gone_or_slow_is_told_with_what_to_type(folder_of):
    gone = settled(folder_of("gone", journal=line("began")), END, SystemClock(), 1)
    assert "its driver is gone" in gone.sentence
    slow = folder_of("slow", journal=line("began"))
    with driving(slow.path):
        end = settled(slow, END, SystemClock(), 0)
    assert "its driver goes on" in end.sentence
    assert end.hint == "opslib runs show --follow slow"


def test_who_follows_a_change_is_shown_its_lines_and_its_end(folder_of):
    told = (
        line("began")
        + line("waiting", text="1 of 2 pods")
        + line("rolled_back", outcome="rolled_back", summary="back")
    )
    shown = []

    assert follow(folder_of("r", journal=told), shown.append) is Outcome.ROLLED_BACK
    assert shown == ["1 of 2 pods", "back"]


def test_a_change_that_goes_on_is_rolled_back_by_its_own_driver(folder_of):
    folder = folder_of(
        "r", journal=line("began") + line("rolled_back", outcome="rolled_back", summary="back")
    )
    with driving(folder.path):
        assert roll_back_run(folder, print) is Outcome.ROLLED_BACK
    assert has_intent(folder.path, "abort")
