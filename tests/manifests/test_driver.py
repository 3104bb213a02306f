"""A driver that cannot do what it was started for says so in the journal, whatever lies in the folder, and ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from opslib.core.changes import Journal, driving, journal_lines
from opslib.core.clock import SystemClock
from opslib.core.errors import RefusedError
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan
from opslib.core.settings import Settings
from opslib.manifests import driver
from opslib.manifests.driven import watch_change


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # they are the driver's, not this process's
    return tmp_path


def ordered(folder: Path, **other: Any) -> None:
    whole = {
        "plan": Plan("nowhere", "c", ()).to_dict(),
        "environment": "nowhere",
        "settings": Settings(folder).to_dict(),
        "deadline_s": 60,
    }
    (folder / driver.CHANGE).write_text(json.dumps(whole | other))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'"x"', b"\xff", b'{"plan": {}}', b"[" * 100_000]
)
def test_an_order_that_is_none_aborts(folder: Path, content: bytes) -> None:
    (folder / driver.CHANGE).write_bytes(content)

    assert driver.main(folder) == 0
    change = watch_change(folder)
    assert change.outcome is Outcome.ERROR
    assert change.lines[-1]["phase"] == "aborted"
    assert change.summary


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"settings": 3},
        {"settings": {"cwd": 3}},
        {"deadline_s": "soon"},
        {"environment": None},
        {"plan": "x"},
    ],
)
def test_an_order_that_cannot_be_followed_aborts(folder: Path, other: dict) -> None:
    ordered(folder, **other)

    assert driver.main(folder) == 0
    assert watch_change(folder).lines[-1]["phase"] == "aborted"


def test_a_change_that_was_begun_and_cannot_be_undone_waits_for_somebody(folder: Path) -> None:
    ordered(folder)
    Journal(folder, SystemClock()).write("began", kind="rollout", back=None)

    driver.main(folder)
    change = watch_change(folder)
    assert change.lines[-1]["phase"] == "rollback_failed"
    assert change.outcome is Outcome.ERROR


def test_what_breaks_unforeseen_is_told_without_its_secrets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("password=correct-horse-battery")

    monkeypatch.setattr(driver, "_driven", broken)
    driver.main(folder)
    change = watch_change(folder)
    assert change.summary.startswith("ZeroDivisionError")
    assert "correct-horse" not in json.dumps(change.lines)


def test_a_change_that_has_ended_or_is_driven_is_left_alone(folder: Path) -> None:
    ordered(folder)
    with driving(folder), pytest.raises(RefusedError):
        driver.main(folder)
    assert journal_lines(folder) == []
    Journal(folder, SystemClock()).write("finished", outcome="pass", summary="well")

    assert driver.main(folder) == 0
    assert [line["phase"] for line in journal_lines(folder)] == ["finished"]
