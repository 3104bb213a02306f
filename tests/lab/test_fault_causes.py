"""What brings a fault about, part by part: clocks, sampling, retries, releases, a held pool, an index, a throttle."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from opslib.core.clock import SystemClock
from opslib.lab import indexer, throttle
from opslib.lab.collector.sampling import TailSampler
from opslib.lab.collector.server import Collector
from opslib.lab.load.schedule import TENANTS, basket
from opslib.lab.shop import payment, risk, storefront
from opslib.lab.shop.client import Split, UpstreamError
from opslib.lab.shop.knobs import Knobs
from opslib.lab.shop.ledger import POOL_SIZE, Ledger
from opslib.lab.shop.outlet import Outlet
from opslib.lab.shop.service import Parts
from opslib.lab.state import Folder
from opslib.lab.supervisor.helpers import helper_child
from opslib.lab.supervisor.plan import Options
from opslib.lab.waiting import wait_for
from opslib.telemetry.capture import CaptureWriter, open_capture

MS = 1_000_000
ORDER = {"order_id": "o-1", "account": "acct-1", "amount_cents": 700, "tenant": "acme"}


class Peer:
    """Answers, or fails as often as it is told to; remembers what it was asked."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.asked = failures, []

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> dict[str, Any]:
        self.asked.append(body)
        if len(self.asked) <= self.failures:
            raise UpstreamError("risk answered 500")
        return {"decision": "accept"}

    def close(self) -> None:
        self.asked.append("closed")


def pay_with(recorded, tmp_path: Path, peer: Peer, **knobs: float) -> dict[str, Any]:
    made = Parts(recorded.telemetry, Knobs(), {"risk": peer}, tmp_path / "ledger.db")
    made.knobs.replace(knobs)
    return payment.routes(made)["POST /payments"](ORDER)


def test_a_clock_that_is_ahead_shifts_spans_and_keeps_their_length() -> None:
    kept, knobs = InMemorySpanExporter(), Knobs()
    tracers = TracerProvider()
    tracers.add_span_processor(Outlet(SimpleSpanProcessor(kept), knobs))
    tracer = tracers.get_tracer("t")
    for number, values in enumerate(({}, {"clock_offset_ms": 2000.0}, {"spans": 0.0})):
        knobs.replace(values)
        tracer.start_span(f"s{number}", start_time=5 * MS, attributes={"a": number}).end(9 * MS)
    tracers.force_flush()
    spans = {s.name: (s.start_time, s.end_time, s.attributes["a"]) for s in kept.get_finished_spans()}
    tracers.shutdown()

    assert spans == {"s0": (5 * MS, 9 * MS, 0), "s1": (2005 * MS, 2009 * MS, 1)}


def test_logs_tell_the_time_of_their_host(recorded) -> None:
    recorded.telemetry.info("a", {})
    recorded.telemetry.knobs.replace({"clock_offset_ms": 2000.0})
    recorded.telemetry.warn("b")
    first, second = recorded.logs()

    assert 2000 * MS <= second.timestamp - first.timestamp < 3000 * MS
    assert second.severity_text == "WARN"


def test_payment_asks_risk_again_with_pauses_and_says_so(recorded, tmp_path: Path) -> None:
    peer = Peer(failures=2)
    begin_s = time.perf_counter()

    assert pay_with(recorded, tmp_path, peer) == {"status": "authorised"}
    assert time.perf_counter() - begin_s >= 0.075
    assert len(peer.asked) == 3
    assert {asked["tenant"] for asked in peer.asked} == {"acme"}
    assert [log.severity_text for log in recorded.logs()] == ["WARN", "WARN", "INFO"]


def test_payment_gives_up_after_its_last_attempt(recorded, tmp_path: Path) -> None:
    peer = Peer(failures=9)
    with pytest.raises(UpstreamError):
        pay_with(recorded, tmp_path, peer)

    assert len(peer.asked) == 4


def test_payment_can_skip_risk_and_books_all_the_same(recorded, tmp_path: Path) -> None:
    peer = Peer()

    assert pay_with(recorded, tmp_path, peer, score_share=0.0) == {"status": "authorised"}
    assert peer.asked == []


