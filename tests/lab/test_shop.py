"""The shop's parts in one process: spans, context, logs and metrics of requests, calls and ledger statements."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from opslib.lab import ports
from opslib.lab.shop import order, payment, risk, storefront
from opslib.lab.shop.client import Peer, UpstreamError
from opslib.lab.shop.knobs import Knobs
from opslib.lab.shop.ledger import POOL_SIZE, Ledger, PoolTimeoutError
from opslib.lab.shop.server import Handler, application
from opslib.lab.shop.service import Parts, http_server
from opslib.lab.shop.work import spend_cpu

Serve = Callable[[Mapping[str, Handler]], str]


@pytest.fixture
def connect(recorded) -> Iterator[Callable[[str, str], Peer]]:
    """Make peers of services, and close them."""
    with contextlib.ExitStack() as stack:
        yield lambda name, url: stack.enter_context(contextlib.closing(Peer(name, url, recorded.telemetry)))


@pytest.fixture
def serve(recorded) -> Iterator[Serve]:
    """Serve routes with telemetry that stays in memory; return the address."""
    running = []

    def start(routes: Mapping[str, Handler]) -> str:
        server = http_server(application(routes, recorded.telemetry))
        handle = ports.listen(0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [handle]})
        thread.start()
        running.append((server, thread, handle))
        return f"http://127.0.0.1:{ports.number(handle)}"

    yield start
    for server, thread, handle in running:
        server.should_exit = True
        thread.join(10)
        handle.close()


def test_a_request_is_one_server_span_and_one_sample(serve: Serve, recorded) -> None:
    url = serve({"POST /pay": lambda body: {"got": body}})
    answer = httpx2.post(
        f"{url}/pay", json={"a": 1}, headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    )
    span = recorded.span("POST /pay")
    (point,) = recorded.points("http.server.request.duration")

    assert answer.json() == {"got": {"a": 1}}
    assert span.kind is SpanKind.SERVER
    assert f"{span.context.trace_id:032x}/{span.parent.span_id:016x}" == f"{'ab' * 16}/{'cd' * 8}"
    assert span.attributes["http.response.status_code"] == 200
    assert (point.count, point.attributes["http.route"]) == (1, "/pay")


def test_a_span_starts_when_the_request_is_read_though_all_threads_are_busy(serve: Serve, recorded) -> None:
    release, entered = threading.Event(), threading.Semaphore(0)

    def block(_: dict[str, Any]) -> dict[str, Any]:
        entered.release()
        release.wait(20)
        return {}

    url = serve({"GET /block": block, "GET /quick": lambda _: {}})
    clients = [threading.Thread(target=httpx2.get, args=(f"{url}/block",)) for _ in range(40)]
    for client in clients:
        client.start()
    assert all(entered.acquire(timeout=20) for _ in clients), "the pool has 40 threads"
    late = threading.Thread(target=httpx2.get, args=(f"{url}/quick",))
    late.start()
    end = time.monotonic() + 20
    while "GET /quick" not in recorded.started.names and time.monotonic() < end:
        time.sleep(0.001)
    started_while_blocked = "GET /quick" in recorded.started.names
    probed = httpx2.get(f"{url}/readyz").status_code
    release.set()
    for client in (*clients, late):
        client.join(20)

    assert started_while_blocked
    assert probed == 200, "a probe needs no pool thread"


def test_an_exception_is_an_error_span_one_log_record_and_a_line_of_the_log(
    serve: Serve, recorded, capsys: pytest.CaptureFixture
) -> None:
    def fail(_: dict[str, Any]) -> dict[str, Any]:
        raise payment.SettlementError("no rate")

    answer = httpx2.post(f"{serve({'POST /pay': fail})}/pay", json={})
    span, (record,) = recorded.span("POST /pay"), recorded.logs()

    assert answer.status_code == 500
    assert "no rate" not in answer.text
    assert span.status.status_code is StatusCode.ERROR
    assert (record.severity_text, record.trace_id) == ("ERROR", span.context.trace_id)
    assert record.attributes["exception.type"].endswith("SettlementError")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["level"], line["message"]) == ("ERROR", "unhandled SettlementError: no rate")
    assert line["trace_id"] == f"{span.context.trace_id:032x}"


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"x" * 70_000, 413), (b"", 200)])
def test_bad_bodies_are_the_callers_fault(serve: Serve, recorded, body: bytes, status: int) -> None:
    url = serve({"POST /pay": lambda _: {}})

    assert httpx2.post(f"{url}/pay", content=body).status_code == status
    assert recorded.span("POST /pay").status.status_code is StatusCode.UNSET
    assert not recorded.logs()


def test_probes_leave_no_telemetry(serve: Serve, recorded) -> None:
    url = serve({})

    assert [httpx2.get(f"{url}{path}").status_code for path in ("/healthz", "/readyz")] == [200, 200]
    assert not recorded.spans()


def test_a_call_carries_the_context_and_names_its_peer(serve: Serve, connect, recorded) -> None:
    url = serve({"POST /score": lambda body: body})
    peer = connect("risk", url)

    assert peer.call("POST", "/score", {"a": 1}) == {"a": 1}
    client, server = recorded.span("POST /score", SpanKind.CLIENT), recorded.span("POST /score")
    assert client.attributes["peer.service"] == "risk"
    assert client.start_time <= server.start_time <= server.end_time <= client.end_time
    assert (server.parent.span_id, server.context.trace_id) == (
        client.context.span_id,
        client.context.trace_id,
    )


def test_an_upstream_error_is_logged_as_such_and_answered_502(serve: Serve, connect, recorded) -> None:
    def fail(_: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("inner")

    inner = connect("payment", serve({"POST /pay": fail}))
    outer = serve({"POST /order": lambda body: inner.call("POST", "/pay", body)})

    assert httpx2.post(f"{outer}/order", json={}).status_code == 502
    kinds = [record.attributes["exception.type"] for record in recorded.logs()]
    assert kinds[0] == "ValueError"
    assert kinds[1].endswith("UpstreamError")
    client = recorded.span("POST /pay", SpanKind.CLIENT)
    assert client.status.status_code is StatusCode.ERROR
    assert client.attributes["http.response.status_code"] == 500


def test_nobody_there_is_an_upstream_error(connect, recorded) -> None:
    with ports.reserve() as held:
        peer = connect("risk", f"http://127.0.0.1:{ports.number(held)}")
        with pytest.raises(UpstreamError, match="risk: ConnectError"):
            peer.call("GET", "/")

    assert recorded.spans()["GET /"].status.status_code is StatusCode.ERROR


def test_the_ledger_books_once_and_sums(tmp_path: Path, recorded) -> None:
    ledger = Ledger(tmp_path / "ledger.db", recorded.telemetry)
    for order_id in ("a", "a", "b"):
        ledger.book(order_id, "acct-1", 500)

    assert ledger.spent_cents("acct-1", 0) == 1000
    assert ledger.spent_cents("acct-2", 0) == 0
    insert = recorded.spans()["INSERT payments"]
    assert insert.kind is SpanKind.CLIENT
    assert {k: insert.attributes[k] for k in ("db.system.name", "db.namespace", "db.operation.name")} == {
        "db.system.name": "sqlite",
        "db.namespace": "ledger",
        "db.operation.name": "INSERT",
    }
    used = {
        p.attributes["db.client.connection.state"]: p.value
        for p in recorded.points("db.client.connection.count")
    }
    assert used == {"used": 0, "idle": POOL_SIZE}
    ledger.close()


def test_a_held_write_lock_makes_writers_wait_inside_their_span_and_readers_not(
    tmp_path: Path, recorded
) -> None:
    ledger = Ledger(tmp_path / "ledger.db", recorded.telemetry)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = threading.Thread(target=ledger.book, args=("a", "acct-1", 1))
    writer.start()
    assert ledger.spent_cents("acct-1", 0) == 0
    read = recorded.spans()["SELECT payments"]
    other.execute("ROLLBACK")
    writer.join(10)
    other.close()
    write = recorded.spans()["INSERT payments"]

    assert write.end_time > read.end_time
    assert ledger.spent_cents("acct-1", 0) == 1
    ledger.close()


def test_an_empty_pool_is_an_error_and_no_span(tmp_path: Path, recorded) -> None:
    ledger = Ledger(tmp_path / "ledger.db", recorded.telemetry, pool_size=1, pool_timeout_s=0.01)
    with ledger._connection(), pytest.raises(PoolTimeoutError, match="no connection"):
        ledger.book("a", "acct-1", 1)

    assert not recorded.spans()
    ledger.close()


class Scripted:
    """A peer that answers what it was told to, and remembers what it was asked."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer, self.asked, self.keys = answer, [], []

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> dict[str, Any]:
        self.asked.append((method, path, body))
        self.keys.append(key)
        return self.answer


