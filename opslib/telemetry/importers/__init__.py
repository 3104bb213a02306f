"""Evidence in other people's files becomes a capture: OTLP JSON and protobuf, Jaeger JSON, told apart by content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import CaptureError
from opslib.core.windows import Window, Windows, rfc3339
from opslib.core.words import printable
from opslib.telemetry.capture.appearing import appearing
from opslib.telemetry.importers.pool import run_tasks
from opslib.telemetry.importers.tasks import Part, Result, Task, find_files, plan

if TYPE_CHECKING:
    from opslib.core.evidence import SourceNote

__all__ = ["import_paths"]

_MAX_NAMED = 20  # files named in a warning or an error
_HINT = "known: OTLP JSON (lines or one text, also zstd or gzip), OTLP protobuf, Jaeger JSON of /api/traces and /api/v3"
_SIGNALS = {"spans": "trace", "logs": "log", "metrics": "metric"}
_FORMATS = {"jaeger": "jaeger", "spans": "otlp", "logs": "otlp", "metrics": "otlp"}


def import_paths(
    paths: Sequence[Path],
    out: Path,
    *,
    progress: Callable[[str], None],
    workers: int = 2,
    clock: Clock | None = None,
) -> Path:
    """Read files and folders into the new capture `out` and return it; what cannot be read is named and left out.

    The incident window is [first root's start, last span's end + 1), there is no baseline. Raises RefusedError where
    `out` holds anything, CaptureError where nothing could be read or `out` cannot be written.
    """
    with appearing(out, "an import") as hidden:
        found = find_files(paths)
        failures = [(str(path), why) for path, why in found.passed_over]
        results = run_tasks(plan(found.files), hidden, workers, _teller(progress, found.files))
        failures += dict.fromkeys(failure for result in results for failure in result.failures)
        warnings = _finish(hidden, results, failures, paths, clock or SystemClock())
    for line in warnings:
        progress(line)
    return out


def _teller(
    progress: Callable[[str], None], files: Sequence[tuple[Path, int]]
) -> Callable[[Task, Result], None]:
    total = max(sum(size for _, size in files), 1)
    read = records = 0

    def done(task: Task, result: Result) -> None:
        nonlocal read, records
        read += task.size
        records += result.records
        progress(f"read {min(100, 100 * read // total)} % of {total / 1e6:,.1f} MB, {records:,} records")

    return done


def _finish(
    folder: Path,
    results: Sequence[Result],
    failures: Sequence[tuple[str, str]],
    paths: Sequence[Path],
    clock: Clock,
) -> tuple[str, ...]:
    """Name the parts, write capture.json and return its warnings. Raises CaptureError where there is no row at all."""
    from opslib.telemetry.capture.manifest import CaptureMeta, FileEntry, write_meta  # noqa: PLC0415 - pandas with it

    parts = [part for result in results for part in result.parts]
    refused = sum((Counter(result.refused) for result in results), Counter())
    if not parts:
        reasons = _named(failures) + [f"{count:,} x {reason}" for reason, count in sorted(refused.items())]
        raise CaptureError("\n".join(["nothing could be imported", *reasons]), hint=_HINT)
    files = {}
    for number, part in enumerate(parts):
        name = f"{part.signal}-{number:06d}.parquet"
        (folder / part.path).rename(folder / name)
        files[name] = FileEntry(part.sha256, part.rows, part.first_ns, part.last_ns + 1)
    warnings = tuple(
        _named(failures) + [f"{count:,} x {reason}" for reason, count in sorted(refused.items())]
    )
    meta = CaptureMeta(
        windows=Windows(_window(parts)),
        created=rfc3339(clock.now_ns()),
        sources=tuple(_notes(parts, results, paths, warnings)),
        files=files,
    )
    write_meta(folder, meta)
    return warnings


def _window(parts: Sequence[Part]) -> Window:
    """Return [first root's start, last end + 1): of the spans, without any of what else there is."""
    spans = [part for part in parts if part.signal == "spans"] or list(parts)
    roots = [part.first_root_ns for part in spans if part.first_root_ns is not None]
    start = min(roots) if roots else min(part.first_ns for part in spans)
    return Window(start, max(part.last_ns for part in spans) + 1)


def _notes(
    parts: Iterable[Part], results: Sequence[Result], paths: Sequence[Path], warnings: tuple[str, ...]
) -> list[SourceNote]:
    from opslib.core.evidence import SourceNote  # noqa: PLC0415 - pandas with it

    rows: Counter[str] = Counter()
    for part in parts:
        rows[part.signal] += part.rows
    forms = {form for result in results for form in result.forms}
    kind = "+".join(sorted({_FORMATS[form] for form in forms}))
    names = ", ".join(path.name for path in paths[:_MAX_NAMED])
    return [
        SourceNote(_SIGNALS[signal], kind, names, "opslib capture import", rows[signal], warnings=said)
        for signal, said in zip(sorted(rows), chain([warnings], repeat(())), strict=False)
    ]


def _named(failures: Sequence[tuple[str, str]]) -> list[str]:
    lines = [
        f"{printable(Path(path).name)} was left out: {printable(why, 300)}"
        for path, why in failures[:_MAX_NAMED]
    ]
    more = len(failures) - _MAX_NAMED
    return [*lines, f"and {more:,} more files"] if more > 0 else lines
