"""What `opslib doctor` says of a log server: each thing that is missing with what is lost by it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from opslib.core.checks import Check
from opslib.core.clock import Clock
from opslib.core.errors import OpslibError, SourceError
from opslib.core.outcome import Outcome
from opslib.core.windows import NS_PER_S, Window
from opslib.core.words import duration, printable, share
from opslib.telemetry.elasticsearch.fields import NS_PER_MS, Clause
from opslib.telemetry.elasticsearch.patterns import draw
from opslib.telemetry.elasticsearch.server import Snapshot
from opslib.telemetry.elasticsearch.source import ElasticsearchLogs

_RECENT_NS = 900 * NS_PER_S
_CLOCK_NS = 2 * NS_PER_S  # the server tells whole seconds
_ALL: Clause = {"match_all": {}}


def check(source: ElasticsearchLogs, services: Collection[str], clock: Clock) -> tuple[Check, ...]:
    """Return what was found until the server failed; `services` are those of the environment's map."""
    found = []
    try:
        for one in _checks(source, services, clock):
            found.append(one)  # noqa: PERF402 - what was found before an error stays
    except OpslibError as error:
        found.append(Check("logs", Outcome.ERROR, str(error), error.hint))
    return tuple(found)


def _checks(source: ElasticsearchLogs, services: Collection[str], clock: Clock) -> Iterator[Check]:
    server, fields = source.server, source.fields
    yield Check("logs", Outcome.PASS, f"{server.http.endpoint.url} answers, {_flavour(source)}")
    yield from _health(source, clock)
    if not fields.time_types:
        (*_, why) = source.note("", 0, None).warnings
        yield Check("log indices", Outcome.NO_DATA, why, "set index and time_field of the source")
        return
    disagree = f"; {'; '.join(fields.conflicts)}" if fields.conflicts else ""
    yield Check("log indices", Outcome.PASS, f"{len(fields.indices)} indices match {server.index}{disagree}")
    now_ns = clock.now_ns()
    with server.snapshot() as snapshot:
        yield _newest(source, snapshot, now_ns)
        recent = fields.within(Window(now_ns - _RECENT_NS, now_ns))
        yield _of_services(source, snapshot, recent, services)
        yield _with_trace_ids(source, snapshot, recent)


def _flavour(source: ElasticsearchLogs) -> str:
    flavour = source.server.dialect.flavour
    try:
        version = source.server.http.get("/").json()["version"]["number"]
    except (SourceError, KeyError, TypeError):  # a key that may only search is not told
        return flavour
    return f"{flavour} {printable(str(version), 40)}"


def _health(source: ElasticsearchLogs, clock: Clock) -> Iterator[Check]:
    before_ns = clock.now_ns()
    try:
        told = source.server.http.get("/_cat/health", {"format": "json", "h": "epoch,status"}).json()[0]
        status, epoch_ns = str(told["status"]), int(told["epoch"]) * NS_PER_S
    except (SourceError, KeyError, TypeError, IndexError, ValueError):
        yield Check("log server", Outcome.PASS, "we may not ask about the cluster's health and its clock")
        return
    red = "shards of some indices are missing: their records are lost to every answer"
    yield Check(
        "log server", Outcome.FAIL if status == "red" else Outcome.PASS, f"the cluster is {printable(status, 20)}",
        red if status == "red" else "",
    )  # fmt: skip
    offset_ns = epoch_ns + NS_PER_S // 2 - (before_ns + clock.now_ns()) // 2
    good = abs(offset_ns) <= _CLOCK_NS
    yield Check(
        "log server's clock", Outcome.PASS if good else Outcome.FAIL,
        "agrees with ours" if good else f"is {duration(abs(offset_ns))} {'ahead of' if offset_ns > 0 else 'behind'} ours",
        "" if good else "windows that end now miss records, or hold none: set the clocks by NTP",
    )  # fmt: skip


def _newest(source: ElasticsearchLogs, snapshot: Snapshot, now_ns: int) -> Check:
    body = {"size": 0, "query": _ALL, "aggs": {"newest": {"max": {"field": source.time}}}}
    value = snapshot.ask({**body, "track_total_hits": False}).told("newest", "value")
    if value is None:
        return Check("newest log record", Outcome.NO_DATA, "there is none", "is anything shipped there?")
    age_ns = now_ns - int(value) * NS_PER_MS
    statement = f"is {duration(abs(age_ns))} {'old' if age_ns >= 0 else 'in our future'}"
    if -_CLOCK_NS <= age_ns <= _RECENT_NS:
        return Check("newest log record", Outcome.PASS, statement)
    hint = "does the shipper run?" if age_ns > 0 else "the clock of its machine is wrong: its windows are too"
    return Check("newest log record", Outcome.NO_DATA if age_ns > 0 else Outcome.FAIL, statement, hint)


def _of_services(
    source: ElasticsearchLogs, snapshot: Snapshot, recent: Clause, services: Collection[str]
) -> Check:
    names = sorted(services)
    asked = {name: source.fields.service(name) for name in names}
    aggs: Clause = {"services": {"filters": {"filters": asked}}} if names else {}
    found = snapshot.ask({"size": 0, "query": recent, "aggs": aggs, "track_total_hits": False})
    told = found.told("services", "buckets") or {}
    silent = [name for name in names if not told.get(name, {}).get("doc_count")]
    statement = (
        f"{len(names) - len(silent)} of {len(names)} services of the map have log records of the last 15 min"
    )
    if not silent:
        return Check("logs of services", Outcome.PASS, statement)
    return Check(
        "logs of services", Outcome.NO_DATA, f"{statement}; none: {', '.join(silent)}",
        "correct `logs` of the service in the environment; a silent one shows no log evidence",
    )  # fmt: skip


def _with_trace_ids(source: ElasticsearchLogs, snapshot: Snapshot, recent: Clause) -> Check:
    rows = draw(snapshot, recent, source.fields).rows
    with_id = sum(row[5] is not None for row in rows)
    if with_id:
        return Check(
            "logs with trace ids", Outcome.PASS, f"{share(with_id, len(rows))}, drawn from the last 15 min"
        )
    said = f"none of {len(rows):,}, drawn from the last 15 min"
    return Check(
        "logs with trace ids", Outcome.NO_DATA, said,
        "have the logger write the current trace id; without it no trace is shown with its logs",
    )  # fmt: skip
