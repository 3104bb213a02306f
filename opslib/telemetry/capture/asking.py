"""A question is put to what can be read: a damaged part is left out and named, a list that moved on is read again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb

from opslib.core.columns import SignalFile
from opslib.core.errors import CaptureError, SourceError
from opslib.core.words import printable
from opslib.telemetry.capture.engine import Parts, ReadLimits, find_parts, first_unreadable, open_engine
from opslib.telemetry.capture.manifest import CaptureMeta, read_meta

T = TypeVar("T")
Question = Callable[[duckdb.DuckDBPyConnection, Parts], T]
_NEW_LISTS = (
    10  # how often a capture may be rewritten under one question; a merge happens every few seconds at most
)


@contextlib.contextmanager
def asking(
    folder: Path, limits: ReadLimits, signal: SignalFile, question: Question[T]
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Parts, T]]:
    """Yield connection, parts and answer, the connection still open. Raises CaptureError and SourceError."""
    meta, lists = read_meta(folder), 0
    damaged: list[tuple[Path, str]] = []
    while True:
        with open_engine(folder, limits) as con:
            parts = find_parts(con, folder, meta, signal)
            for path, why in damaged:
                parts = parts.without(path, why)
            if parts.missing > len(damaged) and lists < _NEW_LISTS and (newer := _newer(folder, meta)):
                meta, lists = newer, lists + 1
                continue
            _require_some(parts, folder)
            try:
                answer = question(con, parts)
            except duckdb.Error as error:
                if lists < _NEW_LISTS and (newer := _newer(folder, meta)):
                    meta, lists = newer, lists + 1
                else:
                    damaged.append(_culprit(con, parts, error))
                continue
            yield con, parts, answer
            return


def ask(folder: Path, limits: ReadLimits, signal: SignalFile, question: Question[T]) -> tuple[T, Parts]:
    """Return the answer and the parts it rests on."""
    with asking(folder, limits, signal, question) as (_, parts, answer):
        return answer, parts


def _newer(folder: Path, meta: CaptureMeta) -> CaptureMeta | None:
    """Return the list of now where files of the old one are gone, None where nothing was merged away."""
    if meta.files is None or all((folder / name).exists() for name in meta.files):
        return None
    now = read_meta(folder)
    return now if now.files is not None and now.files.keys() != meta.files.keys() else None


def _culprit(con: duckdb.DuckDBPyConnection, parts: Parts, error: duckdb.Error) -> tuple[Path, str]:
    bad = first_unreadable(con, parts)
    if bad is None:
        raise _source_error(error) from error
    return bad


@contextlib.contextmanager
def told_as_source_error() -> Iterator[None]:
    """Turn an error in mid-answer, when leaving a part out is no longer possible, into SourceError."""
    try:
        yield
    except duckdb.Error as error:
        raise _source_error(error) from error


def _source_error(error: duckdb.Error) -> SourceError:
    reason = printable(str(error).splitlines()[0])
    return SourceError(
        f"the capture could not be read: {reason}", hint="opslib capture verify DIR names the file"
    )


def _require_some(parts: Parts, folder: Path) -> None:
    if parts.missing and not parts.parts:
        raise CaptureError(
            f"no {parts.signal} of {folder} can be read: {parts.warnings[0]}",
            hint=f"opslib capture verify {folder}",
        )
