"""A capture that grows: readable at every moment, whole after a kill at any moment, few files after hours.

`roll` writes what was appended since as one part per signal and then replaces capture.json; a part counts from the
moment that capture.json lists it. Whenever `fan_out` parts of one level have gathered they are merged into one part
of the next level; the merged ones stay on disk for `grace_s`, for readers that still hold the old list.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pandas as pd

from opslib.core.clock import Clock, SystemClock
from opslib.core.columns import COLUMNS, SignalFile
from opslib.core.errors import CaptureError, RefusedError
from opslib.core.evidence import SourceNote
from opslib.core.windows import Window, Windows, rfc3339
from opslib.core.words import printable
from opslib.telemetry.capture.manifest import MANIFEST, CaptureMeta, FileEntry, read_meta, write_meta
from opslib.telemetry.capture.occasion import Occasion
from opslib.telemetry.capture.parts import (
    Row,
    connect_writer,
    extent_of,
    leftovers,
    merge_parts,
    part_key,
    part_name,
    write_frame,
    write_rows,
)

LOCK = ".writer.lock"
_FRAME_ROWS = 250_000


class CaptureWriter:
    """Writes one capture folder; one writer per folder, any number of readers. Safe to use from several threads."""

    def __init__(
        self,
        path: Path,
        *,
        selection: Mapping[str, str] | None = None,
        sources: Sequence[SourceNote] = (),
        clock: Clock | None = None,
        fan_out: int = 16,
        max_level: int = 2,
        grace_s: float = 120.0,
    ) -> None:
        """Open a folder for writing; an existing capture is continued. Raises CaptureError and RefusedError.

        `fan_out` 0 never merges. With the defaults and one roll a second, two hours are about 60 files a signal.
        """
        self.path = path
        self.rejected: Counter[str] = Counter()  # rows by signal that no column type could hold
        self._clock = clock or SystemClock()
        self._fan_out, self._max_level, self._grace_s = fan_out, max_level, grace_s
        self._selection = dict(selection or {"incident": "all", "baseline": "all"})
        self._sources = tuple(sources)
        self._pending: dict[SignalFile, list[Row]] = {}
        self._appending, self._rolling = threading.Lock(), threading.Lock()
        self._superseded: list[tuple[float, Path]] = []
        self._unmergeable: set[str] = set()
        self._lock: int | None = _lock(path)
        try:
            self._created, self._files = self._resume()
            self._number = max((key[2] for name in self._files if (key := part_key(name))), default=-1)
            self._publish()
        except BaseException:
            os.close(self._lock)
            raise
        self._con = connect_writer()

    def _resume(self) -> tuple[str, dict[str, FileEntry]]:
        if not (self.path / MANIFEST).exists():
            return rfc3339(self._clock.now_ns()), {}
        meta = read_meta(self.path)
        for path in leftovers(self.path, meta.files or {}):
            path.unlink(missing_ok=True)
        return meta.created, dict(meta.files or {})

    def append(self, signal: SignalFile, rows: Sequence[Row] | pd.DataFrame) -> None:
        """Take rows: tuples in the order of `COLUMNS[signal]`, kept until `roll`; or a frame, written as parts at once.

        Tuples whose times are no 64-bit integers are counted in `rejected` and left out. Raises ValueError for
        tuples of another length.
        """
        if isinstance(rows, pd.DataFrame):
            self._write_frame(signal, rows)
            return
        columns = COLUMNS[signal]
        if any(len(row) != len(columns) for row in rows):
            raise ValueError(
                f"a row of {signal} has {len(columns)} values: {', '.join(c.name for c in columns)}"
            )
        times = [i for i, column in enumerate(columns) if column.type == "BIGINT"]
        good = [row for row in rows if all(_is_time(row[i]) for i in times)]
        with self._appending:
            self.rejected[signal] += len(rows) - len(good)
            self._pending.setdefault(signal, []).extend(good)

    def roll(self) -> None:
        """Make everything appended so far readable, merge what has gathered, delete what no reader needs."""
        with self._rolling:
            with self._appending:
                pending, self._pending = self._pending, {}
            for signal, rows in pending.items():
                if rows:
                    self._write(signal, rows)
            if any(pending.values()):
                self._publish()
            self._merge()
            self._delete_superseded(self._clock.monotonic_s())

    def select(self, selection: Mapping[str, str]) -> None:
        """State from now on how the traces of each window are selected."""
        with self._rolling:
            self._selection = dict(selection)
            self._publish()

    def close(
        self,
        windows: Windows | None = None,
        sources: Sequence[SourceNote] | None = None,
        selection: Mapping[str, str] | None = None,
        occasion: Occasion | None = None,
    ) -> None:
        """Roll, state the windows (default: the whole extent as the incident) and end; closing twice is harmless."""
        if self._lock is None:
            return
        self.roll()
        with self._rolling:
            self._sources = self._sources if sources is None else tuple(sources)
            self._selection = self._selection if selection is None else dict(selection)
            self._publish(windows, occasion)
            self._delete_superseded(float("inf"))
            self._con.close()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, signal: SignalFile, rows: list[Row]) -> None:
        path = self._new_part(signal, 0)
        try:
            entry = write_rows(self._con, path, signal, rows)
        except (duckdb.Error, UnicodeError):  # a text that is no Unicode must not cost the others
            entry = self._write_again(path, signal, [_encodable(row) for row in rows])
        self._files[path.name] = entry

    def _write_again(self, path: Path, signal: SignalFile, rows: list[Row]) -> FileEntry:
        with _told(path):
            return write_rows(self._con, path, signal, rows)

    def _write_frame(self, signal: SignalFile, frame: pd.DataFrame) -> None:
        with self._rolling:
            for first in range(0, len(frame), _FRAME_ROWS):
                path = self._new_part(signal, 0)
                chunk = frame.iloc[first : first + _FRAME_ROWS]
                with _told(path):
                    self._files[path.name] = write_frame(self._con, path, signal, chunk)
            self._publish()

    def _new_part(self, signal: SignalFile, level: int) -> Path:
        self._number += 1
        return self.path / part_name(signal, level, self._number)

    def _publish(self, windows: Windows | None = None, occasion: Occasion | None = None) -> None:
        now = self._clock.now_ns()
        whole = Windows(extent_of(self._files) or Window(now, now + 1))
        meta = CaptureMeta(
            windows or whole, self._created, self._selection, self._sources, dict(self._files), occasion
        )
        with _told(self.path / MANIFEST):
            write_meta(self.path, meta)

    def _merge(self) -> None:
        for signal in COLUMNS if self._fan_out else ():
            for level in range(self._max_level):
                gathered = sorted(
                    name
                    for name in self._files.keys() - self._unmergeable
                    if (key := part_key(name)) and key[:2] == (signal, level)
                )
                if len(gathered) >= self._fan_out:
                    self._merge_into(signal, level + 1, gathered)

    def _merge_into(self, signal: SignalFile, level: int, names: list[str]) -> None:
        merged = self._new_part(signal, level)
        rows = sum(self._files[name].rows or 0 for name in names)
        try:
            entry = merge_parts(self._con, merged, signal, [self.path / name for name in names], rows)
        except duckdb.Error:  # damaged on disk: they stay as they are, and readers name them
            self._unmergeable.update(names)
            return
        kept = {name: file for name, file in self._files.items() if name not in names}
        self._files = kept | {merged.name: entry}
        self._publish()
        due_s = self._clock.monotonic_s() + self._grace_s
        self._superseded += [(due_s, self.path / name) for name in names]

    def _delete_superseded(self, now_s: float) -> None:
        for _, path in (pair for pair in self._superseded if pair[0] <= now_s):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._superseded = [pair for pair in self._superseded if pair[0] > now_s]


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise CaptureError(
            f"cannot write {path}: {printable(str(error))}", hint="is the disk full?"
        ) from error


def _lock(folder: Path) -> int:
    """Create the folder and take its lock, which the kernel frees when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CaptureError(
            f"cannot write a capture to {folder}: {error.strerror}", hint="choose another folder"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise RefusedError(
            f"another process writes to the capture {folder}", hint="end it, or choose another folder"
        ) from error
    return handle


def _is_time(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63


def _encodable(row: Row) -> Row:
    return tuple(v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in row)
