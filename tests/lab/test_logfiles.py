"""Log files as a shipper reads them on a node: kubelet's names, lines of ECS, bounded."""

import json
import re
from pathlib import Path

import pytest

from opslib.lab.collector import logfiles
from opslib.lab.collector.logfiles import LogFiles, file_name, line_of

T = 1_795_569_004_123_456_789
POD = "payment-7d4b9c6f5-x2x4z"


def record(
    body: str = "paid", pod: str | None = POD, service: str = "payment", attributes: dict | None = None
) -> tuple:
    text = json.dumps(attributes) if attributes else None
    return (T, "INFO", body, service, pod, "61" * 16, "62" * 8, text)


def test_a_line_has_the_names_of_ecs() -> None:
    failure = {
        "exception.type": "SettlementError",
        "exception.message": "no",
        "exception.stacktrace": "Traceback",
        "amount.cents": 5,
        "message": "not this one",
        "paths": ["a"],
    }

    assert json.loads(line_of(record(attributes=failure))) == {
        "@timestamp": "2026-11-25T01:10:04.123456789Z",
        "message": "paid",
        "log.level": "INFO",
        "service.name": "payment",
        "trace.id": "61" * 16,
        "span.id": "62" * 8,
        "error.type": "SettlementError",
        "error.message": "no",
        "error.stack_trace": "Traceback",
        "labels": {"amount_cents": "5", "message": "not this one", "paths": '["a"]'},
    }


def test_a_record_without_trace_has_no_ids_and_a_line_is_one_line() -> None:
    line = line_of((T, "WARN", "two\nlines", "payment", POD, None, None, None))

    assert line.count(b"\n") == 1
    assert set(json.loads(line)) == {"@timestamp", "message", "log.level", "service.name"}


def test_a_long_record_stays_json_that_no_shipper_cuts() -> None:
    line = line_of(record("é" * 16_000, attributes={"x": "y" * 100_000}))

    assert len(line) < 64_000
    assert json.loads(line)["message"] == "é" * 10_000
    assert json.loads(line)["trace.id"] == "61" * 16


def test_files_are_named_as_the_kubelet_names_them(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "containers", "shop")
    files.add([record("one"), record("two"), record("other", "risk-1", "risk")])
    assert files.counts()["waiting"] == 3
    files.flush()
    files.add([record("three")])
    files.flush()
    found = {path.name: path.read_text().splitlines() for path in (tmp_path / "containers").iterdir()}

    assert set(found) == {file_name(POD, "shop", "payment"), file_name("risk-1", "shop", "risk")}
    assert all(re.fullmatch(r"[^/_]+_shop_(payment|risk)-[0-9a-f]{64}\.log", name) for name in found)
    assert [json.loads(line)["message"] for line in found[file_name(POD, "shop", "payment")]] == [
        "one",
        "two",
        "three",
    ]
    assert files.counts() == {"sent": 4, "dropped": 0, "waiting": 0, "error": ""}


@pytest.mark.parametrize(
    ("pod", "service"),
    [(None, "payment"), ("../etc", "payment"), ("a_b", "payment"), (POD, "a/b"), ("", "payment")],
)
def test_a_record_of_no_pod_that_a_file_can_be_named_for_is_counted(
    tmp_path: Path, pod, service: str
) -> None:
    files = LogFiles(tmp_path, "shop")
    files.add([record(pod=pod, service=service)])
    files.flush()

    assert not list(tmp_path.iterdir())
    assert files.counts()["dropped"] == 1


def test_a_file_that_has_grown_makes_room_for_a_new_one(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "shop", most_bytes=1_000)
    for number in range(33):
        files.add([record(f"number {number}")])
        files.flush()
    new, old = sorted(tmp_path.iterdir())
    lines = [json.loads(line)["message"] for path in (old, new) for line in path.read_text().splitlines()]

    assert old.name == f"{new.name}.1"
    assert all(path.stat().st_size < 1_500 for path in (old, new))
    assert lines == [f"number {number}" for number in range(33 - len(lines), 33)]


def test_a_folder_that_cannot_be_written_costs_the_records_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    files = LogFiles(tmp_path / "file", "shop")
    files.add([record()])
    files.flush()

    assert files.counts()["dropped"] == 1
    assert files.counts()["error"]


def test_more_than_can_wait_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "_MOST_WAITING", 2)
    files = LogFiles(tmp_path, "shop")
    files.add([record(str(number)) for number in range(5)])

    assert files.counts() == {"sent": 0, "dropped": 3, "waiting": 2, "error": ""}
