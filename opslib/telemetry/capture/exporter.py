"""Evidence that can be carried away: both windows of every signal in a new folder, which appears only when complete."""

from __future__ import annotations

from pathlib import Path

from opslib.core.clock import Clock, SystemClock
from opslib.core.redact import Redactor
from opslib.core.windows import Windows
from opslib.telemetry.capture.appearing import appearing
from opslib.telemetry.capture.occasion import Occasion
from opslib.telemetry.capture.writer import LOCK, CaptureWriter
from opslib.telemetry.collect import Signals, collect, redact_frame
from opslib.telemetry.protocols import Sources


def export(
    sources: Sources,
    windows: Windows,
    out: Path,
    *,
    clock: Clock | None = None,
    redactor: Redactor | None = None,
    occasion: Occasion | None = None,
) -> Path:
    """Write whole traces, logs, metrics and changes of both windows to `out`, secrets masked; return `out`.

    Raises RefusedError where `out` holds anything, CaptureError where it cannot be written, SourceError.
    """
    with appearing(out, "an export") as hidden:
        _write(sources, windows, hidden, clock or SystemClock(), redactor or Redactor(), occasion=occasion)
    return out


def _write(
    sources: Sources,
    windows: Windows,
    folder: Path,
    clock: Clock,
    mask: Redactor,
    *,
    occasion: Occasion | None,
) -> None:
    signals = collect(sources, windows, mask)
    notes = list(signals.notes)
    selection = None
    with CaptureWriter(folder, clock=clock, fan_out=0) as writer:
        if sources.traces is not None:
            spans = sources.traces.spans(windows)
            notes, selection = [spans.note, *notes], spans.selection
            for frame in sources.traces.span_rows(windows):
                writer.append("spans", redact_frame(frame, mask))
        _write_signals(writer, signals)
        writer.close(windows, [note for note in notes if note.kind], selection, occasion)
    (folder / LOCK).unlink()


def _write_signals(writer: CaptureWriter, signals: Signals) -> None:
    writer.append("logs", signals.logs)
    writer.append("metrics", signals.metrics)
    writer.append("events", signals.events)
    writer.append("topology", signals.topology)
