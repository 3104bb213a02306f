"""Before an investigation: can every source be asked, does it know the service, and would its answer be whole?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opslib.core.checks import Check
from opslib.core.clock import Clock
from opslib.core.errors import OpslibError, near_names
from opslib.core.evidence import SpanBlock
from opslib.core.outcome import Outcome
from opslib.core.settings import Settings
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.core.words import duration, share
from opslib.diagnosis import calls_of
from opslib.investigate.cause import Question, ask
from opslib.investigate.windows import LOOK_BACK_NS, STALE_NS
from opslib.telemetry.capture import Capture

MIN_CALLS = 20
_LOGS = 20_000
_SERVERS_NS = 120 * NS_PER_S  # each span comes over the network, and the question itself fetches more


def preflight(
    service: str | None = None,
    *,
    environment: str = "lab",
    capture: str | Path | None = None,
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> tuple[Check, ...]:
    """Check environment, sources, service, recent calls, trace ids in logs, and both sides of spans; raises nothing."""
    try:
        question = ask(service, environment, capture, settings=settings, clock=clock)
    except OpslibError as error:
        return (Check("environment", Outcome.ERROR, str(error), error.hint),)
    name = f"capture {question.capture}" if question.capture else f"environment {question.environment.name}"
    return (Check("environment", Outcome.PASS, f"{name} is there"), *_guarded("sources", _sources(question)))


def _guarded(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Pass checks on; an error of a source becomes a check of its own and ends them."""
    try:
        yield from checks
    except OpslibError as error:
        yield Check(name, Outcome.ERROR, str(error), error.hint)


def _sources(question: Question) -> Iterator[Check]:
    traces = question.sources.traces
    extent = traces.extent() if traces else None
    if traces is None or extent is None:
        hint = (
            "wait some seconds, then ask again"
            if traces
            else "add `traces` to the environment in opslib.toml"
        )
        yield Check(
            "traces", Outcome.NO_DATA, "there are no spans yet" if traces else "no source is named", hint
        )
        return
    yield _fresh(question, extent)
    back_ns = LOOK_BACK_NS if isinstance(traces, Capture) else _SERVERS_NS
    recent = Window(max(extent.start_ns, extent.end_ns - back_ns), extent.end_ns)
    yield from _other_signals(question, recent)
    if question.service is not None:
        yield _known(question.service, traces.services())
    blocks = list(traces.spans(Windows(recent)).blocks)
    yield _calls(blocks, question.service, recent)
    yield _both_sides(blocks, question.service)


def _fresh(question: Question, extent: Window) -> Check:
    traces = question.sources.traces
    if isinstance(traces, Capture) and not traces.live:
        return Check("traces", Outcome.PASS, f"spans of {duration(extent.length_ns)}, {extent}")
    age_ns = max(0, question.clock.now_ns() - extent.end_ns)
    statement = f"spans of {duration(extent.length_ns)}, the newest {duration(age_ns)} old"
    if age_ns > STALE_NS:
        return Check(
            "traces", Outcome.NO_DATA, statement, "the source seems to have stopped: is the lab running?"
        )
    return Check("traces", Outcome.PASS, statement)


def _other_signals(question: Question, recent: Window) -> Iterator[Check]:
    sources = question.sources
    logs = sources.logs.logs(recent, limit=_LOGS).frame if sources.logs else None
    metrics = sources.metrics.metrics(recent).frame if sources.metrics else None
    for name, frame in (("logs", logs), ("metrics", metrics)):
        if frame is None:
            yield Check(
                name, Outcome.NO_DATA, "no source is named", f"add `{name}` to the environment in opslib.toml"
            )
        else:
            outcome = Outcome.PASS if len(frame) else Outcome.NO_DATA
            yield Check(name, outcome, f"{len(frame):,} rows in {duration(recent.length_ns)}")
    if logs is not None and len(logs):
        yield _with_trace_ids(logs)


def _with_trace_ids(logs: pd.DataFrame) -> Check:
    with_id = int((logs["trace_id"].notna() & (logs["trace_id"] != "")).sum())
    statement = f"log records with a trace id: {share(with_id, len(logs))}"
    if with_id:
        return Check("logs with trace ids", Outcome.PASS, statement)
    return Check(
        "logs with trace ids", Outcome.NO_DATA, statement, "have the logger write the current trace id"
    )


def _known(service: str, names: tuple[str, ...]) -> Check:
    if service in names:
        return Check("service", Outcome.PASS, f"{service} has spans")
    return Check("service", Outcome.FAIL, f"no spans bear the name {service}", near_names(service, names))


def _calls(blocks: list[SpanBlock], service: str | None, recent: Window) -> Check:
    count = len(calls_of(blocks, service))
    whose = f"calls of {service}" if service else "root operations"
    statement = f"{count:,} {whose} in {duration(recent.length_ns)}"
    if count >= MIN_CALLS:
        return Check("calls", Outcome.PASS, statement)
    return Check("calls", Outcome.NO_DATA, statement, f"{MIN_CALLS} calls in each window are needed")


@dataclass(frozen=True, slots=True)
class _Sides:
    servers: int
    answered: int  # server spans whose parent is the caller's client span


def _both_sides(blocks: list[SpanBlock], service: str | None) -> Check:
    sides = [_count_sides(block, service) for block in blocks]
    servers, answered = sum(s.servers for s in sides), sum(s.answered for s in sides)
    statement = f"server spans with the client span of their caller: {share(answered, servers)}"
    if answered:
        return Check("both sides", Outcome.PASS, statement)
    return Check("both sides", Outcome.NO_DATA, statement, "without both, time cannot be charged to an edge")


def _count_sides(block: SpanBlock, service: str | None) -> _Sides:
    server = (block.kind.codes == block.kind.code("SERVER")) & (block.parent >= 0)
    if service is not None:
        server &= block.service.codes == block.service.code(service)
    parents = block.parent[server]
    clients = block.kind.codes[parents] == block.kind.code("CLIENT")
    return _Sides(len(parents), int(np.count_nonzero(clients)))
