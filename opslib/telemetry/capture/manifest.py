"""capture.json: what a capture says about itself. Read as hostile text, written atomically.

A file it names is a plain name inside the folder: no separator, no `..`, no link that leaves the folder.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opslib.core.columns import COLUMNS, SignalFile
from opslib.core.errors import CaptureError, WindowError
from opslib.core.evidence import SourceNote
from opslib.core.foreign import read_json
from opslib.core.journal import write_json
from opslib.core.windows import Window, Windows
from opslib.core.words import printable
from opslib.telemetry.capture.occasion import Occasion

MANIFEST = "capture.json"
SCHEMA = 1
UNKNOWN_SELECTION = {"incident": "unknown", "baseline": "unknown"}
_MAX_BYTES = 64_000_000
_HINT = "a capture is a folder with capture.json and spans*.parquet; `opslib capture verify DIR` says more"
_SIGNAL_FILE = re.compile(rf"({'|'.join(COLUMNS)})[^/\\]*\.parquet")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What capture.json says of one file; None where it does not say. Times are those of its rows, [start, end)."""

    sha256: str | None = None
    rows: int | None = None
    start_ns: int | None = None
    end_ns: int | None = None

    def to_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {"sha256": self.sha256, "rows": self.rows}
        if self.start_ns is not None and self.end_ns is not None:
            record |= {"start_time_unix_nano": self.start_ns, "end_time_unix_nano": self.end_ns}
        return record


@dataclass(frozen=True, slots=True)
class CaptureMeta:
    """The content of capture.json; `files` is None where it lists none, then every signal file of the folder counts."""

    windows: Windows
    created: str = ""
    selection: Mapping[str, str] = field(default_factory=lambda: dict(UNKNOWN_SELECTION))
    sources: tuple[SourceNote, ...] = ()
    files: Mapping[str, FileEntry] | None = None
    occasion: Occasion | None = None  # of evidence that an investigation took with it
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        baseline = self.windows.baseline
        windows = {"incident": _pair(self.windows.incident)}
        content: dict[str, Any] = {
            "schema": self.schema,
            "created": self.created,
            "windows": windows | ({"baseline": _pair(baseline)} if baseline else {}),
            "selection": dict(self.selection),
            "sources": [_note_dict(note) for note in self.sources],
        }
        if self.occasion is not None:
            content["occasion"] = self.occasion.to_dict()
        if self.files is not None:
            content["files"] = {name: entry.to_dict() for name, entry in sorted(self.files.items())}
        return content


def signal_of(name: str) -> SignalFile | None:
    """Return the signal that a file of this name holds, None for any other file."""
    match = _SIGNAL_FILE.fullmatch(name)
    return next(signal for signal in COLUMNS if signal == match[1]) if match else None


def read_meta(folder: Path) -> CaptureMeta:
    """Read `folder/capture.json`. Raises CaptureError with a hint for whatever is wrong with it."""
    path = folder / MANIFEST
    try:
        content = read_json(_text_of(path))
    except OSError as error:
        raise CaptureError(f"{folder} is no capture: {error.strerror} ({MANIFEST})", hint=_HINT) from error
    except ValueError as error:
        raise CaptureError(f"{path} is no JSON: {printable(str(error))}", hint=_HINT) from error
    if not isinstance(content, dict):
        raise CaptureError(f"{path} holds no JSON object", hint=_HINT)
    _require_schema(content.get("schema"), path)
    return CaptureMeta(
        windows=_windows(content.get("windows"), path),
        created=_text(content.get("created")),
        selection=_selection(content.get("selection")),
        sources=tuple(_notes(content.get("sources"))),
        files=_files(content.get("files"), path),
        occasion=Occasion.from_dict(content.get("occasion")),
    )


