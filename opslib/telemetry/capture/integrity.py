"""Is a capture whole and of the right shape? Each question is a check; whatever is wrong, no exception reaches the asker."""
# ruff: noqa: S608 - every text put into SQL is a constant of this package, an integer, or a quoted path

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from opslib.core.blocks import LONGEST_NS, root_rows
from opslib.core.checks import Check
from opslib.core.columns import COLUMNS, SignalFile
from opslib.core.errors import OpslibError
from opslib.core.evidence import ORPHAN, SpanBlock
from opslib.core.outcome import Outcome
from opslib.core.windows import Window
from opslib.core.words import printable, share
from opslib.telemetry.capture.asking import ask
from opslib.telemetry.capture.engine import (
    Part,
    Parts,
    ReadLimits,
    first_unreadable,
    open_engine,
    rows_sql,
)
from opslib.telemetry.capture.files import find_parts
from opslib.telemetry.capture.manifest import MANIFEST, CaptureMeta, FileEntry, inside, read_meta, signal_of
from opslib.telemetry.capture.reader import open_capture

_AGAIN = "export it again, or restore the file from where it came"
_INTEGERS = {
    "BIGINT",
    "INTEGER",
    "SMALLINT",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
    "USMALLINT",
    "UTINYINT",
    "HUGEINT",
}


def verify(path: Path, *, limits: ReadLimits | None = None) -> tuple[Check, ...]:
    """Check capture.json, every file (there, checksum, rows, columns, types, readable), the windows, ids and parents."""
    try:
        meta = read_meta(path)
    except OpslibError as error:
        return (Check(MANIFEST, Outcome.FAIL, printable(str(error), 400), error.hint),)
    chosen = limits or ReadLimits()
    first = Check(MANIFEST, Outcome.PASS, f"schema {meta.schema}, {len(_names(path, meta))} files")
    files = tuple(_file(path, meta, name, chosen) for name in _names(path, meta))
    return (first, *files, *_content(path, meta, chosen))


def _names(path: Path, meta: CaptureMeta) -> list[str]:
    lying = [p.name for p in path.iterdir() if signal_of(p.name)] if meta.files is None else []
    return sorted({*lying, *(meta.files or {})})


def _file(path: Path, meta: CaptureMeta, name: str, limits: ReadLimits) -> Check:
    entry = (meta.files or {}).get(name, FileEntry())
    try:
        faults = list(_faults(inside(path, name), entry, signal_of(name), limits))
    except (OpslibError, OSError, duckdb.Error) as error:
        faults = [str(error)]
    if faults:
        return Check(printable(name), Outcome.FAIL, printable("; ".join(faults), 400), _AGAIN)
    known = "checksum right" if entry.sha256 else "no checksum to compare"
    return Check(printable(name), Outcome.PASS, f"readable, columns and types right, {known}")


def _faults(file: Path, entry: FileEntry, signal: SignalFile | None, limits: ReadLimits) -> Iterator[str]:
    if not file.is_file():
        yield "it is not there"
        return
    if entry.sha256 is not None:
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != entry.sha256.lower():
                yield "its checksum is another"
    if signal is None:
        return
    with open_engine(file.parent, limits) as con:
        alone = CaptureMeta(read_meta(file.parent).windows, files={file.name: entry})
        found = find_parts(con, file.parent, alone, signal)
        yield from (text for text in found.warnings if text.startswith(printable(file.name)))
        for part in found.parts:
            yield from _columns(part, signal)
            bad = first_unreadable(con, found)
            if bad:
                yield bad[1].splitlines()[0]


def _columns(part: Part, signal: SignalFile) -> Iterator[str]:
    for column in COLUMNS[signal]:
        kind = part.types.get(column.name)
        if kind is None:
            if column.required:
                yield f"it has no column {column.name}"
        elif not (kind == column.type or (column.type == "BIGINT" and kind in _INTEGERS)):
            yield f"column {column.name} is {kind}, not {column.type}"


