"""Spans on their way to a trace server that is well, slow, gone, or something else: the shop and the capture never wait."""

import threading
import time
from collections.abc import Callable

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from opslib.lab.collector.beside import Beside
from opslib.lab.collector.forwarding import Forwarder, requests_by_trace
from opslib.lab.collector.rows import rows_of
from opslib.lab.collector.server import Collector

T = 1_795_569_004_000_000_000
PROTOBUF = {"content-type": "application/x-protobuf"}


def request_of(*spans: tuple[str, str], start: int = T) -> ExportTraceServiceRequest:
    """Spans by the letters of their trace and of their own ids."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "payment"
    for trace, span in spans:
        group.scope_spans.add().spans.add(
            trace_id=trace.encode() * 16,
            span_id=span.encode() * 8,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 80_000_000,
        )
    return request


class Server:
    """A trace server that answers as it is told, one answer after the other, the last one for ever."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self._answers = list(answers) or [httpx2.Response(200, headers=PROTOBUF)]
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def spans(self) -> list[tuple[str, str]]:
        """Trace and span of all that came, by the letters of their ids."""
        got = [ExportTraceServiceRequest.FromString(request.content) for request in self.requests]
        spans = [s for r in got for g in r.resource_spans for sc in g.scope_spans for s in sc.spans]
        return [(span.trace_id[:1].decode(), span.span_id[:1].decode()) for span in spans]


def forwarder(server: Callable, **more) -> Forwarder:
    return Forwarder("http://jaeger:4318/", transport=httpx2.MockTransport(server), **more)


def put(to: Forwarder, *spans: tuple[str, str]) -> None:
    to.put(request_of(*spans).SerializeToString(), len(spans))


def test_what_waits_is_sent_as_one_request_of_protobuf() -> None:
    server = Server()
    to = forwarder(server)
    put(to, ("a", "1"), ("a", "2"))
    put(to, ("b", "3"))

    assert to.send() == 0
    assert to.send() == 0, "and nothing where nothing waits"
    (request,) = server.requests
    assert str(request.url) == "http://jaeger:4318/v1/traces"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert server.spans() == [("a", "1"), ("a", "2"), ("b", "3")]
    assert to.counts() == {"sent": 3, "dropped": 0, "waiting": 0, "error": ""}


@pytest.mark.parametrize("gone", [httpx2.ConnectError("refused"), httpx2.ReadTimeout("slow")])
def test_a_server_that_is_gone_is_waited_for(gone: Exception) -> None:
    server = Server(*[gone] * 20, httpx2.Response(200, headers=PROTOBUF))
    to = forwarder(server)
    put(to, ("a", "1"))
    pauses = [to.send() for _ in range(20)]

    assert all(pause > 0 for pause in pauses)
    assert to.counts()["waiting"] == 1
    assert type(gone).__name__ in to.counts()["error"]
    assert to.send() == 0
    assert to.counts() == {"sent": 1, "dropped": 0, "waiting": 0, "error": ""}


def test_too_much_costs_the_oldest() -> None:
    server = Server(httpx2.ConnectError("refused"), httpx2.Response(200, headers=PROTOBUF))
    size = len(request_of(("a", "1")).SerializeToString())
    to = forwarder(server, most_bytes=3 * size)
    put(to, ("a", "0"))
    to.send()  # is under way, and stays so
    for span in "12345":
        put(to, ("a", span))
    to.send()
    to.send()

    assert [span for _, span in server.spans()[1:]] == ["0", "3", "4", "5"]
    assert to.counts() == {"sent": 4, "dropped": 2, "waiting": 0, "error": ""}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_a_few_times(status: int) -> None:
    server = Server(httpx2.Response(status))
    to = forwarder(server)
    put(to, ("a", "1"))
    while to.send():
        assert len(server.requests) < 20

    assert 1 < len(server.requests) < 10
    assert to.counts() == {"sent": 0, "dropped": 1, "waiting": 0, "error": f"answered {status}"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, html="<h1>Welcome</h1>"),
        httpx2.Response(200),
        httpx2.Response(404, headers=PROTOBUF),
        httpx2.Response(302, headers={"location": "http://login"}),
    ],
)
def test_what_is_no_receiver_of_spans_is_not_asked_twice(answer: httpx2.Response) -> None:
    server = Server(answer)
    to = forwarder(server)
    put(to, ("a", "1"))

    assert to.send() == 0
    assert len(server.requests) == 1
    assert to.counts()["dropped"] == 1
    assert "no OTLP receiver" in to.counts()["error"]


