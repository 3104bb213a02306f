"""Each real telemetry server starts, says its version, gives back what it was given, and leaves nothing behind."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import processes
import pytest
from catalogue import ask
from processes import FailedError, Process
from servers import Servers, bulk, send_spans

REAL = [pytest.mark.real, pytest.mark.timeout(3600)]  # it may be built first
VERSIONS = {
    "jaeger": "v2.13.0",
    "jaeger-elasticsearch": "v2.13.0",
    "prometheus-2": "2.",
    "prometheus-3": "3.16.0",
    "elasticsearch": "8.19.21",
    "opensearch": "3.8.0",
    "loki": "3.7.8",
    "rsyslog": "8.",
}


def real(*names: str) -> Any:
    return pytest.mark.parametrize("name", [pytest.param(name, marks=REAL) for name in names])


def until(answer: Callable[[], Any], within_s: float = 20.0) -> Any:
    end_s = time.monotonic() + within_s
    while True:
        try:
            if found := answer():
                return found
        except HTTPError as error:
            if error.code != 404:
                raise
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.1)


@real(*VERSIONS)
def test_says_its_version(servers: Servers, name: str) -> None:
    said = servers[name]

    assert said.get("version", VERSIONS[name]).startswith(VERSIONS[name])


@real("jaeger", "jaeger-elasticsearch")
def test_gives_back_a_span(servers: Servers, name: str) -> None:
    now_ns, trace_id = time.time_ns(), uuid.uuid4().hex
    span = {
        "traceId": trace_id,
        "spanId": "00000000000000a1",
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": str(now_ns - 5_000_000),
        "endTimeUnixNano": str(now_ns),
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "payment"}}]}

    send_spans(servers[name]["otlp"], [{"resource": resource, "scopeSpans": [{"spans": [span]}]}])
    found = until(lambda: ask(f"{servers[name]['url']}/api/traces/{trace_id}")["data"])

    assert [(s["operationName"], s["duration"]) for s in found[0]["spans"]] == [("GET /", 5000)]


@pytest.fixture
def metrics_page() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(b"answer 42\n")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@real("prometheus-2", "prometheus-3")
def test_gives_back_a_scraped_sample(servers: Servers, name: str, metrics_page: str) -> None:
    url, job = servers[name]["url"], f"page-{uuid.uuid4().hex[:8]}"
    servers.scrape(job, metrics_page)

    query = quote(f'answer{{job="{job}"}}')
    found = until(lambda: ask(f"{url}/api/v1/query?query={query}")["data"]["result"])

    assert found[0]["value"][1] == "42"


@real("elasticsearch", "opensearch")
def test_gives_back_a_document(servers: Servers, name: str) -> None:
    url, trace_id = servers[name]["url"], uuid.uuid4().hex
    document = {"@timestamp": "2026-01-31T12:00:00.000Z", "message": "paid", "trace": {"id": trace_id}}

    bulk(url, "filebeat-8.19.21", [document])
    hits = ask(f"{url}/filebeat-*/_search", json.dumps({"query": {"term": {"trace.id": trace_id}}}))["hits"][
        "hits"
    ]

    assert [hit["_source"] for hit in hits] == [document]


@real("loki")
def test_gives_back_a_line(servers: Servers, name: str) -> None:
    url, now_ns, service = servers[name]["url"], time.time_ns(), f"service-{uuid.uuid4().hex[:8]}"
    stream = {"stream": {"service": service}, "values": [[str(now_ns), "paid"]]}

    ask(f"{url}/loki/api/v1/push", json.dumps({"streams": [stream]}))
    query = quote(f'{{service="{service}"}}')
    found = until(lambda: ask(f"{url}/loki/api/v1/query_range?query={query}")["data"]["result"])

    assert found[0]["values"] == [[str(now_ns), "paid"]]


CONTAINER = uuid.uuid4().hex * 2
TRACE, SPAN = uuid.uuid4().hex, "00000000000000a1"
OF_THE_NAME = {
    "container": {"id": CONTAINER, "runtime": "containerd"},
    "kubernetes": {
        "namespace": "shop",
        "pod": {"name": "payment-7c9d8b6f5-x2x4z"},
        "container": {"name": "app"},
        "deployment": {"name": "payment"},
        "replicaset": {"name": "payment-7c9d8b6f5"},
        "node": {"name": "node1", "hostname": "node1"},
    },
    "host": {"name": "node1"},
    "input": {"type": "container"},
    "ecs": {"version": "8.0.0"},
    "event": {"dataset": "kubernetes.container_logs"},
    "service": {"name": "payment"},
}
AT = "2026-01-31T12:00:00.123Z"
POD = {"uid": "0c1", "ip": "10.244.0.7"}
LINES = [  # what the file holds, and what it says beyond the file's name
    (
        "2026-01-31T12:00:00.123456789Z stderr F it broke",
        {"@timestamp": AT, "stream": "stderr", "message": "it broke"},
    ),
    (
        json.dumps(
            {"time": "2026-01-31T12:00:00.123+00:00", "level": "ERROR", "message": "no", "trace_id": TRACE}
        ),
        {
            "@timestamp": AT,
            "stream": "stdout",
            "message": "no",
            "log": {"level": "ERROR"},
            "trace": {"id": TRACE},
        },
    ),
    (
        f"{AT} stdout F "
        + json.dumps(
            {
                "@timestamp": AT,
                "log.level": "warn",
                "message": 'said "no"\tto é',
                "trace.id": TRACE,
                "span": {"id": SPAN},
                "service.name": "payment-api",
                "amount": 7,
                "kubernetes": {"pod": POD, "labels": {"app": "payment"}},
            }
        ),
        {
            "@timestamp": AT,
            "stream": "stdout",
            "message": 'said "no"\tto é',
            "log": {"level": "warn"},
            "trace": {"id": TRACE},
            "span": {"id": SPAN},
            "service": {"name": "payment-api"},
            "amount": 7,
            "kubernetes": {
                **OF_THE_NAME["kubernetes"],
                "pod": {**OF_THE_NAME["kubernetes"]["pod"], **POD},
                "labels": {"app": "payment"},
            },
        },
    ),
]


@real("rsyslog")
def test_ships_container_logs_in_the_shape_of_filebeat(servers: Servers, name: str) -> None:
    log = Path(servers[name]["folder"]) / f"payment-7c9d8b6f5-x2x4z_shop_app-{CONTAINER}.log"
    log.write_text("".join(f"{line}\n" for line, _ in LINES))
    offsets = [sum(len(line.encode()) + 1 for line, _ in LINES[:n]) for n in range(len(LINES))]
    search = f"{servers[name]['elasticsearch']}/filebeat-*/_search?q=container.id:{CONTAINER}&sort=log.offset"

    hits = until(lambda: (found := ask(search)["hits"]["hits"]) and len(found) == len(LINES) and found)

    shipped = [hit["_source"] for hit in hits]
    agents = [document.pop("agent") for document in shipped]
    for document, offset, (_, said) in zip(shipped, offsets, LINES, strict=True):
        place = {"file": {"path": str(log)}, "offset": offset}
        assert document == {**OF_THE_NAME, **said, "log": {**said.get("log", {}), **place}}
    for agent in agents:
        assert set(agent) == {"ephemeral_id", "id", "name", "type", "version"}
        assert (agent["type"], agent["version"], agent["name"]) == ("filebeat", "8.19.21", "node1")


@real("jaeger")
def test_leaves_no_process_no_port_and_no_file(tmp_path: Path, name: str) -> None:
    started = Servers(tmp_path / "state", dict(os.environ))
    said = started[name]
    ticks = json.loads((tmp_path / f"state/{name}.json").read_text())["ticks"]

    started.close()

    assert not Process(said["pid"], ticks).lives()
    for url in (said["url"], said["otlp"]):
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", int(url.rpartition(":")[2])))
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_the_users_own_stands_in(tmp_path: Path) -> None:
    own = Servers(
        tmp_path, {"OPSLIB_TEST_JAEGER": "http://jaeger:16686/", "OPSLIB_TEST_PROMETHEUS": "http://p:9090"}
    )

    assert own["jaeger"] == {"url": "http://jaeger:16686", "otlp": "http://jaeger:4318"}
    assert own["prometheus-2"]["url"] == own["prometheus-3"]["url"] == "http://p:9090"


def test_a_server_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = processes.start(["sh", "-c", "echo the disk is full; exit 3"], log, {})

    def refused() -> str:
        raise ConnectionRefusedError

    with pytest.raises(FailedError, match=r"it ended\n(?s:.*)the disk is full"):
        processes.until(refused, process, log, within_s=30)


def test_a_pid_that_came_back_is_not_ended(tmp_path: Path) -> None:
    process = processes.start(["sleep", "60"], tmp_path / "log", {})
    try:
        processes.end([Process(process.pid, process.ticks + 1)])
        assert process.lives()
    finally:
        processes.end([process])
    assert not process.lives()
