"""Tasks over all cores: this process works too, and each further one is a plain child that it feeds through pipes.

A child that dies costs the files of its task, which are named, and nothing else. No child outlives this process: its
input ends with it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from opslib.telemetry.importers.tasks import WORTH_A_PROCESS, Result, Task

_DIED = "the process that read it ended without an answer; it may have run out of memory or disk"


class _Queue:
    """What is to be done and what was done, shared by the threads that feed the children."""

    def __init__(self, tasks: Sequence[Task], done: Callable[[Task, Result], None]) -> None:
        self._tasks = deque(tasks)
        self._lock = threading.Lock()
        self._done = done
        self.results: dict[int, Result] = {}

    def next(self) -> Task | None:
        with self._lock:
            return self._tasks.popleft() if self._tasks else None

    def finish(self, task: Task, result: Result) -> None:
        with self._lock:
            self.results[task.number] = result
            self._done(task, result)


def run_tasks(
    tasks: Sequence[Task], folder: Path, workers: int, done: Callable[[Task, Result], None]
) -> list[Result]:
    """Run all tasks and return their results in order; `done` is called after each, from one thread at a time.

    Raises OSError when this process cannot write.
    """
    queue = _Queue(tasks, done)
    total = sum(task.size for task in tasks)
    extra = min(workers, len(tasks), 1 + total // WORTH_A_PROCESS) - 1
    children = [_start(folder) for _ in range(extra)]
    feeders = [threading.Thread(target=_feed, args=(child, queue), daemon=True) for child in children]
    try:
        for feeder in feeders:
            feeder.start()
        _work(queue, folder)
        for feeder in feeders:
            feeder.join()
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return [queue.results[number] for number in sorted(queue.results)]


def _work(queue: _Queue, folder: Path) -> None:
    from opslib.telemetry.importers.worker import Worker  # noqa: PLC0415 - while the children start

    worker = Worker(folder)
    try:
        while (task := queue.next()) is not None:
            queue.finish(task, worker.run(task))
    finally:
        worker.close()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "opslib.telemetry.importers.child", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _feed(child: subprocess.Popen[bytes], queue: _Queue) -> None:
    """Give a child one task after the other until there are none, or it died."""
    decoder, encoder = msgspec.json.Decoder(Result), msgspec.json.Encoder()
    while (task := queue.next()) is not None:
        try:
            result = decoder.decode(_ask(child, encoder.encode(task)))
        except (OSError, ValueError):
            queue.finish(task, Result(task.number, failures=[(path, _DIED) for path in task.paths]))
            return
        queue.finish(task, result)


def _ask(child: subprocess.Popen[bytes], line: bytes) -> bytes:
    if child.stdin is None or child.stdout is None:
        raise ValueError("the child has no pipes")
    child.stdin.write(line + b"\n")
    child.stdin.flush()
    return child.stdout.readline()
