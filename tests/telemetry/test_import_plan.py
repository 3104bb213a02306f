"""Which files are read, how the work is cut, and that any cut and any number of processes gives the same capture."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from opslib.core.errors import CaptureError
from opslib.telemetry.importers import child, pool, worker
from opslib.telemetry.importers import tasks as planning
from opslib.telemetry.importers.pool import run_tasks
from opslib.telemetry.importers.tasks import Task, find_files, plan
from tests.telemetry.importing import (
    ROWS,
    T0,
    core_rows,
    jaeger,
    jaeger_trace,
    meta,
    otlp,
    rows,
    run,
    warnings,
    write,
)


def many(count: int) -> list[dict]:
    traces = []
    for number in range(count):
        trace = jaeger_trace()
        for span in trace["spans"]:
            span["traceID"] = f"{number + 1:032x}"
            span["references"] = [r | {"traceID": span["traceID"]} for r in span["references"]]
            span["startTime"] += number
        traces.append(trace)
    return traces


def test_a_folder_is_read_in_order_with_its_folders(tmp_path: Path) -> None:
    for name in ("b/2.json", "a/1.json", "3.json", ".hidden/x.json", "a/.swp", "README.md"):
        write(tmp_path, jaeger() if name.endswith("json") else "# notes", f"in/{name}")
    found = find_files([tmp_path / "in"])

    assert [str(path.relative_to(tmp_path / "in")) for path, _ in found.files] == [
        "3.json",
        "README.md",
        "a/1.json",
        "b/2.json",
    ]
    out = run(tmp_path, tmp_path / "in")
    assert len(rows(out)) == 6  # what is there twice is dropped by the reader, not here
    assert "README.md was left out" in warnings(out)


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path, jaeger(), "outside/secret.json")
    inside = write(tmp_path, jaeger(), "in/good.json")
    (tmp_path / "in/away.json").symlink_to(secret)
    (tmp_path / "in/folder").symlink_to(secret.parent)
    (tmp_path / "in/near.json").symlink_to(inside)
    (tmp_path / "in/dangling.json").symlink_to(tmp_path / "in/nothing")
    os.mkfifo(tmp_path / "in/pipe")
    out = run(tmp_path, tmp_path / "in")

    assert len(rows(out)) == 4
    assert "away.json was left out: it is a link that leaves the folder" in warnings(out)
    assert "pipe was left out: it is no regular file" in warnings(out)
    assert "dangling.json was left out" in warnings(out)


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MAX_FILES", 1)
    write(tmp_path, jaeger(), "in/a.json")
    write(tmp_path, jaeger(), "in/b.json")

    with pytest.raises(CaptureError, match="more than 1 files"):
        find_files([tmp_path / "in"])


def test_the_same_path_twice_is_one_file(tmp_path: Path) -> None:
    path = write(tmp_path, jaeger())

    assert core_rows(run(tmp_path, path, path)) == ROWS


def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "LARGE", 1_000)
    monkeypatch.setattr(planning, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(planning, "_SMALLEST", 2_000)
    monkeypatch.setattr(planning, "_LARGEST", 5_000)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("share", jaeger(*many(30))),
        ("share", [jaeger(trace) for trace in many(30)]),
        ("share", json.dumps(jaeger(*many(30)), indent=1)),
        ("lines", "\n".join(json.dumps(jaeger(trace)) for trace in many(30))),
        ("lines", "\n\n".join(json.dumps(jaeger(trace)) for trace in many(30)) + "\n\n"),
    ],
)
def test_a_large_file_cut_into_tasks_gives_every_span_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, content: object
) -> None:
    path = write(tmp_path, content)
    whole = run(tmp_path, path, name="whole")
    small_tasks(monkeypatch)
    tasks = plan(find_files([path]).files)
    out = run(tmp_path, path)

    assert {task.kind for task in tasks} == {kind}
    assert len(tasks) > 3
    assert rows(out) == rows(whole)
    assert len(rows(out)) == 60
    assert meta(out)["windows"] == meta(whole)["windows"] == {"incident": [T0, T0 + 5_029_001]}


def test_small_files_are_gathered_and_the_plan_knows_no_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_tasks(monkeypatch)
    for number, trace in enumerate(many(12)):
        write(tmp_path, jaeger(trace), f"in/{number:02}.json")
    monkeypatch.setattr(planning, "LARGE", 100_000)
    monkeypatch.setattr(pool, "WORTH_A_PROCESS", 1)
    alone = run(tmp_path, tmp_path / "in", name="alone", workers=1)
    both = run(tmp_path, tmp_path / "in", name="both", workers=2)

    assert len(rows(alone)) == 24
    assert meta(alone)["files"] == meta(both)["files"]
    assert len(meta(both)["files"]) > 2


def test_parts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PART_ROWS", 10)
    monkeypatch.setattr("opslib.telemetry.importers.gather.BATCH", 3)
    out = run(tmp_path, write(tmp_path, jaeger(*many(20))))

    assert len(rows(out)) == 40
    assert max(entry["rows"] for entry in meta(out)["files"].values()) < 60


def test_a_process_that_dies_costs_the_files_it_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(
        pool,
        "_start",
        lambda _: subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.readline()"], stdin=-1, stdout=-1
        ),
    )
    paths = [write(tmp_path, jaeger(), f"{number}.json") for number in range(2)]
    tasks = [Task(number, "files", (str(path),), 10) for number, path in enumerate(paths)]
    done: list[int] = []
    results = run_tasks(tasks, tmp_path, 2, lambda task, _: done.append(task.number))

    assert sorted(done) == [0, 1]
    died = [failure for result in results for failure in result.failures]
    assert sum(result.records for result in results) == 2 * (2 - len(died))
    assert all("ended without an answer" in why for _, why in died)


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, otlp())
    task = Task(0, "files", (str(path), str(tmp_path / "gone.json")), 10)
    result = worker.Worker(tmp_path).run(task)

    assert result.records == 2
    assert result.failures == [(str(tmp_path / "gone.json"), "No such file or directory")]


def test_a_child_answers_each_task_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, otlp())
    lines = [msgspec.json.encode(Task(number, "files", (str(path),), 10)) + b"\n" for number in (4, 5)]
    answers = io.BytesIO()
    monkeypatch.setattr(sys, "argv", ["child", str(tmp_path)])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(lines))))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(answers, write_through=True))
    child.main()

    results = [msgspec.json.decode(line, type=worker.Result) for line in answers.getvalue().splitlines()]
    assert [(result.number, result.records, len(result.parts)) for result in results] == [
        (4, 2, 1),
        (5, 2, 1),
    ]
