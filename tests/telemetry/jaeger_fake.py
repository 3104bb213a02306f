"""A Jaeger in one process: its memory storage's way of searching, its two dialects, and the traps that are known of both."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote

import httpx2

from opslib.core.windows import Window
from opslib.telemetry.endpoint import Endpoint
from opslib.telemetry.http import Http
from opslib.telemetry.jaeger.slices import Pace
from opslib.telemetry.jaeger.traces import JaegerTraces

T0 = 1_769_828_400_000_000_000
MS, S = 10**6, 10**9
URL = "http://jaeger.example/base"
PAGE = "<!doctype html><title>Jaeger UI</title>"


class Clock:
    """Stands at `now_ns`; seconds pass by sleeping, and `step_s` at each look. Safe for threads."""

    def __init__(self, now_ns=T0 + 3600 * S, step_s=0.0):
        self.at_ns, self.step_s, self.now_s = now_ns, step_s, 0.0
        self._lock = threading.Lock()

    def now_ns(self):
        return self.at_ns

    def monotonic_s(self):
        with self._lock:
            self.now_s += self.step_s
            return self.now_s

    def sleep(self, seconds):
        with self._lock:
            self.now_s += seconds


@dataclass(frozen=True)
class Span:
    trace: int
    span: int
    parent: int | None
    service: str
    start: int
    end: int
    name: str = "op"
    kind: int = 2
    attributes: tuple[tuple[str, str | bool], ...] = ()


def call(number, start, took=20 * MS, services=("front", "payment"), *, both_sides=False, attributes=None):
    """A trace in which each service calls the next, a millisecond in; with client spans where both sides are seen."""
    own = tuple((attributes(number) if attributes else {}).items())
    chain = [(name, 2) for name in services]
    if both_sides:
        chain = [pair for name in services for pair in ((name, 2), (name, 3))][:-1]
    return [
        Span(
            number,
            16 * number + i + 1,
            16 * number + i if i else None,
            name,
            start + i * MS,
            start + took - i * MS,
            kind=kind,
            attributes=own,
        )
        for i, (name, kind) in enumerate(chain)
    ]


@dataclass
class Jaeger:
    """What it stores, and how it is: `speaks` and the limit above which its storage answers 500."""

    spans: list[Span]
    speaks: frozenset[str] = frozenset({"v3", "legacy"})
    spelling: str = "snake"  # or camel
    max_traces: int = 100_000
    coarse_ns: int = 1  # to which the storage cuts times
    anonymous: str = "yes"  # or "no" (400), or "nothing"
    heeds: bool = True  # attributes
    summaries: bool = False
    write_id: Callable[[str], str] = str
    answers: Callable[[httpx2.Request, httpx2.Response], httpx2.Response] = lambda _, answer: answer
    seen: list[httpx2.Request] = field(default_factory=list)

    def __post_init__(self):
        self.traces: dict[int, list[Span]] = {}
        for span in self.spans:
            self.traces.setdefault(span.trace, []).append(span)

    def http(self, clock=None, **fields):
        where = Endpoint("jaeger", URL, **fields)
        return Http(where, clock=clock or Clock(), transport=httpx2.MockTransport(self.serve))

    def backend(
        self, clock=None, *, names: Mapping[str, str] | None = None, most=40_000, budget_s=40.0, **more
    ):
        clock = clock or Clock()
        return JaegerTraces(self.http(clock), clock, names=names or {}, pace=Pace(most, budget_s), **more)

    def serve(self, request):
        self.seen.append(request)
        return self.answers(
            request, self._answer(request.url.path.removeprefix("/base"), dict(request.url.params))
        )

    def _answer(self, path, params):
        one = re.fullmatch(r"/api/(v3/)?traces/(.+)", path)
        v3, legacy = "v3" in self.speaks, "legacy" in self.speaks
        names = sorted({span.service for span in self.spans})
        if path == "/api/v3/services" and v3:
            return _json({"services": names} if names else {})
        if path == "/api/services" and legacy:
            return _json({"data": names or None, "total": len(names)})
        if path == "/api/v3/traces" and v3:
            return self._v3(params, self._v3_body)
        if path == "/api/v3/trace-summaries" and self.summaries:
            return self._v3(params, self._summaries)
        if path == "/api/traces" and legacy:
            return self._legacy(params)
        if one and (v3 if one[1] else legacy):
            found = [t for t in self.traces if f"{t:032x}" == unquote(one[2]).zfill(32)]
            return self._v3_body(found) if one[1] else self._legacy_body(found, missing=404)
        if path == "/api/dependencies":
            pairs = Counter(
                (p.service, c.service) for c in self.spans for p in self.spans if p.span == c.parent
            )
            return _json({"data": [{"parent": p, "child": c, "callCount": n} for (p, c), n in pairs.items()]})
        return httpx2.Response(200, html=PAGE, headers={"Date": _json(None).headers["Date"]})

    def _v3(self, params, body):
        def given(name):
            first, *others = name.split("_")
            camel = first + "".join(word.title() for word in others)
            return params.get(f"query.{name if self.spelling == 'snake' else camel}", "")

        if not given("start_time_min") or not given("start_time_max"):
            return _error(400, "start_time_min and start_time_max are required")
        if not given("service_name") and self.anonymous == "no":
            return _error(500, "service Name must be set")
        limit = int(params.get("query.num_traces" if self.spelling == "snake" else "query.searchDepth", "0"))
        if not 0 < limit <= self.max_traces:
            return _error(500, "search depth must be greater than 0 and less than max traces")
        window = Window(_time(given("start_time_min")), _time(given("start_time_max")) + 1)
        return body(
            self.find(
                given("service_name"),
                window,
                limit,
                _ns(given("duration_min")),
                _ns(given("duration_max")),
                params.get("query.attributes"),
            )
        )

    def _legacy(self, params):
        if not params.get("service"):
            return httpx2.Response(
                400, json={"data": None, "errors": [{"code": 400, "msg": "parameter 'service' is required"}]}
            )
        window = Window(1000 * int(params["start"]), 1000 * int(params["end"]) + 1000)
        limit = int(params.get("limit", 100))
        found = self.find(
            params["service"],
            window,
            limit,
            _ns(params.get("minDuration")),
            _ns(params.get("maxDuration")),
            params.get("tags"),
        )
        return self._legacy_body(found)

    def find(self, service, window, limit, least=0, longest=0, attributes=None):
        """The most recently stored traces with a span that matches, as the memory storage does."""
        if not service and self.anonymous == "nothing":
            return []

        coarse = self.coarse_ns
        first, last = window.start_ns // coarse, (window.end_ns - 1) // coarse
        wanted = json.loads(attributes or "{}") if self.heeds else {}

        def matches(span):
            has = {key: str(value).lower() for key, value in span.attributes}
            took = span.end - span.start
            return (
                (not service or span.service == service)
                and first <= span.start // coarse <= last
                and took >= least
                and wanted.items() <= has.items()
                and (not longest or took <= longest)
            )

        return [t for t in reversed(self.traces) if any(map(matches, self.traces[t]))][:limit]

    def _v3_body(self, found):
        if not found:
            return _error(404, "No traces found")
        groups = [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": span.service}}]},
                "scopeSpans": [{"scope": {}, "spans": [self._otlp(span)]}],
            }
            for trace in found
            for span in self.traces[trace]
        ]
        return _json({"result": {"resourceSpans": groups}})

    def _summaries(self, found):
        if not found:
            return _error(404, "No traces found")
        services = {t: sorted({span.service for span in self.traces[t]}) for t in found}
        return _json({
            "summaries": [
                {"traceId": f"{t:032x}", "spanCount": 2, "services": [{"name": n, "spanCount": 1} for n in names]}
                for t, names in services.items()
            ]
        })  # fmt: skip

    def _otlp(self, span):
        parent = {} if span.parent is None else {"parentSpanId": f"{span.parent:016x}"}
        return {
            "traceId": self.write_id(f"{span.trace:032x}"),
            "spanId": f"{span.span:016x}",
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": str(span.start),
            "endTimeUnixNano": str(span.end),
            "status": {},
            "attributes": [
                {"key": k, "value": {"boolValue" if isinstance(v, bool) else "stringValue": v}}
                for k, v in span.attributes
            ],
            **parent,
        }

    def _legacy_body(self, found, missing=200):
        if not found and missing == 404:
            return httpx2.Response(
                404, json={"data": None, "errors": [{"code": 404, "msg": "trace not found"}]}
            )
        data = [
            {
                "traceID": self.write_id(f"{trace:032x}"),
                "spans": [self._jaeger(span) for span in self.traces[trace]],
                "processes": {s.service: {"serviceName": s.service, "tags": []} for s in self.traces[trace]},
            }
            for trace in found
        ]
        return _json({"data": data, "total": 0, "limit": 0, "offset": 0, "errors": None})

    def _jaeger(self, span):
        trace = self.write_id(f"{span.trace:032x}")
        parent = (
            [{"refType": "CHILD_OF", "traceID": trace, "spanID": f"{span.parent:016x}"}]
            if span.parent
            else []
        )
        return {
            "traceID": trace, "spanID": f"{span.span:016x}", "operationName": span.name, "references": parent,
            "startTime": span.start // 1000, "duration": (span.end - span.start) // 1000, "processID": span.service,
            "tags": [{"key": "span.kind", "value": "server" if span.kind == 2 else "client"}]
            + [{"key": k, "value": v} for k, v in span.attributes], "logs": [],
        }  # fmt: skip


def _json(value):
    date = format_datetime(datetime.fromtimestamp(T0 // S + 3600, UTC), usegmt=True)
    return httpx2.Response(
        200, text=json.dumps(value), headers={"Date": date}
    )  # as text/plain, as the real one does


def _error(status, message):
    return httpx2.Response(status, text=json.dumps({"error": {"httpCode": status, "message": message}}))


def _time(text):
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * S + int(fraction.ljust(9, "0") or 0)


def _ns(text):
    return int((text or "0ns").removesuffix("ns"))


def fetched(backend, windows):
    """What a fetch writes, and what it says."""
    frames = []
    said = backend.fetch(windows, frames.append)
    rows = [row for frame in frames for row in frame.to_dict("records")]
    return rows, said


def numbers(rows):
    return {int(row["trace_id"], 16) for row in rows}
