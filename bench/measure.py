"""Seconds, CPU seconds and peak memory of one command and all that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
MB = 1_000_000


@dataclass
class Run:
    """One finished command; memory is the largest sum over its processes (unique to them where the system says so)."""

    code: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the last line of JSON that it printed, or all of it; nothing where it printed none."""
        for text in (self.out, self.out.strip().rpartition("\n")[2]):
            try:
                return json.loads(text)
            except ValueError:
                continue
        return {}


def run(*command: str, timeout_s: float = 600) -> Run:
    """Run a command with this Python's environment to its end."""
    before = os.times()
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    wall = time.perf_counter() - begin
    watcher.join()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(process.returncode, wall, cpu, peak[0], out, err)


def _watch(process: subprocess.Popen[str], peak: list[int]) -> None:
    try:
        root = psutil.Process(process.pid)
    except psutil.Error:
        return
    while process.poll() is None:
        peak[0] = max(peak[0], _memory(root))
        time.sleep(0.01)


def _memory(root: psutil.Process) -> int:
    total = 0
    try:
        for member in (root, *root.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.Error:
        pass
    return total


def best(*command: str, times: int = 3) -> Run:
    """Run a command several times and return the quickest: what disturbs only makes it slower."""
    return quickest(run(*command) for _ in range(times))


def quickest(runs: Iterable[Run]) -> Run:
    """Return the quickest run, one that worked before any other."""
    return min(runs, key=lambda found: (found.code != 0, found.wall_s))


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)
