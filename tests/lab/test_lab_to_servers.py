"""A whole lab that sends to servers beside its capture; a receiver, two folders and a scrape stand in for those."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from lab_spans import table
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from opslib import lab
from opslib.core.settings import Settings, load_environment

pytestmark = pytest.mark.lab


class Receiver(ThreadingHTTPServer):
    """Takes OTLP/HTTP, and keeps the ids of the spans that came."""

    daemon_threads = True

    def __init__(self) -> None:
        spans = self.spans = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    spans.extend(s.span_id.hex() for scope in group.scope_spans for s in scope.spans)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


def until(condition: Callable[[], Any], timeout_s: float = 60) -> Any:
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)
    return value


def test_servers_get_what_the_capture_holds(tmp_path: Path, receiver: Receiver) -> None:
    state, scrape, logs = tmp_path / "state", tmp_path / "scrape", tmp_path / "containers"
    scrape.mkdir()
    url = f"http://127.0.0.1:{receiver.server_port}"
    (tmp_path / "servers.json").write_text(
        json.dumps(
            {
                "jaeger": {"url": url, "otlp": url},
                "prometheus": {"url": url, "scrape": "scrape"},
                "elasticsearch": {"url": url},
                "rsyslog": {"folder": "containers"},
            }
        )
    )
    lab.up(state, servers=tmp_path / "servers.json")
    try:
        until(lambda: len(table(state, "logs")) > 100 and len(table(state, "metrics")) > 100)
        status = lab.status(state)
        (target,) = [json.loads(path.read_text()) for path in scrape.iterdir()]
        page = urlopen(f"http://{target[0]['targets'][0]}/metrics", timeout=10).read().decode()
        other = load_environment("lab-servers", Settings(state, lab_state=state))
    finally:
        lab.down(state)
    lines = [json.loads(line) for path in logs.iterdir() for line in path.read_text().splitlines()]
    metrics, records = table(state, "metrics"), table(state, "logs")
    told = {line.split("{")[0] for line in page.splitlines() if not line.startswith("#")}

    assert sorted(receiver.spans) == sorted(table(state, "spans").span_id)
    assert sorted((line["message"], line["trace.id"]) for line in lines) == sorted(
        zip(records.body, records.trace_id, strict=True)
    )
    assert told == {name.replace(".", "_") for name in metrics.name}
    assert other.traces.url == url
    assert not list(scrape.iterdir()), "nobody is to ask for what has ended"
    assert status.forwarded["spans"]["sent"] > 100
    assert status.forwarded["metrics"]["series"] > 100
    assert "servers   spans: " in status.text()


def test_a_lab_whose_server_is_gone_is_a_lab(tmp_path: Path) -> None:
    state = tmp_path / "state"
    gone = {"url": "http://127.0.0.1:9", "otlp": "http://127.0.0.1:9"}
    (tmp_path / "servers.json").write_text(json.dumps({"jaeger": gone}))
    lab.up(state, servers=tmp_path / "servers.json")
    try:
        until(lambda: len(table(state, "spans")) > 300)
        status = lab.status(state)
    finally:
        lab.down(state)

    assert status.forwarded["spans"]["waiting"] > 100
    assert "ConnectError" in status.text()
    assert status.load["achieved_rps"] == pytest.approx(status.load["offered_rps"], rel=0.2)
