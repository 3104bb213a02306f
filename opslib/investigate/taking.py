"""Evidence taken from servers: both windows of every signal as a capture, with what no row of it tells.

What is diagnosed live is this capture, so that diagnosing an export of it again gives the same bytes.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path

from opslib.core.clock import Clock
from opslib.core.redact import Redactor
from opslib.core.settings import Environment
from opslib.investigate.windows import Choice
from opslib.telemetry import Sources, connect_capture
from opslib.telemetry.capture import Capture, export
from opslib.telemetry.capture.occasion import Occasion


def is_captured(sources: Sources) -> bool:
    """Tell whether everything that may be asked lies in captures."""
    named = (sources.traces, sources.logs, sources.metrics, sources.changes)
    return all(source is None or isinstance(source, Capture) for source in named)


def occasion_of(sources: Sources) -> Occasion | None:
    """Return what was known when a capture that nobody writes any more was taken."""
    traces = sources.traces
    return traces.meta.occasion if isinstance(traces, Capture) and not traces.live else None


def take(sources: Sources, choice: Choice, environment: Environment, out: Path, clock: Clock) -> Path:
    """Write the evidence of the chosen windows to a new folder. Raises SourceError, RefusedError and CaptureError."""
    occasion = Occasion(
        told=choice.told,
        onset=choice.onset,
        warnings=(*choice.warnings, *not_asked(sources)),
        services=tuple(sorted(environment.services)),
        redaction=environment.redaction.afterwards(),
    )
    mask = Redactor(rules=environment.redaction)
    return export(sources, choice.windows, out, clock=clock, redactor=mask, occasion=occasion)


def taken_from_servers(
    sources: Sources, choice: Choice, environment: Environment, clock: Clock
) -> tuple[Sources, Choice]:
    """Return the sources as a capture of the chosen windows, which ends with them, and the choice as it tells it."""
    folder = Path(tempfile.mkdtemp(prefix="opslib-evidence-"))
    try:
        take(sources, choice, environment, folder, clock)
        taken = connect_capture(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(taken.traces, shutil.rmtree, folder, ignore_errors=True)
    occasion = occasion_of(taken)
    return taken, choice if occasion is None else replace(choice, warnings=occasion.warnings)


def not_asked(sources: Sources) -> tuple[str, ...]:
    """Say which signals an environment names no source of."""
    named = {
        "traces": sources.traces,
        "logs": sources.logs,
        "metrics": sources.metrics,
        "changes": sources.changes,
    }
    return tuple(
        f"the environment names no source of {name}" for name, source in named.items() if source is None
    )
