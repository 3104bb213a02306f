"""The shop as containers run it: settings from the environment, calls that are tried again once, an end without loss."""

import asyncio
import http.server
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from opslib.core.errors import UsageError
from opslib.core.settings import environ_of_containers
from opslib.lab import ports
from opslib.lab.shop import order, payment, storefront
from opslib.lab.shop.client import BrokenError, Peer, UpstreamError
from opslib.lab.shop.container import settings
from opslib.lab.shop.drain import Drain
from opslib.lab.shop.knobs import Knobs
from opslib.lab.shop.service import Parts


class Scripted:
    """A peer that remembers what it was asked, and with which key."""

    def __init__(self) -> None:
        self.keys, self.bodies = [], []

    def call(self, method: str, path: str, body: dict | None = None, *, key: str = "") -> dict:
        self.keys.append(key)
        self.bodies.append(body)
        return {"status": "authorised", "order_id": "o", "decision": "accept"}


class Server:
    """Answers each connection with the next bytes of its script; b"" closes it unanswered."""

    def __init__(self, *script: bytes) -> None:
        self._script = list(script)
        self.requests: list[bytes] = []
        self._socket = ports.listen(0)
        self.url = f"http://127.0.0.1:{ports.number(self._socket)}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for answer in self._script:
            with suppress(OSError):
                connection, _ = self._socket.accept()
                with connection:
                    self.requests.append(connection.recv(65536))
                    connection.sendall(answer)

    def close(self) -> None:
        self._thread.join(10)
        self._socket.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
UNAVAILABLE = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_what_breaks_off_is_tried_again_with_the_same_key(recorded) -> None:
    with (
        closing(Server(b"", UNAVAILABLE, OK)) as server,
        closing(Peer("order", server.url, recorded.telemetry, attempts=5)) as peer,
    ):
        assert peer.call("POST", "/orders", {}, key="k-1") == {}

    assert [b"Idempotency-Key: k-1" in r for r in server.requests] == [True] * 3
    assert len([s for s in recorded._spans.get_finished_spans() if s.name == "POST /orders"]) == 3


@pytest.mark.parametrize(
    ("key", "script", "error"), [("", b"", BrokenError), ("k", BAD_GATEWAY, UpstreamError)]
)
def test_without_a_key_or_with_an_answer_nothing_is_tried_again(recorded, key, script, error) -> None:
    with (
        closing(Server(script)) as server,
        closing(Peer("order", server.url, recorded.telemetry, attempts=5)) as peer,
        pytest.raises(error),
    ):
        peer.call("POST", "/orders", {}, key=key)

    assert len(server.requests) == 1


def test_a_key_is_one_order_everywhere_and_reaches_the_payment(recorded, tmp_path: Path) -> None:
    peer = Scripted()
    place = order.routes(Parts(recorded.telemetry, Knobs(), {"payment": peer}, tmp_path))["POST /orders"]
    first, again, other = (place({"idempotency_key": key}) for key in ("a", "a", "b"))

    assert first["order_id"] == again["order_id"] == order.order_of("a") != other["order_id"]
    assert peer.keys == [first["order_id"]] * 2 + [other["order_id"]]
    checkout = storefront.routes(Parts(recorded.telemetry, Knobs(), {"order": peer}, tmp_path))[
        "POST /checkout"
    ]
    checkout({"idempotency_key": "mine"})
    checkout({})
    assert peer.keys[3] == "mine"
    assert peer.keys[4], "a customer that brings no key is given one"


def test_a_payment_is_booked_once_by_two_processes_of_payment(recorded, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    replicas = [
        payment.routes(Parts(recorded.telemetry, Knobs(), {"risk": Scripted()}, ledger))["POST /payments"]
        for _ in range(2)
    ]
    for pay in replicas:
        assert pay({"order_id": "o-1", "account": "a", "amount_cents": 5})["status"] == "authorised"

    with closing(sqlite3.connect(ledger)) as connection:
        assert connection.execute("SELECT order_id, amount_cents FROM payments").fetchall() == [("o-1", 5)]


ENV = {"PORT": "8080", "POD_IP": "127.16.128.9", "PAYMENT_URL": "http://payment"}


def test_settings_come_from_the_environment() -> None:
    told = settings(
        "order",
        {
            **ENV,
            "HTTP_PROXY": "http://shop:@127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/",
            "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.5.0,k8s.pod.name=order-1,x=a%2Cb,,",
            "KNOBS": '{"sign_cpu_ms": 3}',
        },
    )

    assert (told["host"], told["port"], told["proxy"]) == ("127.16.128.9", 8080, "http://shop:@127.0.0.1:1")
    assert told["collector_url"] == "http://c:4318"
    assert told["peers"] == {"payment": "http://payment"}
    assert told["knobs"] == {"sign_cpu_ms": 3}
    wanted = {"service.name": "order", "service.version": "1.5.0", "k8s.pod.name": "order-1", "x": "a,b"}
    assert told["resource"] == wanted
    assert "control_port" not in told, "closed without a token"


def test_where_to_listen_and_where_files_are_can_be_elsewhere() -> None:
    env = {"PORT": "8080", "RISK_URL": "http://risk", "POD_ROOT": "/pod", "LEDGER": "/data/l.db"}
    told = settings("payment", {**env, "CONTROL_TOKEN": "t", "CONTROL_PORT": "81", "HISTORY_ROWS": "7"})
    assert (told["host"], told["port"], told["control_port"], told["ledger"]) == (
        "0.0.0.0",
        8080,
        81,
        "/pod/data/l.db",
    )
    assert told["history_rows"] == 7
    placed = settings("order", {**ENV, "POD_LISTEN_8080": "127.0.0.1:5555"})
    assert (placed["host"], placed["port"]) == ("127.0.0.1", 5555)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"PORT": "x"}, "variable"), ({"PAYMENT_URL": None}, "PAYMENT_URL"), ({"KNOBS": "{"}, "variable")],
)
def test_a_wrong_environment_is_said_so(change: dict, word: str) -> None:
    env = {key: value for key, value in {**ENV, **change}.items() if value is not None}
    with pytest.raises(UsageError, match=word):
        settings("order", env)