def parts(recorded, tmp_path: Path, **peers: Scripted) -> Parts:
    return Parts(recorded.telemetry, Knobs(), peers, tmp_path / "ledger.db")


ORDER = {"order_id": "o-1", "account": "acct-1", "amount_cents": 700}


def test_payment_has_a_payment_scored_and_books_it(tmp_path: Path, recorded) -> None:
    made = parts(recorded, tmp_path, risk=Scripted({"decision": "accept"}))
    pay = payment.routes(made)["POST /payments"]

    assert pay(ORDER) == {"status": "authorised"}
    assert made.peers["risk"].asked == [("POST", "/score", {"account": "acct-1", "amount_cents": 700})]
    assert [r.body for r in recorded.logs()] == ["payment authorised"]
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        assert connection.execute("SELECT order_id, amount_cents FROM payments").fetchall() == [("o-1", 700)]
    connection.close()


def test_payment_declines_what_risk_does_not_accept(tmp_path: Path, recorded) -> None:
    pay = payment.routes(parts(recorded, tmp_path, risk=Scripted({"decision": "review"})))["POST /payments"]

    assert pay(ORDER) == {"status": "declined"}
    assert "INSERT payments" not in recorded.spans()


def test_the_knob_of_payment_is_a_share_of_exceptions(tmp_path: Path, recorded) -> None:
    made = parts(recorded, tmp_path, risk=Scripted({"decision": "accept"}))
    pay = payment.routes(made)["POST /payments"]
    made.knobs.replace({"fail_share": 1})
    with pytest.raises(payment.SettlementError):
        pay(ORDER)
    made.knobs.replace({})

    assert pay(ORDER)["status"] == "authorised"


