"""The collector's HTTP surface and its gate, in one process."""

import gzip
import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.testclient import TestClient

from opslib.lab.collector.otlp import MAX_BODY
from opslib.lab.collector.server import Collector, application
from opslib.telemetry.capture import CaptureWriter, open_capture

T = 1_795_569_004_000_000_000
PROTOBUF = {"content-type": "application/x-protobuf"}


class Kept:
    """A writer that keeps rows in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, list] = {}

    def append(self, signal: str, rows: list) -> None:
        self.rows.setdefault(signal, []).extend(rows)


def request_of(*starts: int) -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for start in starts:
        spans.add(trace_id=b"a" * 16, span_id=b"b" * 8, start_time_unix_nano=start, end_time_unix_nano=start)
    return request.SerializeToString()


@pytest.fixture
def collector() -> Collector:
    return Collector(Kept())


def test_nothing_from_before_the_beginning_is_kept(collector: Collector) -> None:
    client = TestClient(application(collector))
    client.post("/v1/traces", content=request_of(T), headers=PROTOBUF)
    collector.begin({"begin_ns": T + 1})
    client.post("/v1/traces", content=request_of(T, T + 1), headers=PROTOBUF)

    assert [row[5] for row in collector._writer.rows["spans"]] == [T + 1]
    assert collector.counts({})["spans"] == 1


def test_partial_success_is_said_in_the_senders_encoding(collector: Collector) -> None:
    collector.begin({"begin_ns": 0})
    client = TestClient(application(collector))
    answer = client.post(
        "/v1/traces", content=gzip.compress(request_of(0, T)), headers=PROTOBUF | {"content-encoding": "gzip"}
    )
    said = ExportTraceServiceResponse.FromString(answer.content)
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}

    assert said.partial_success.rejected_spans == 1
    assert client.post("/v1/traces", json=body).json()["partialSuccess"]["rejectedSpans"] == "1"
    assert collector.counts({})["rejected"] == 2


def test_a_large_body_is_refused_while_it_is_read(collector: Collector) -> None:
    def chunks():
        for _ in range(MAX_BODY // (1 << 20) + 2):
            yield bytes(1 << 20)

    answer = TestClient(application(collector)).post("/v1/logs", content=chunks(), headers=PROTOBUF)

    assert answer.status_code == 413
    assert collector.counts({})["bad_requests"] == 1


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_every_signal_has_its_endpoint(collector: Collector, signal: str) -> None:
    client = TestClient(application(collector))

    assert client.get("/readyz").text == "ok"
    assert client.post(f"/v1/{signal}", json={}).json() == {}
    assert client.post(f"/v1/{signal}", content=json.dumps([])).status_code == 415


def test_the_real_writer_makes_it_readable(tmp_path: Path) -> None:
    from opslib.telemetry.capture import CaptureWriter, open_capture

    with CaptureWriter(tmp_path) as writer:
        collector = Collector(writer, 0)
        collector.accept("traces", request_of(T), "protobuf")
        writer.roll()

        assert open_capture(tmp_path, live=True).services() == ("unknown_service",)


def test_spans_wait_while_traces_are_sampled_by_their_tail(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "c") as writer:
        collector = Collector(writer, 0)
        collector.keep({"slower_ms": 60})
        collector.accept("traces", request_of(T), "protobuf")
        collector.roll()

        assert collector.counts({})["spans"] == 1
        assert not open_capture(tmp_path / "c").meta.files
