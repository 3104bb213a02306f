"""One look at log records: those that match, how many there were by level over time, and which patterns came more often.

Only the records are narrowed by pod, level, trace and text; rates and patterns tell of all records of the services, so
that what was asked for can be seen beside the rest. Nothing is said of a window that was not asked of the source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from opslib.core.clock import Clock
from opslib.core.errors import ServiceNotFoundError, SourceError, UsageError, near_names
from opslib.core.evidence import SourceNote
from opslib.core.ids import TRACE_BYTES, hex_id
from opslib.core.model import Onset
from opslib.core.redact import Redactor
from opslib.core.settings import Environment, Settings
from opslib.core.severity import LEVELS, at_least
from opslib.core.windows import NS_PER_S, STEPS_S, Window, Windows, parse_window
from opslib.core.words import duration
from opslib.diagnosis import line_pattern
from opslib.investigate.cause import Question, ask, choose_windows
from opslib.investigate.windows import LOOK_BACK_NS, Choice
from opslib.telemetry.collect import redact_frame
from opslib.telemetry.protocols import Frame, LogSource

MAX_RECORDS = 5_000
_BUCKETS = 60  # of both windows together
_AROUND_NS = 150 * NS_PER_S  # a trace that is asked for is looked at in its surroundings
_BROAD = 20  # records are masked here: so many times the limit are looked through for a pattern
_MASKS = re.compile(
    r"\w*<(?:text|uuid|ip|hex|n)>\w*"
)  # what varies in a pattern, with the word it is part of


@dataclass(frozen=True, slots=True)
class Asked:
    """What narrows the records; an empty text narrows nothing. `level` means this one and the louder ones."""

    pod: str = ""
    level: str = ""
    trace_id: str = ""
    text: str = ""
    limit: int = 200

    @property
    def is_pattern(self) -> bool:
        return _MASKS.search(self.text) is not None

    def __str__(self) -> str:
        level = "" if self.level in ("", "ERROR") else f"{self.level} or louder"
        named = {"pod": self.pod, "level": level or self.level, "trace": self.trace_id, "text": self.text}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value)


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """What the source said. Frames: `records` with the columns of logs; `rates` and `patterns` as LogSource has them.

    `rates` bears the column `window`, `baseline` or `incident`, too; each bucket is `step_s` long and starts at its time.
    """

    question: Question
    asked: Asked
    choice: Choice
    step_s: int
    records: pd.DataFrame
    rates: pd.DataFrame
    patterns: pd.DataFrame
    notes: tuple[SourceNote, ...]
    redactor: Redactor = field(default_factory=Redactor)

    @property
    def service(self) -> str:
        """Whose records they are; empty for those of all services."""
        return self.question.service or ""

    @property
    def environment(self) -> Environment:
        return self.question.environment

    @property
    def windows(self) -> Windows:
        return self.choice.windows

    @property
    def onset(self) -> Onset | None:
        return self.choice.onset

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing; that there are more records than were asked for is no gap."""
        records, *others = self.notes
        notes = others if records.truncated else self.notes
        told = (warning for note in notes for warning in note.warnings)
        return tuple(dict.fromkeys((*self.choice.warnings, *told)))