def _text_of(path: Path) -> str:
    """Read a regular file and no other: opening a pipe waits for ever, and a device never ends."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise CaptureError(f"{path} is no regular file", hint=_HINT)
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise CaptureError(f"{path} is larger than {_MAX_BYTES // 1_000_000} MB", hint=_HINT)
    return data.decode()


def write_meta(folder: Path, meta: CaptureMeta) -> None:
    """Replace capture.json atomically."""
    write_json(folder / MANIFEST, meta.to_dict())


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file that a capture names. Raises CaptureError where it would leave the folder."""
    plain = name not in {"", ".", ".."} and not any(c in name for c in "/\\\0")
    path = folder / name if plain else folder
    if not plain or not _leads_inside(path, folder):
        raise CaptureError(
            f"the capture names a file outside its folder: {printable(name)!r}",
            hint="it was not written by a well-meaning tool; do not use it",
        )
    return path


def _leads_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that lead to each other, a name longer than a file's can be
        return False


def _require_schema(schema: Any, path: Path) -> None:
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise CaptureError(f"{path} says no `schema`", hint=_HINT)
    if schema > SCHEMA:
        raise CaptureError(
            f"{path} has schema {schema}, this version reads up to {SCHEMA}", hint="update opslib-notebooks"
        )


def _windows(value: Any, path: Path) -> Windows:
    pairs = value if isinstance(value, dict) else {}
    incident = _window(pairs.get("incident"), path)
    if incident is None:
        raise CaptureError(
            f"{path} says no `windows.incident`", hint="it is [start, end) in unix nanoseconds"
        )
    return Windows(incident, _window(pairs.get("baseline"), path))


def _window(value: Any, path: Path) -> Window | None:
    if value is None:
        return None
    if not isinstance(value, list) or [type(item) for item in value] != [int, int]:
        raise CaptureError(
            f"{path} has a window that is not two integers", hint="[start, end) in unix nanoseconds"
        )
    if not all(abs(item) < 2**63 for item in value):
        raise CaptureError(f"{path} has a window beyond 64 bits", hint="[start, end) in unix nanoseconds")
    try:
        return Window(*value)
    except WindowError as error:
        raise CaptureError(f"{path}: {error}", hint="[start, end) in unix nanoseconds") from error


def _selection(value: Any) -> dict[str, str]:
    stated = value if isinstance(value, dict) else {}
    return {name: _text(stated.get(name)) or "unknown" for name in UNKNOWN_SELECTION}


def _files(value: Any, path: Path) -> dict[str, FileEntry] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise CaptureError(
            f"{path}: `files` is no object", hint='{"spans.parquet": {"sha256": ..., "rows": ...}}'
        )
    entries = {}
    for name, entry in value.items():
        inside(path.parent, name)
        stated = entry if isinstance(entry, dict) else {}
        sha256 = stated.get("sha256")
        entries[name] = FileEntry(
            sha256 if isinstance(sha256, str) else None,
            _int(stated.get("rows")),
            _int(stated.get("start_time_unix_nano")),
            _int(stated.get("end_time_unix_nano")),
        )
    return entries


def _int(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**63 else None


def _notes(value: Any) -> list[SourceNote]:
    notes = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return [
        SourceNote(
            signal=_text(item.get("signal")),
            kind=_text(item.get("kind")),
            url=_text(item.get("url")),
            query=_text(item.get("query")),
            rows=item["rows"] if type(item.get("rows")) is int else 0,
            truncated=item.get("truncated") is True,
            warnings=tuple(_text(w) for w in item.get("warnings") or () if isinstance(w, str)),
        )
        for item in notes
    ]


def _note_dict(note: SourceNote) -> dict[str, Any]:
    return {
        "signal": note.signal,
        "kind": note.kind,
        "url": note.url,
        "query": note.query,
        "rows": note.rows,
        "truncated": note.truncated,
        "warnings": list(note.warnings),
    }


def _text(value: Any) -> str:
    return value[:10_000] if isinstance(value, str) else ""


def _pair(window: Window) -> list[int]:
    return [window.start_ns, window.end_ns]
