"""Which files are read, and how they are cut into tasks that take about as long as one another.

The plan depends on the files alone, not on how many processes there are, so the parts come out the same. Of a folder
only regular files count that lie within it: no hidden ones, no devices, and no link that leads out of it.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

from opslib.core.errors import CaptureError
from opslib.telemetry.importers.files import is_lines
from opslib.telemetry.importers.json_texts import LARGE

MAX_FILES = 200_000
_SMALLEST, _LARGEST = 6_000_000, 32_000_000  # bytes of one task
WORTH_A_PROCESS = 40_000_000  # bytes; below, another process would only start when the work is done
_TASKS = 8  # aimed at, so that two processes end at about the same time


class Task(msgspec.Struct, frozen=True):
    """A piece of work: small files whole, a range of lines, or one share of the members of a large JSON text."""

    number: int
    kind: Literal["files", "lines", "share"]
    paths: tuple[str, ...]
    size: int
    begin: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The files to read with their sizes, and what was passed over, with the reason."""

    files: tuple[tuple[Path, int], ...]
    passed_over: tuple[tuple[Path, str], ...]


def find_files(paths: Iterable[Path]) -> Found:
    """Look for files, in order of their names. Raises CaptureError for a path that is not there, or too many."""
    files: dict[Path, int] = {}
    passed_over: list[tuple[Path, str]] = []
    for path in paths:
        if not path.exists():
            raise CaptureError(
                f"there is no {path}", hint="name files or folders of OTLP or Jaeger JSON, or OTLP protobuf"
            )
        for file, why in _within(path) if path.is_dir() else [(path, _why_not(path))]:
            if why:
                passed_over.append((file, why))
            else:
                files[file] = file.stat().st_size
        if len(files) > MAX_FILES:
            raise CaptureError(f"more than {MAX_FILES:,} files", hint="import one folder after the other")
    return Found(tuple(files.items()), tuple(passed_over))


def _within(folder: Path) -> Iterator[tuple[Path, str]]:
    root = folder.resolve()
    for parent, folders, names in folder.walk() if hasattr(folder, "walk") else _walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = parent / name
            if name.startswith("."):
                continue
            outside = path.is_symlink() and not path.resolve().is_relative_to(root)
            yield path, "it is a link that leaves the folder" if outside else _why_not(path)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    import os  # noqa: PLC0415 - Path.walk came with Python 3.12

    for parent, folders, names in os.walk(folder):
        yield Path(parent), folders, names


def _why_not(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return str(error.strerror)
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    return "" if status.st_size else "it is empty"


def plan(files: Sequence[tuple[Path, int]]) -> list[Task]:
    """Cut files into tasks: small ones gathered, large ones cut where they can be."""
    total = sum(size for _, size in files)
    aim = min(max(total // _TASKS, _SMALLEST), _LARGEST) if total > WORTH_A_PROCESS else total
    tasks: list[Task] = []
    batch: list[str] = []
    held = 0
    for path, size in files:
        if size > LARGE and (cut := _cut(path, size, aim, len(tasks))):
            tasks += cut
            continue
        batch.append(str(path))
        held += size
        if held >= aim:
            tasks.append(Task(len(tasks), "files", tuple(batch), held))
            batch, held = [], 0
    if batch:
        tasks.append(Task(len(tasks), "files", tuple(batch), held))
    return tasks


def _cut(path: Path, size: int, aim: int, number: int) -> list[Task]:
    """Cut one large file; nothing for what can only be read in one piece."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4096].lstrip()[:1] not in (b"{", b"["):
                return []
            lines = is_lines(data)
    except (OSError, ValueError):
        return []
    parts = max(1, round(size / aim))
    bounds = [size * i // parts for i in range(parts + 1)] if lines else list(range(parts + 1))
    return [
        Task(
            number + i,
            "lines" if lines else "share",
            (str(path),),
            size // parts,
            begin,
            end if lines else parts,
        )
        for i, (begin, end) in enumerate(pairwise(bounds))
    ]