def query_logs(
    service: str | None = None,
    *,
    environment: str = "lab",
    capture: str | Path | None = None,
    window: str = "",
    baseline: str = "",
    pod: str = "",
    level: str = "",
    trace_id: str = "",
    text: str = "",
    limit: int = 200,
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> LogAnswer:
    """Ask for log records, their rates and their patterns, of one service or of all.

    Windows as `find_cause` has them; left empty they are chosen as it chooses them, for a trace around it. `text` is to
    be found in a line, or is a pattern as the table of patterns writes them. Raises as `find_cause`, and UsageError.
    """
    asked = Asked(pod.strip(), level.strip().upper(), full_trace_id(trace_id), text.strip(), limit)
    _check(asked)
    question = ask(
        service, environment, capture, window=window, baseline=baseline, settings=settings, clock=clock
    )
    logs = question.sources.logs
    if logs is None:
        raise SourceError("the environment names no source of logs", hint="add `logs` to it in opslib.toml")
    choice = _windows(question, asked.trace_id)
    step_s, services = step_of(choice.windows), [service] if service else None
    records = _records(logs, choice.windows.incident, services, asked)
    rates = _rates(logs, choice.windows, step_s, services)
    patterns = logs.log_patterns(choice.windows, services=services)
    if service and rates.frame.empty and records.frame.empty:
        _require(service, question)
    redactor = Redactor(rules=question.redaction)
    return LogAnswer(
        question,
        asked,
        choice,
        step_s,
        redact_frame(records.frame, redactor),
        rates.frame,
        _masked(patterns.frame, redactor),
        (records.note, rates.note, patterns.note),
        redactor,
    )


def full_trace_id(text: str) -> str:
    """Return a trace id as the evidence has it, 32 hex digits; an empty text stays empty. Raises UsageError."""
    found = hex_id(text.strip(), TRACE_BYTES, short_hex=True) if text.strip() else ""
    if found is None:
        raise UsageError(f"no trace id: {text!r}", hint="it has at most 32 digits of 0 to 9 and a to f")
    return found


def step_of(windows: Windows) -> int:
    """Return the width of a bucket in seconds: the least that cuts both windows into at most 60."""
    length_s = sum(w.length_ns for w in (windows.incident, windows.baseline) if w) / NS_PER_S
    return next((step for step in STEPS_S if length_s <= _BUCKETS * step), int(length_s / _BUCKETS) + 1)


def _check(asked: Asked) -> None:
    if asked.level and asked.level not in LEVELS:
        raise UsageError(f"there is no level {asked.level!r}", hint=f"one of {', '.join(LEVELS)}, or empty")
    if not 1 <= asked.limit <= MAX_RECORDS:
        raise UsageError(f"a limit of {asked.limit} records", hint=f"ask for 1 to {MAX_RECORDS:,}")


def _windows(question: Question, trace_id: str) -> Choice:
    """Choose as an investigation does; around a trace that is asked for; by the clock where there are no traces."""
    traces = question.sources.traces
    if traces is not None and trace_id and not question.window:
        spans = traces.trace(trace_id).frame
        if len(spans):
            start = int(spans["start_time_unix_nano"].min()) - _AROUND_NS
            around = Window(start, int(spans["end_time_unix_nano"].max()) + _AROUND_NS)
            how = f"{duration(_AROUND_NS)} before and after the trace"
            return Choice(Windows(around, around.before()), how, how)
    if traces is not None:
        return choose_windows(question)
    now_ns = question.clock.now_ns()
    asked = parse_window(question.window, now_ns)
    incident = asked or Window(now_ns - LOOK_BACK_NS, now_ns)
    baseline = parse_window(question.baseline, now_ns) or incident.before()
    return Choice(Windows(incident, baseline), "as asked" if asked else f"the last {duration(LOOK_BACK_NS)}")


def _records(logs: LogSource, window: Window, services: list[str] | None, asked: Asked) -> Frame:
    """Return the records that match, oldest first, at most the limit."""
    pieces = [piece.strip() for piece in _MASKS.split(asked.text)]
    found = logs.logs(
        window,
        services=services,
        trace_id=asked.trace_id or None,
        limit=min(MAX_RECORDS, asked.limit * _BROAD) if asked.is_pattern else asked.limit,
        pods=[asked.pod] if asked.pod else None,
        severities=at_least(asked.level) if asked.level else None,  # type: ignore[arg-type] # checked before
        text=max(pieces, key=len) or None,
    )
    if not asked.is_pattern:
        return found
    alike = [asked.text in line_pattern(str(body or "")) for body in found.frame["body"]]
    return Frame(found.frame[alike].head(asked.limit).reset_index(drop=True), found.note)


def _rates(logs: LogSource, windows: Windows, step_s: int, services: list[str] | None) -> Frame:
    named = [("baseline", windows.baseline), ("incident", windows.incident)]
    found = [(name, logs.log_rates(w, step_s, services=services)) for name, w in named if w]
    frames = [frame.frame.assign(window=name) for name, frame in found]
    warnings = tuple(warning for _, frame in found for warning in frame.note.warnings)
    last = found[-1][1].note
    note = SourceNote(
        last.signal, last.kind, last.url, last.query, sum(f.note.rows for _, f in found),
        any(f.note.truncated for _, f in found), warnings,
    )  # fmt: skip
    return Frame(pd.concat(frames, ignore_index=True), note)


def _masked(patterns: pd.DataFrame, redactor: Redactor) -> pd.DataFrame:
    texts = {name: patterns[name].fillna("").map(redactor.text) for name in ("pattern", "example")}
    return patterns.assign(**texts)


def _require(service: str, question: Question) -> None:
    """Raise ServiceNotFoundError with near names unless traces or the service map know the service."""
    traces = question.sources.traces
    names = {*question.known_services, *(traces.services() if traces else ())}
    if names and service not in names:
        raise ServiceNotFoundError(
            f"no signal bears the name of a service {service!r}", hint=near_names(service, names)
        )
