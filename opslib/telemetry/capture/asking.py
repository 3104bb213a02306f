"""A question is put to what can be read: a damaged part is left out and named, a list that moved on is read again.

Where the answer does not fit into memory the texts in it are read shortened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb

from opslib.core.columns import SignalFile
from opslib.core.errors import CaptureError, SourceError
from opslib.core.words import printable
from opslib.telemetry.capture.engine import Parts, ReadLimits, first_unreadable, open_engine
from opslib.telemetry.capture.files import find_parts
from opslib.telemetry.capture.manifest import CaptureMeta, read_meta
from opslib.telemetry.capture.texts import TooMuchTextError, shortened

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
    meta, lists, short = read_meta(folder), 0, False
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
            parts = shortened(parts) if short else parts
            try:
                answer = question(con, parts)
            except (TooMuchTextError, duckdb.Error) as error:
                if not short and isinstance(error, TooMuchTextError | duckdb.OutOfMemoryException):
                    short = True
                elif lists < _NEW_LISTS and (newer := _newer(folder, meta)):
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
    if meta.files is None or all(os.path.lexists(folder / name) for name in meta.files):
        return None
    now = read_meta(folder)
    return now if now.files is not None and now.files.keys() != meta.files.keys() else None


def _culprit(con: duckdb.DuckDBPyConnection, parts: Parts, error: Exception) -> tuple[Path, str]:
    bad = first_unreadable(con, parts)
    if bad is None:
        if isinstance(error, TooMuchTextError | duckdb.OutOfMemoryException):
            raise CaptureError(
                f"the {parts.signal} do not fit into memory, each text at {parts.longest} characters",
                hint="ask about a shorter window",
            ) from error
        raise _source_error(error) from error
    return bad


@contextlib.contextmanager
def told_as_source_error() -> Iterator[None]:
    """Turn an error in mid-answer, when leaving a part out is no longer possible, into SourceError."""
    try:
        yield
    except duckdb.Error as error:
        raise _source_error(error) from error


def _source_error(error: Exception) -> SourceError:
    reason = printable(str(error).splitlines()[0])
    return SourceError(
        f"the capture could not be read: {reason}", hint="opslib capture verify DIR names the file"
    )


def _require_some(parts: Parts, folder: Path) -> None:
    if (
        parts.signal == "spans" and parts.missing and not parts.parts
    ):  # the others' absence is told, and no end
        raise CaptureError(
            f"no {parts.signal} of {folder} can be read: {parts.warnings[0]}",
            hint=f"opslib capture verify {folder}",
        )