def _content(path: Path, meta: CaptureMeta, limits: ReadLimits) -> Iterator[Check]:
    try:
        rows, wrong, untimed = ask(path, limits, "spans", _count_wrong)[0]
        yield _ids(rows, wrong)
        yield _times(rows, untimed)
        spans = open_capture(path, limits=limits).spans(meta.windows)
        seen = [_Seen.of(block) for block in spans.blocks]
    except OpslibError as error:
        yield Check("spans", Outcome.FAIL, printable(str(error), 400), error.hint)
        return
    starts = np.concatenate([s.starts for s in seen]) if seen else np.empty(0, np.int64)
    for name, window in (("incident", meta.windows.incident), ("baseline", meta.windows.baseline)):
        yield _window(name, window, starts, any_span=rows > 0)
    if not rows:
        return
    read, orphans = sum(s.rows for s in seen), sum(s.orphans for s in seen)
    outcome = Outcome.FAIL if 2 * orphans > read else Outcome.PASS
    yield Check("parents", outcome, f"spans whose parent is not here: {share(orphans, read)}")
    yield Check(
        "repeats", Outcome.PASS, f"{sum(s.repeats for s in seen):,} rows repeat a span; reading drops them"
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of a block: starts of its roots (number of traces,), and counts."""

    starts: NDArray[np.int64]
    rows: int
    orphans: int
    repeats: int

    @classmethod
    def of(cls, block: SpanBlock) -> _Seen:
        orphans = int((block.parent == ORPHAN).sum())
        return cls(block.start[root_rows(block)], len(block), orphans, block.duplicates)


def _window(name: str, window: Window | None, starts: NDArray[np.int64], *, any_span: bool) -> Check:
    if window is None:
        return Check(f"window {name}", Outcome.PASS, "none is stated")
    traces = int(((starts >= window.start_ns) & (starts < window.end_ns)).sum())
    outcome = Outcome.PASS if traces or not any_span else Outcome.NO_DATA
    return Check(f"window {name}", outcome, f"{traces:,} traces in {window}")


def _count_wrong(con: duckdb.DuckDBPyConnection, parts: Parts) -> tuple[int, int, int]:
    """Return the number of rows, of those with an id that is none, and of those with times that cannot be."""
    good = "regexp_full_match(trace_id, '[0-9a-f]{32}') AND regexp_full_match(span_id, '[0-9a-f]{16}')"
    good += " AND coalesce(regexp_full_match(parent_span_id, '[0-9a-f]{16}'), true)"
    # divided, so that no difference of two times overflows
    timed = "start_time_unix_nano >= 0 AND end_time_unix_nano >= start_time_unix_nano "
    timed += f"AND end_time_unix_nano // 2 - start_time_unix_nano // 2 <= {LONGEST_NS // 2}"
    counts = ", ".join(f"count(*) FILTER (WHERE coalesce({right}, false))" for right in (good, timed))
    rows, right, timely = con.execute(f"SELECT count(*), {counts} FROM ({rows_sql(parts)})").fetchall()[0]
    return rows, rows - right, rows - timely


def _times(rows: int, wrong: int) -> Check:
    statement = (
        f"spans that start before 1970, end before they start or last over a week: {share(wrong, rows)}"
    )
    if wrong:
        return Check(
            "times",
            Outcome.FAIL,
            statement,
            "times are unix nanoseconds; whoever reads them says what became of them",
        )
    return Check("times", Outcome.PASS, statement if rows else "there are no spans")


def _ids(rows: int, wrong: int) -> Check:
    statement = (
        f"spans whose ids are not 32 and 16 hex digits: {share(wrong, rows)}"
        if rows
        else "there are no spans"
    )
    if wrong:
        return Check("ids", Outcome.FAIL, statement, "ids are lower case, a root's parent is null")
    return Check("ids", Outcome.PASS, statement)
