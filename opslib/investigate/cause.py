"""The use case: choose windows, fetch, diagnose, hand over. The same path for a notebook, the command line and CI."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import SourceError
from opslib.core.evidence import Evidence
from opslib.core.model import Verdict
from opslib.core.redact import Redaction, Redactor
from opslib.core.settings import Environment, Settings, load_environment
from opslib.core.windows import Window, Windows
from opslib.diagnosis import Diagnosis, calls_of, diagnose, find_course
from opslib.investigate.gather import gather, holds_data, require_service
from opslib.investigate.investigation import Investigation
from opslib.investigate.slo import slo_of
from opslib.investigate.taking import is_captured, occasion_of, take, taken_from_servers
from opslib.investigate.windows import LAST_NS, Choice, Extent, Recent, choose, no_data
from opslib.telemetry import Sources, connect, connect_capture
from opslib.telemetry.capture import Capture

Diagnose = Callable[[Evidence, str | None], Diagnosis]


@dataclass(frozen=True, slots=True)
class Question:
    """Where to look and when; empty texts leave the windows to `choose`."""

    service: str | None
    environment: Environment
    sources: Sources
    window: str
    baseline: str
    clock: Clock
    capture: Path | None

    @property
    def known_services(self) -> frozenset[str]:
        """Return whom the service map knows, or knew when the evidence was taken."""
        occasion = occasion_of(self.sources)
        return frozenset((*self.environment.services, *(occasion.services if occasion else ())))

    @property
    def redaction(self) -> Redaction:
        occasion = occasion_of(self.sources)
        return occasion.redaction if occasion else self.environment.redaction


def find_cause(
    service: str | None = None,
    *,
    environment: str = "lab",
    capture: str | Path | None = None,
    window: str = "",
    baseline: str = "",
    settings: Settings | None = None,
    clock: Clock | None = None,
    diagnose: Diagnose = diagnose,
) -> Investigation:
    """Say why calls of a service are slow or failing; without a service, of those root operations that are.

    `window` and `baseline`: `last 15m` or START/END in RFC 3339; left empty they are chosen, and the investigation
    says how. Raises EnvironmentNotFoundError, CaptureError, ServiceNotFoundError, WindowError and SourceError.
    """
    started = time.perf_counter()
    question = ask(
        service, environment, capture, window=window, baseline=baseline, settings=settings, clock=clock
    )
    asked, choice = question, choose_windows(question)
    if not is_captured(question.sources):
        sources, choice = taken_from_servers(question.sources, choice, question.environment, question.clock)
        question = replace(question, sources=sources)
    redactor = Redactor(rules=question.redaction)
    evidence, blocks = gather(question.sources, choice, question.known_services, redactor)
    _require(asked, question.sources, evidence)
    load_s = time.perf_counter() - started
    blocks.seconds.clear()
    diagnosis = diagnose(evidence, question.service)
    return Investigation(
        service=question.service,
        environment=question.environment,
        verdict=_told(diagnosis.verdict, choice),
        diagnosis=diagnosis,
        evidence=evidence,
        sources=question.sources,
        window_choice=choice.how,
        capture=question.capture,
        timings=_timings(load_s, sum(blocks.seconds), diagnosis.timings),
        redactor=redactor,
    )


def export_evidence(out: str | Path, question: Question) -> Path:
    """Write what `find_cause` would read into a new folder. Raises as `find_cause`, and RefusedError."""
    choice, folder = choose_windows(question), Path(out)
    take(question.sources, choice, question.environment, folder, question.clock)
    try:
        taken = replace(question, sources=connect_capture(folder))
        evidence, _ = gather(taken.sources, choice, taken.known_services, Redactor(rules=taken.redaction))
        _require(question, taken.sources, evidence)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def ask(
    service: str | None = None,
    environment: str = "lab",
    capture: str | Path | None = None,
    *,
    window: str = "",
    baseline: str = "",
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> Question:
    """Find the environment or capture and connect. Raises EnvironmentNotFoundError, CaptureError and UsageError."""
    folder = Path(capture) if capture else None
    if folder is not None:
        named, sources = Environment(environment), connect_capture(folder)
    else:
        named = load_environment(environment, settings or Settings.from_environ())
        sources = connect(named, clock)
    return Question(service or None, named, sources, window, baseline, clock or SystemClock(), folder)


def choose_windows(question: Question) -> Choice:
    """Choose the windows of a question. Raises WindowError where the source holds nothing yet."""
    traces = question.sources.traces
    if traces is None:
        raise SourceError(
            "the environment names no source of traces", hint="add `traces` to it in opslib.toml"
        )
    own = _own_windows(question.sources)
    data = traces.extent() or (own.incident if own else None)
    if data is None:
        raise no_data()
    extent = Extent.still(data) if own else Extent.live(data, question.clock.now_ns())

    slo = slo_of(question.environment, question.service)

    def look(window: Window) -> Recent:
        calls = calls_of(traces.spans(Windows(window)).blocks, question.service)
        if not len(calls):
            return Recent()
        times, durations, errors, spans = (
            calls[name].to_numpy() for name in ("start_ns", "duration_ns", "error", "spans")
        )
        course = find_course(times, durations, errors, spans)
        present = times >= max(course.steady_ns or 0, window.end_ns - LAST_NS)
        return Recent(course.onset, course.steady_ns, slo.breach(durations[present], errors[present]))

    choice = choose(extent, asked=question.window, baseline=question.baseline, own=own, look=look)
    occasion = occasion_of(question.sources)
    if occasion is None:
        return choice
    choice = replace(choice, warnings=occasion.warnings)
    asked = question.window or question.baseline
    return choice if asked else replace(choice, told=occasion.told, onset=occasion.onset)


def _own_windows(sources: Sources) -> Windows | None:
    """Return the windows that the evidence itself states: those of a capture that is no longer written."""
    traces = sources.traces
    return traces.meta.windows if isinstance(traces, Capture) and not traces.live else None


def _require(question: Question, taken: Sources, evidence: Evidence) -> None:
    incident = evidence.windows.incident
    if question.service is not None:
        require_service(question.service, question.sources, evidence)
    extent = question.sources.traces.extent() if question.sources.traces else None
    if not holds_data(taken, evidence, incident):
        raise no_data(incident, extent)


def _told(verdict: Verdict, choice: Choice) -> Verdict:
    """Add to the summary what was chosen and not asked, and the onset where the diagnosis has none of its own."""
    summary = f"{verdict.summary.rstrip('.')} ({choice.told})." if choice.told else verdict.summary
    return replace(verdict, summary=summary, onset=verdict.onset or choice.onset)


def _timings(load_s: float, read_s: float, stages: dict[str, float]) -> dict[str, float]:
    """Return wall seconds by stage; what reading took between the blocks of the diagnosis counts as `load`."""
    return {"load": load_s + read_s, **stages}