def test_containers_inherit_where_programs_are_and_no_more() -> None:
    env = environ_of_containers(
        {"PATH": "p", "AWS_SECRET": "s", "HTTP_PROXY": "h", "OTEL_X": "o", "COV_CORE_DATAFILE": "d"}
    )
    assert env == {"PATH": "p", "COV_CORE_DATAFILE": "d"}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def ask(drain: Drain, path: str = "/", before_end=lambda: None) -> tuple[int, bool]:
    """Call an app once; return its status, and whether it said that the connection ends."""
    sent = []

    async def send(message) -> None:
        sent.append(message)
        before_end()

    asyncio.run(drain({"type": "http", "path": path}, None, send))
    return sent[0]["status"], (b"connection", b"close") in sent[0]["headers"]


async def app(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def test_a_drain_ends_when_nothing_is_in_flight_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opslib.lab.shop.drain.random.random", lambda: 0.99)
    clock = Clock()
    drain = Drain(app, 20.0, clock)
    assert ask(drain) == (200, False)
    clock.now_s = 100
    assert not drain.is_done()
    drain.begin()
    assert ask(drain, "/readyz") == (503, False)
    assert ask(drain, "/healthz") == (200, False)
    clock.now_s = 110
    states = []
    assert ask(drain, before_end=lambda: states.append(drain.is_done())) == (200, True), (
        "still served, the last time"
    )
    assert states == [False, False], "a call is in flight"
    assert not drain.is_done(), "it has just ended"
    clock.now_s = 110.4
    assert drain.is_done()


def test_a_drain_does_not_wait_for_ever_and_long_connections_end_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    drain = Drain(app, 20.0, clock)
    monkeypatch.setattr("opslib.lab.shop.drain.random.random", lambda: 0.001)
    assert ask(drain) == (200, True)
    drain.begin()
    clock.now_s = 21
    late = []
    ask(drain, before_end=lambda: late.append(drain.is_done()))
    assert late == [True, True]


class Collector:
    """Takes OTLP over HTTP and keeps the bodies by path."""

    def __init__(self) -> None:
        got = self.got = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got[self.path] = got.get(self.path, b"") + self.rfile.read(
                    int(self.headers["Content-Length"])
                )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.mark.lab
def test_a_service_that_is_told_to_end_answers_what_is_in_flight_and_sends_its_telemetry() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, answers = f"http://127.0.0.1:{port}", []
    with closing(Collector()) as collector:
        env = {
            **os.environ,
            "PORT": str(port),
            "POD_IP": "127.0.0.1",
            "KNOBS": json.dumps({"score_cpu_ms": 1500}),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_RESOURCE_ATTRIBUTES": "service.version=7.7.7,k8s.pod.name=risk-pod",
            "HTTP_PROXY": "http://127.0.0.1:1",  # is for the names of Services
            "NO_PROXY": "127.0.0.1",
        }
        process = subprocess.Popen([sys.executable, "-m", "opslib.lab.shop", "risk"], env=env)
        try:
            wait_until_ready(url)
            call = threading.Thread(
                target=lambda: answers.append(httpx2.post(f"{url}/score", json={}, timeout=30).status_code)
            )
            call.start()
            idle_s = used_s(process.pid)
            while used_s(process.pid) < idle_s + 0.2:
                assert call.is_alive()
            process.send_signal(signal.SIGTERM)
            call.join(30)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()

    assert answers == [200]
    for word in (b"POST /score", b"7.7.7", b"risk-pod"):
        assert word in collector.got["/v1/traces"]


def wait_until_ready(url: str) -> None:
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        with suppress(httpx2.HTTPError):
            if httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
    raise AssertionError("it did not get ready in time")


def used_s(pid: int) -> float:
    """Processor seconds."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def test_an_unknown_service_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opslib.lab.shop", "zz"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "storefront,order,payment,risk" in done.stderr