def test_spans_that_the_server_refuses_are_counted() -> None:
    said = ExportTraceServiceResponse()
    said.partial_success.rejected_spans = 2
    to = forwarder(Server(httpx2.Response(200, headers=PROTOBUF, content=said.SerializeToString())))
    put(to, ("a", "1"), ("a", "2"), ("a", "3"))
    to.send()

    assert to.counts() == {"sent": 1, "dropped": 2, "waiting": 0, "error": ""}


class Kept:
    """A writer that keeps rows in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, list] = {}

    def append(self, signal: str, rows: list) -> None:
        self.rows.setdefault(signal, []).extend(rows)

    def select(self, _: dict) -> None: ...

    def roll(self) -> None: ...


def test_a_server_that_hangs_holds_back_neither_the_senders_nor_the_capture() -> None:
    hanging, goes_on = threading.Event(), threading.Event()

    def hang(_: httpx2.Request) -> httpx2.Response:
        hanging.set()
        assert goes_on.wait(60)
        return httpx2.Response(200, headers=PROTOBUF)

    to = forwarder(hang)
    to.start()
    collector = Collector(Kept(), 0, Beside(to))
    collector.accept("traces", request_of(("a", "0")).SerializeToString(), "protobuf")
    assert hanging.wait(60)
    for span in "123":
        collector.accept("traces", request_of(("a", span)).SerializeToString(), "protobuf")

    assert len(collector._writer.rows["spans"]) == 4
    assert to.counts()["waiting"] == 4
    goes_on.set()
    to.close()
    assert to.counts() == {"sent": 4, "dropped": 0, "waiting": 0, "error": ""}


def test_at_the_end_nobody_waits_for_a_server_that_is_gone() -> None:
    to = forwarder(Server(httpx2.ConnectError("refused")))
    put(to, ("a", "1"))
    to.start()
    to.close()

    assert not to._thread.is_alive()
    assert to.counts()["waiting"] == 1


@pytest.fixture
def sent() -> tuple[Server, Forwarder]:
    server = Server()
    return server, forwarder(server)


def test_the_server_gets_what_the_capture_keeps_and_nothing_else(sent) -> None:
    server, to = sent
    collector = Collector(Kept(), beside=Beside(to))
    early = request_of(("a", "1"))
    late = request_of(("a", "2"), start=T + 1)
    collector.accept("traces", early.SerializeToString(), "protobuf")
    collector.begin({"begin_ns": T + 1})
    late.MergeFrom(early)
    late.resource_spans[0].scope_spans[0].spans.add(name="no ids")
    collector.accept("traces", late.SerializeToString(), "protobuf")
    to.send()

    assert len(collector._writer.rows["spans"]) == 1
    assert server.spans() == [("a", "2")]


def test_json_goes_on_as_protobuf(sent) -> None:
    server, to = sent
    span = {"traceId": "61" * 16, "spanId": "31" * 8, "startTimeUnixNano": str(T), "endTimeUnixNano": str(T)}
    body = b'{"resourceSpans": [{"scopeSpans": [{"spans": [%s]}]}]}' % str(span).replace("'", '"').encode()
    Collector(Kept(), 0, Beside(to)).accept("traces", body, "json")
    to.send()

    assert server.spans() == [("a", "1")]


def test_a_sample_of_traces_is_the_same_there(sent, monkeypatch: pytest.MonkeyPatch) -> None:
    server, to = sent
    collector = Collector(Kept(), 0, Beside(to))
    collector.keep({"slower_ms": 60})
    collector.accept("traces", request_of(("a", "1"), ("b", "1")).SerializeToString(), "protobuf")
    failed = request_of(("b", "2"), ("c", "1"))
    failed.resource_spans[0].scope_spans[1].spans[0].parent_span_id = b"p" * 8
    collector.accept("traces", failed.SerializeToString(), "protobuf")
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 60)
    collector.roll()
    to.send()
    kept = [
        (bytes.fromhex(row[0])[:1].decode(), bytes.fromhex(row[1])[:1].decode())
        for row in collector._writer.rows["spans"]
    ]

    assert sorted(kept) == [("a", "1"), ("b", "1"), ("b", "2")]
    assert sorted(server.spans()) == sorted(kept)
    assert to.counts()["sent"] == 3


def test_requests_by_trace_hold_resource_and_scope() -> None:
    request = request_of(("a", "1"), ("b", "2"), ("a", "3"))
    request.resource_spans[0].scope_spans[2].scope.name = "shop"
    rows, _ = rows_of("spans", request)
    made = requests_by_trace(request, rows)
    again = [rows_of("spans", ExportTraceServiceRequest.FromString(body))[0] for body in made.values()]

    assert list(made) == ["61" * 16, "62" * 16]
    assert sorted(row for found in again for row in found) == sorted(rows)
    assert b"shop" in made["61" * 16]