def test_a_job_that_keeps_the_pool_makes_statements_wait_before_their_span(recorded, tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.db", recorded.telemetry)) as ledger:
        job = threading.Thread(target=ledger.hold_all, args=(0.3,))
        job.start()
        assert wait_for(lambda: ledger._free.qsize() == 0, 5, SystemClock(), every_s=0.001)
        begin_s = time.perf_counter()
        ledger.book("o-1", "acct-1", 1)
        waited_s = time.perf_counter() - begin_s
        job.join(5)

        assert ledger._free.qsize() == POOL_SIZE
    insert = recorded.spans()["INSERT payments"]
    assert waited_s > 0.2
    assert insert.end_time - insert.start_time < waited_s * 1e9 / 2
    (point,) = recorded.points("db.client.connection.wait_time")
    assert point.max > 0.2


def test_the_job_of_payment_runs_while_its_knob_is_set(recorded, tmp_path: Path) -> None:
    made = Parts(recorded.telemetry, Knobs(), {"risk": Peer()}, tmp_path / "ledger.db")
    pay = payment.routes(made)["POST /payments"]
    made.knobs.replace({"pool_hold_ms": 150.0, "pool_gap_ms": 1.0})

    def waited() -> bool:
        pay(ORDER)
        (point,) = recorded.points("db.client.connection.wait_time")
        return point.max > 0.05

    assert wait_for(waited, 10, SystemClock(), every_s=0.01)
    made.knobs.replace({})


def test_the_ledger_has_a_past_once_and_it_adds_nothing_to_today(recorded, tmp_path: Path) -> None:
    for _ in range(2):
        with closing(Ledger(tmp_path / "ledger.db", recorded.telemetry, history_rows=1000)) as ledger:
            assert ledger.spent_cents("acct-0001", time.time_ns() - 86_400 * 10**9) == 0
            assert ledger.spent_cents("acct-0001", 0) == 2 * 501 + 500
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        assert connection.execute("SELECT count(*) FROM payments").fetchone() == (1000,)


def has_index(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM payments WHERE account = ? AND created_ns > ?", ("a", 1)
        ).fetchall()
    return "USING INDEX" in str(plan)


def run_until_sigterm(main: Any, settings: dict[str, Any], under: Any) -> None:
    """Run a helper in this process; once `under` is true it is told to end."""
    before = signal.getsignal(signal.SIGTERM)
    telling = threading.Thread(
        target=lambda: (wait_for(under, 10, SystemClock()), os.kill(os.getpid(), signal.SIGTERM))
    )
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        telling.start()
        main(settings)
    finally:
        telling.join(15)
        signal.signal(signal.SIGTERM, before)


def test_the_index_is_gone_until_the_helper_ends(recorded, tmp_path: Path) -> None:
    path, seen = tmp_path / "ledger.db", []
    Ledger(path, recorded.telemetry).close()
    assert has_index(path)

    def gone() -> bool:
        seen.append(not has_index(path))
        return seen[-1]

    run_until_sigterm(indexer.main, {"ledger": str(path)}, gone)

    assert seen[-1]
    assert has_index(path)


def test_a_throttled_process_stands_and_runs_and_is_left_running() -> None:
    target = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process, seen = psutil.Process(target.pid), set()

    def both() -> bool:
        seen.add(process.status() == psutil.STATUS_STOPPED)
        return seen == {True, False}

    try:
        run_until_sigterm(throttle.main, {"target_pids": [target.pid], "run_ms": 30, "stop_ms": 30}, both)
        assert seen == {True, False}
        assert wait_for(lambda: process.status() != psutil.STATUS_STOPPED, 5, SystemClock())
    finally:
        target.kill()
        target.wait(10)
    throttle.main(
        {"target_pids": [target.pid], "run_ms": 1, "stop_ms": 1}
    )  # one that is gone is nobody's fault


def test_risk_can_be_slow_for_one_tenant_and_fail_a_share(recorded, tmp_path: Path) -> None:
    parts = Parts(recorded.telemetry, Knobs(), {}, tmp_path)
    score = risk.routes(parts)["POST /score"]
    parts.knobs.replace({"score_cpu_ms": 0, "score_cpu_ms.acme": 60})
    used = {}
    for tenant in ("acme", "globex"):
        begin_s = time.thread_time()
        score({"tenant": tenant})
        used[tenant] = time.thread_time() - begin_s
    parts.knobs.replace({"score_cpu_ms": 0, "fail_share": 1})

    assert used["acme"] >= 0.06 > used["globex"]
    with pytest.raises(risk.ModelError):
        score({})


def test_the_storefront_can_be_loud_and_answers_all_the_same(recorded, tmp_path: Path) -> None:
    parts = Parts(recorded.telemetry, Knobs(), {}, tmp_path)
    parts.knobs.replace({"banner_fail_share": 1})

    assert storefront.routes(parts)["GET /"]({})["page"]
    assert [log.severity_text for log in recorded.logs()] == ["ERROR"]


def test_a_share_of_the_calls_goes_to_the_newer_release() -> None:
    stable, canary, knobs = Peer(), Peer(), Knobs()
    split = Split(stable, canary, knobs)
    for share in (0.0, 1.0):
        knobs.replace({"canary_share": share})
        split.call("POST", "/payments", {"share": share})
    split.close()

    assert stable.asked == [{"share": 0.0}, "closed"]
    assert canary.asked == [{"share": 1.0}, "closed"]


def test_every_customer_belongs_to_a_tenant() -> None:
    assert {basket(1, number)["tenant"] for number in range(100)} == set(TENANTS)


def span(trace: str, parent: str | None, ms: int, status: str = "UNSET") -> tuple:
    start = 10**9
    return (trace, "s", parent, "n", "SERVER", start, start + ms * MS, status, *(["x"] + [None] * 5))


def test_tail_sampling_keeps_whole_slow_or_failed_traces() -> None:
    sampler = TailSampler(50)
    sampler.add(
        [span("slow", None, 60), span("fast", None, 40), span("failed", None, 1)], {"slow": b"a"}, 0.0
    )
    sampler.add(
        [span("slow", "s", 1), span("failed", "s", 1, "ERROR"), span("rootless", "s", 90)],
        {"slow": b"b"},
        1.0,
    )

    assert sampler.decided(2.0) == []
    kept = {trace.rows[0][0]: trace.requests for trace in sampler.decided(3.5)}
    assert kept == {"failed": [], "slow": [b"a", b"b"]}
    assert sampler.decided(9.0) == []
    assert "50 ms" in sampler.rule


EVENT = {
    "type": "Change",
    "reason": "Rollout",
    "message": "m",
    "kind": "Deployment",
    "name": "payment",
    "namespace": "shop",
    "attributes": {"to": "2"},
}


def test_the_collector_states_its_rule_keeps_events_and_can_forget(tmp_path: Path) -> None:
    collector = Collector(CaptureWriter(tmp_path / "c"), 0)
    collector.keep({"slower_ms": 60.0})
    collector.begin({"begin_ns": 5})
    kept = [collector.event({**EVENT, "time_unix_nano": at})["kept"] for at in (4, 5)]
    collector.roll()
    sampled = open_capture(tmp_path / "c").meta
    collector.keep({})
    collector.roll()
    whole = open_capture(tmp_path / "c").meta
    collector.forget({"begin_ns": 7})
    collector.close()
    anew = open_capture(tmp_path / "c").meta

    assert kept == [0, 1], "what was before the beginning is no part of the capture"
    assert "slower than 60 ms" in sampled.selection["incident"]
    assert sampled.selection["baseline"] == "all"
    assert whole.selection == {"incident": "all", "baseline": "all"}
    assert [name for name in whole.files if name.startswith("events")]
    assert not anew.files


def test_a_helper_has_its_own_settings_and_the_ledger(tmp_path: Path) -> None:
    options = Options({"payment": 8.0}, 1, 60, {})
    child = helper_child(1, {"role": "locker", "settings": {"hold_ms": [1, 2]}}, Folder(tmp_path), options)

    assert (child.name, child.role, child.settings["hold_ms"]) == ("locker-1", "locker", [1, 2])
    assert child.settings["ledger"].endswith("ledger.db")
