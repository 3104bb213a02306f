"""What `opslib doctor` finds out of a Jaeger: whether it answers, by whose clock, and what its traces cannot show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime

from opslib.core.checks import Check
from opslib.core.errors import OpslibError, near_names
from opslib.core.outcome import Outcome
from opslib.core.windows import NS_PER_S, Window
from opslib.core.words import printable
from opslib.telemetry.http import Http
from opslib.telemetry.jaeger.answers import Found
from opslib.telemetry.jaeger.dialects import Search
from opslib.telemetry.jaeger.traces import JaegerTraces

_RECENT_NS = 900 * NS_PER_S
_SAMPLE = 20  # traces of each service
_OFFSET_S = 2.0


def check(traces: JaegerTraces) -> tuple[Check, ...]:
    """Return the checks, the first one alone where the server does not answer as a Jaeger does."""
    name, url = "jaeger", traces.http.endpoint.url
    try:
        said = f"{url} answers, by {traces.dialect.name}"
        return (Check(name, Outcome.PASS, said), *_checks(traces))
    except OpslibError as error:
        return (Check(name, Outcome.ERROR, str(error), error.hint),)


def _checks(traces: JaegerTraces) -> Iterator[Check]:
    now_ns = traces.clock.now_ns()
    yield _clock(traces.http, now_ns)
    recent = Window(now_ns - _RECENT_NS, now_ns + 1)
    known = traces.services()
    samples = {}
    for service in traces.mapped or known:
        found = (
            traces.dialect.search(Search(traces.theirs(service), recent, _SAMPLE))
            if service in known
            else Found()
        )
        samples[service] = found
        yield _data(service, len(found.trace_ids()), known)
    yield _both_sides(samples.values())


def _clock(http: Http, now_ns: int) -> Check:
    date = http.get("/").headers.get("date", "")
    try:
        ahead_s = parsedate_to_datetime(date).timestamp() + 0.5 - now_ns / NS_PER_S  # whole seconds, cut off
    except ValueError:
        return Check("jaeger clock", Outcome.NO_DATA, "the server does not say what time it is")
    statement = f"the server's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} ours"
    if abs(ahead_s) <= _OFFSET_S:
        return Check("jaeger clock", Outcome.PASS, "the server's clock and ours agree")
    hint = "windows that end now miss the newest spans or reach beyond them: set the clocks by NTP, or name windows"
    return Check("jaeger clock", Outcome.FAIL, statement, hint)


def _data(service: str, traces: int, known: tuple[str, ...]) -> Check:
    name = f"traces of {printable(service)}"
    if traces:
        return Check(
            name, Outcome.PASS, f"{'at least ' if traces >= _SAMPLE else ''}{traces} in the last 15 minutes"
        )
    if service in known:
        return Check(
            name, Outcome.NO_DATA, "none in the last 15 minutes", "is it called, and does its exporter run?"
        )
    hint = f'{near_names(service, known)}; set traces = "ITS NAME THERE" in services.{service} of opslib.toml'
    return Check(name, Outcome.NO_DATA, "Jaeger knows no service of this name", printable(hint, 400))


def _both_sides(samples: Iterable[Found]) -> Check:
    """Tell whether calls between services have a client's and a server's span: else the way between them is unseen."""
    edges: dict[tuple[str, str], bool] = defaultdict(bool)
    for found in samples:
        names = ("trace_id", "span_id", "parent_span_id", "service_name", "kind")
        rows = list(zip(*map(found.column, names), strict=True))
        spans = {(trace_id, span_id): (service, kind) for trace_id, span_id, _, service, kind in rows}
        for trace_id, _, parent, service, kind in rows:
            caller, calling = spans.get((trace_id, parent), (service, ""))
            if caller != service:
                edges[caller, service] |= (calling, kind) in {("CLIENT", "SERVER"), ("PRODUCER", "CONSUMER")}
    name = "spans from both sides"
    if not edges:
        return Check(name, Outcome.NO_DATA, "no calls from one service to another are in these traces")
    lacking = sorted(f"{caller}->{callee}" for (caller, callee), both in edges.items() if not both)
    if not lacking:
        return Check(name, Outcome.PASS, f"client and server span on each of {len(edges)} edges")
    hint = "without both, time on the way between them counts as the callee's own: instrument the caller's client"
    return Check(name, Outcome.FAIL, f"not on {printable(', '.join(lacking))}, of {len(edges)} edges", hint)
