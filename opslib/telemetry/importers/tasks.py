"""Which files are read, and how they are cut into tasks that take about as long as one another.

The plan depends on the files alone, not on how many processes there are, so the parts come out the same. Of a folder
only regular files count that lie within it: no hidden ones, no devices, and no link that leads out of it.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from pathlib import Path
from typing import Literal

import msgspec

from opslib.core.columns import SignalFile
from opslib.core.errors import CaptureError

Judged = tuple[Path, int, str]  # a file, its size, and why it is not read, if so
MAX_FILES = 200_000
_SMALLEST, _LARGEST = 4_000_000, 32_000_000  # bytes of one task
WORTH_A_PROCESS = 12_000_000  # bytes; below, another process would only start when the work is done
LARGE = 8_000_000  # bytes of JSON that are decoded at once; as objects they take about five times that
_TASKS = 8  # aimed at, so that two processes end at about the same time


class Task(msgspec.Struct, frozen=True):
    """A piece of work: small files whole, a range of lines, or one share of the members of a large JSON text."""

    number: int
    kind: Literal["files", "lines", "share"]
    paths: tuple[str, ...]
    size: int
    begin: int = 0
    end: int = 0


class Part(msgspec.Struct, frozen=True):
    """One written part: what capture.json says of it, and the times in it, None where it is empty of them."""

    signal: SignalFile
    path: str
    rows: int
    sha256: str
    first_ns: int
    last_ns: int
    first_root_ns: int | None = None


class Result(msgspec.Struct):
    """What became of a task; `refused` counts records by reason, `failures` names files with the reason."""

    number: int
    parts: list[Part] = []
    refused: dict[str, int] = {}
    failures: list[tuple[str, str]] = []
    records: int = 0
    forms: list[str] = []


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
        for file, size, why in _within(path) if path.is_dir() else [_judged(path, path.stat())]:
            if why:
                passed_over.append((file, why))
            else:
                files[file] = size
        if len(files) > MAX_FILES:
            raise CaptureError(f"more than {MAX_FILES:,} files", hint="import one folder after the other")
    return Found(tuple(files.items()), tuple(passed_over))


def _within(folder: Path) -> Iterator[Judged]:
    """Yield the files below a folder: those of each folder by name, then what lies in the folders in it."""
    root, waiting = folder.resolve(), [folder]
    while waiting:
        at = waiting.pop()
        try:
            with os.scandir(at) as entries:
                found = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            yield at, 0, str(error.strerror)
            continue
        folders = [entry.is_dir(follow_symlinks=False) for entry in found]
        waiting += [at / entry.name for entry in reversed(list(compress(found, folders)))]
        for entry, is_folder in zip(found, folders, strict=True):
            if not is_folder:
                yield _judged_entry(at / entry.name, entry, root)


def _judged_entry(path: Path, entry: os.DirEntry[str], root: Path) -> Judged:
    try:
        if entry.is_symlink() and not path.resolve().is_relative_to(root):
            return path, 0, "it is a link that leaves the folder"
        return _judged(path, entry.stat())
    except (OSError, RuntimeError) as error:
        return path, 0, str(getattr(error, "strerror", error))


def _judged(path: Path, status: os.stat_result) -> Judged:
    if not stat.S_ISREG(status.st_mode):
        return path, 0, "it is no regular file"
    return path, status.st_size, "" if status.st_size else "it is empty"


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
    from opslib.telemetry.importers.files import is_lines  # noqa: PLC0415 - the readers, which only large files need here

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