def test_the_knob_of_risk_is_processor_time(tmp_path: Path, recorded) -> None:
    made = parts(recorded, tmp_path)
    score = risk.routes(made)["POST /score"]
    made.knobs.replace({"score_cpu_ms": 0})

    assert score({"amount_cents": 1})["decision"] == "accept"


def test_order_has_its_orders_paid_and_lists_them(tmp_path: Path, recorded) -> None:
    routes = order.routes(parts(recorded, tmp_path, payment=Scripted({"status": "authorised"})))
    placed = routes["POST /orders"]({"account": "acct-1", "amount_cents": 5})

    assert placed["status"] == "authorised"
    assert routes["GET /orders"]({}) == {"orders": [placed]}


def test_the_storefront_passes_on(tmp_path: Path, recorded) -> None:
    peer = Scripted({"order_id": "o-1", "status": "authorised"})
    routes = storefront.routes(parts(recorded, tmp_path, order=peer))

    assert routes["POST /checkout"]({"account": "a"}) == peer.answer
    assert routes["GET /orders"]({}) == peer.answer
    assert routes["GET /"]({})["page"]
    assert [asked[:2] for asked in peer.asked] == [("POST", "/orders"), ("GET", "/orders")]


def test_knobs_are_numbers_replaced_as_a_whole() -> None:
    knobs = Knobs()
    knobs.replace({"a": 1})

    assert knobs.replace({"b": "2.5"}) == {"knobs": {"b": 2.5}}
    assert (knobs.get("a", 7), knobs.get("b", 7)) == (7, 2.5)
    with pytest.raises(ValueError, match="much"):
        knobs.replace({"a": "much"})


def test_work_is_the_same_digest_shape_for_any_time() -> None:
    assert len(spend_cpu(0.001, b"x")) == 64
    assert json.dumps(spend_cpu(0, b"x"))
