"""Everything beside the spans that a diagnosis reads, for two windows, with secrets masked; an export writes the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import pandas as pd

from opslib.core.columns import COLUMNS, SignalFile
from opslib.core.evidence import SourceNote, SpanBlock, Strings
from opslib.core.redact import Redactor
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.telemetry.protocols import NOTE_SIGNAL, Frame, Sources

LOG_ROWS = 500_000  # of one window
CHANGES_BEFORE_S = 600  # a change may precede what it causes
_DTYPES = {"VARCHAR": "object", "BIGINT": "int64", "DOUBLE": "float64"}
_PROSE = ("name", "body", "message")
_JSON = ("attributes", "links", "labels")


@dataclass(frozen=True, slots=True)
class Signals:
    """Logs, metrics, events and topology of both windows; an absent signal is an empty frame with its columns."""

    logs: pd.DataFrame
    metrics: pd.DataFrame
    events: pd.DataFrame
    topology: pd.DataFrame
    notes: tuple[SourceNote, ...]


def collect(sources: Sources, windows: Windows, redactor: Redactor) -> Signals:
    """Ask the sources. Raises SourceError and CaptureError."""
    spans_of_time = disjoint(windows)
    around = changes_window(windows)
    logs, metrics, changes = sources.logs, sources.metrics, sources.changes
    frames = {
        "logs": _joined("logs", [logs.logs(w, limit=LOG_ROWS) for w in spans_of_time] if logs else []),
        "metrics": _joined("metrics", [metrics.metrics(w) for w in spans_of_time] if metrics else []),
        "events": _joined("events", [changes.events(around)] if changes else []),
        "topology": _joined("topology", [changes.topology()] if changes else []),
    }
    clean = {name: redact_frame(frame.frame, redactor) for name, frame in frames.items()}
    return Signals(**clean, notes=tuple(frame.note for frame in frames.values()))


def disjoint(windows: Windows) -> tuple[Window, ...]:
    """Return the two windows by start, as one where they overlap, so that no row is read twice."""
    ordered = sorted(
        (w for w in (windows.incident, windows.baseline) if w), key=lambda w: (w.start_ns, w.end_ns)
    )
    if len(ordered) == 2 and ordered[1].start_ns < ordered[0].end_ns:
        return (Window(ordered[0].start_ns, max(w.end_ns for w in ordered)),)
    return tuple(ordered)


def changes_window(windows: Windows) -> Window:
    """Return the window for changes: both windows, what lies between, and a while before the incident."""
    both = disjoint(windows)
    before = windows.incident.start_ns - CHANGES_BEFORE_S * NS_PER_S
    return Window(min(before, both[0].start_ns), both[-1].end_ns)


def empty_frame(signal: SignalFile) -> pd.DataFrame:
    """Return no rows with the signal's columns."""
    return pd.DataFrame({c.name: pd.Series(dtype=_DTYPES[c.type]) for c in COLUMNS[signal]})


def redact_frame(frame: pd.DataFrame, redactor: Redactor) -> pd.DataFrame:
    """Return the frame with secrets masked in its texts and in its JSON; untouched columns are shared."""
    changed = {
        column: _mapped(
            frame[column], (lambda t: redact_json(t, redactor)) if column in _JSON else redactor.text
        )
        for column in (*_PROSE, *_JSON)
        if column in frame.columns
    }
    return frame.assign(**{name: column for name, column in changed.items() if column is not None})


def redact_json(text: str, redactor: Redactor) -> str:
    """Return JSON text with secret values masked; text that is no JSON is treated as prose."""
    if not redactor.may_mask(text):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return redactor.text(text)
    masked = redactor.data(value)
    return text if masked == value else json.dumps(masked, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class RedactedBlocks:
    """Blocks whose operation names and attributes have secrets masked; as often iterable as what it wraps."""

    blocks: Iterable[SpanBlock]
    redactor: Redactor

    def __iter__(self) -> Iterator[SpanBlock]:
        for block in self.blocks:
            name = self._masked(block.name, self.redactor.text)
            attributes = block.attributes and self._masked(
                block.attributes, lambda t: redact_json(t, self.redactor)
            )
            yield replace(block, name=name, attributes=attributes)

    def _masked(self, strings: Strings, mask: Callable[[str], str]) -> Strings:
        values = strings.values  # noqa: PD011 - no frame
        if self.redactor.clean(values):
            return strings
        return Strings(strings.codes, tuple(map(mask, values)))


def _mapped(column: pd.Series, mask: Callable[[str], str]) -> pd.Series | None:
    """Return the column with each distinct text masked, None where nothing changes."""
    distinct = [text for text in column.dropna().unique() if isinstance(text, str)]
    changes = {text: masked for text in distinct if (masked := mask(text)) != text}
    if not changes:
        return None
    return column.map(lambda text: changes.get(text, text) if isinstance(text, str) else text)


def _joined(signal: SignalFile, frames: list[Frame]) -> Frame:
    if not frames:
        return Frame(empty_frame(signal), SourceNote(NOTE_SIGNAL[signal], "", "", "", 0))
    notes = [frame.note for frame in frames]
    note = replace(
        notes[0],
        query="; ".join(dict.fromkeys(note.query for note in notes)),
        rows=sum(note.rows for note in notes),
        truncated=any(note.truncated for note in notes),
        warnings=tuple(dict.fromkeys(text for note in notes for text in note.warnings)),
    )
    full = [frame.frame for frame in frames if len(frame.frame)]
    return Frame(pd.concat(full, ignore_index=True) if full else empty_frame(signal), note)
