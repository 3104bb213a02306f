"""From sources and windows to evidence: everything is asked for, redacted, and what is missing is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from opslib.core.errors import ServiceNotFoundError, near_names
from opslib.core.evidence import Evidence, SourceNote, SpanBlock
from opslib.core.redact import Redactor
from opslib.core.windows import Window
from opslib.diagnosis import workloads_in
from opslib.investigate.taking import not_asked
from opslib.investigate.windows import Choice
from opslib.telemetry.collect import RedactedBlocks, collect
from opslib.telemetry.protocols import NOTE_SIGNAL, Blocks, Sources

_UNKNOWN = {"incident": "unknown", "baseline": "unknown"}


@dataclass(frozen=True, slots=True)
class Timed:
    """Blocks that say how long reading them took, wherever they are iterated."""

    blocks: Iterable[SpanBlock]
    seconds: list[float] = field(default_factory=list)

    def __iter__(self) -> Iterator[SpanBlock]:
        blocks = iter(self.blocks)
        while True:
            started = time.perf_counter()
            block = next(blocks, None)
            self.seconds.append(time.perf_counter() - started)
            if block is None:
                return
            yield block


def gather(
    sources: Sources, choice: Choice, known_services: Iterable[str], redactor: Redactor
) -> tuple[Evidence, Timed]:
    """Ask every source for both windows. Raises SourceError and CaptureError."""
    none = Blocks((), SourceNote(NOTE_SIGNAL["spans"], "", "", "", 0), _UNKNOWN)
    spans = sources.traces.spans(choice.windows) if sources.traces else none
    signals = collect(sources, choice.windows, redactor)
    blocks = Timed(RedactedBlocks(spans.blocks, redactor))
    evidence = Evidence(
        windows=choice.windows,
        spans=blocks,
        logs=signals.logs,
        metrics=signals.metrics,
        events=signals.events,
        topology=signals.topology,
        selection=spans.selection,
        notes=(spans.note, *signals.notes),
        known_services=frozenset(known_services),
        warnings=(*choice.warnings, *not_asked(sources)),
        attributed=_with_attributes(sources, choice, redactor),
    )
    return evidence, blocks


def _with_attributes(
    sources: Sources, choice: Choice, redactor: Redactor
) -> Callable[[Sequence[str]], Iterable[SpanBlock]]:
    """Return what reads some traces again with their attributes, which the first pass leaves out."""

    def ask(traces: Sequence[str]) -> Iterable[SpanBlock]:
        if sources.traces is None:
            return ()
        found = sources.traces.spans(choice.windows, attributes=True, traces=traces)
        return RedactedBlocks(found.blocks, redactor)

    return ask


def holds_data(sources: Sources, evidence: Evidence, window: Window) -> bool:
    """Tell whether any signal has data in a window."""
    if sources.traces is not None and sources.traces.services(window):
        return True
    return any(
        frame["time_unix_nano"].between(window.start_ns, window.end_ns, inclusive="left").any()
        for frame in (evidence.logs, evidence.metrics)
    )


def require_service(service: str, sources: Sources, evidence: Evidence) -> None:
    """Raise ServiceNotFoundError with near names, unless some signal or the service map bears the name."""
    if sources.traces is not None and service in sources.traces.services():
        return
    names = (
        set(sources.traces.services() if sources.traces else ()) | evidence.known_services | _named(evidence)
    )
    if service not in names:
        raise ServiceNotFoundError(
            f"no signal bears the name of a service {service!r}", hint=near_names(service, names)
        )


def _named(evidence: Evidence) -> set[str]:
    frames = (evidence.logs["service_name"], evidence.metrics["service_name"])
    columns = (*frames, evidence.topology["caller"], evidence.topology["callee"])
    names = {name for column in columns for name in column.dropna().unique() if isinstance(name, str)}
    names |= workloads_in(evidence.metrics)
    for block in evidence.spans:
        names |= {*block.service.values, *block.peer.values}
    return names
