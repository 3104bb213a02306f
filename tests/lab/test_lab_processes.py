"""The lab as processes: it starts, is measured, broken, mended, graded, attacked, killed, and leaves nothing behind.

What a fault does is read from the raw spans in the capture, without the diagnosis.
"""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
from lab_spans import ledger_ms, spans, starts, table, to_risk_ms, total_ms

from opslib import lab
from opslib.core.errors import EnvironmentNotFoundError, LabError, RefusedError, UsageError
from opslib.core.settings import Settings, load_environment
from opslib.lab import ports
from opslib.lab.commands import supervisor_address
from opslib.lab.control import call
from opslib.lab.scenarios import scenario
from opslib.lab.state import Folder
from opslib.telemetry.capture.manifest import read_meta

pytestmark = pytest.mark.lab

SERVICES = {"storefront", "order", "payment", "risk"}


def until(condition: Callable[[], Any], timeout_s: float = 60) -> Any:
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return value


def processes(state: Path) -> dict[str, SimpleNamespace]:
    """The supervisor's word alone: no second is spent on measuring."""
    asked = call(supervisor_address(Folder(state)), "status")
    return {process["name"]: SimpleNamespace(**process) for process in asked["processes"]}


def pods_of(state: Path, service: str) -> list[SimpleNamespace]:
    return [process for process in processes(state).values() if getattr(process, "app", "") == service]


def apply(state: Path, **knobs: dict[str, float]) -> None:
    fault = {"knobs": knobs, "helpers": []}
    call(supervisor_address(Folder(state)), "apply", timeout_s=20, **fault)


def test_a_running_lab_tells_what_it_is(running_lab: Path) -> None:
    status = lab.status(running_lab)
    shown = {process.name: process for process in status.processes}
    shop = [name.rsplit("-", 2)[0] for name, process in shown.items() if process.group == "shop"]

    assert sorted(shop) == sorted([*SERVICES, *SERVICES]), "two pods of each"
    assert {"load", "collector", "cluster", "supervisor"} < set(shown)
    assert all(process.state == "ready" and process.restarts == 0 for process in shown.values())
    assert status.load["offered_rps"] == pytest.approx(50, rel=0.2)
    assert status.scenario == "healthy"
    for word in ("payment", "rps offered", "core", "capture"):
        assert word in status.text()


def test_it_listens_on_loopback_only(running_lab: Path) -> None:
    for process in processes(running_lab).values():
        listening = [
            c.laddr.ip
            for c in psutil.Process(process.pid).net_connections()
            if c.status == psutil.CONN_LISTEN
        ]
        assert all(ip.startswith("127.") for ip in listening), listening


def test_it_is_an_ordinary_environment(running_lab: Path) -> None:
    environment = load_environment("lab", Settings(running_lab, lab_state=running_lab))

    assert set(environment.services) == SERVICES
    assert environment.traces.kind == "capture"
    assert environment.traces.options == {"path": "capture", "live": True}


def test_the_capture_holds_whole_traces_of_all_services(running_lab: Path) -> None:
    def whole() -> bool:
        frame = spans(running_lab, 0)
        return (frame.name == "POST /score").sum() >= 20

    until(whole)
    frame = spans(running_lab, 0)
    trace = frame[frame.trace_id == frame[frame.name == "POST /score"].trace_id.iloc[0]]

    assert set(frame.service_name) == SERVICES
    assert frame.start_time_unix_nano.min() >= Folder(running_lab).read()["begin_ns"]
    assert sorted(trace.name) == [
        "INSERT payments",
        *("POST /checkout", "POST /orders", "POST /orders", "POST /payments", "POST /payments"),
        *("POST /score", "POST /score", "SELECT payments"),
    ]
    assert trace.parent_span_id.isna().sum() == 1
    assert set(trace.parent_span_id.dropna()) <= set(trace.span_id)


def test_logs_carry_trace_ids_and_metrics_the_expected_names(running_lab: Path) -> None:
    until(lambda: set(table(running_lab, "metrics").service_name) == SERVICES)
    logs, metrics = table(running_lab, "logs"), table(running_lab, "metrics")

    assert logs.trace_id.notna().all()
    assert set(logs.trace_id.head(20)) <= set(table(running_lab, "spans").trace_id)
    assert {
        "http.server.request.duration_bucket",
        "http.server.request.duration_sum",
        "http.server.request.duration_count",
        "db.client.connection.count",
        "process.cpu.utilization",
        "process.memory.usage",
    } <= set(metrics.name)


def test_up_twice_is_refused_and_leaves_the_lab_alone(running_lab: Path) -> None:
    before = {name: process.pid for name, process in processes(running_lab).items()}
    with pytest.raises(RefusedError, match="already running"):
        lab.up(running_lab)

    assert {name: process.pid for name, process in processes(running_lab).items()} == before


def where_risk_cpu_lies(frame: pd.DataFrame) -> pd.Series:
    return total_ms(frame, "risk", "SERVER")


def where_ledger_lock_lies(frame: pd.DataFrame) -> pd.Series:
    return ledger_ms(frame)


def where_edge_delay_lies(frame: pd.DataFrame) -> pd.Series:
    return to_risk_ms(frame) - total_ms(frame, "risk", "SERVER")


# Medians where every call is slower, so that what else the machine does shows less; a lock held in bursts needs means.
@pytest.mark.parametrize(
    ("scenario", "location", "statistic"),
    [
        ("risk-cpu", where_risk_cpu_lies, "median"),
        ("ledger-lock", where_ledger_lock_lies, "mean"),
        ("edge-delay", where_edge_delay_lies, "median"),
    ],
)
def test_the_time_a_fault_adds_lies_where_the_table_says(
    running_lab: Path, scenario: str, location: Callable[[pd.DataFrame], pd.Series], statistic: str
) -> None:
    said: list[str] = []
    injected = lab.inject(running_lab, scenario, said.append, enough=30)
    frame = spans(running_lab, injected["clean_since_ns"])
    calls = total_ms(frame, "order", "CLIENT")
    rows = pd.DataFrame({"call": calls, "there": location(frame), "start": starts(frame)}).dropna()
    under = rows[rows.start >= injected["since_ns"]]
    before = rows[rows.start < injected["since_ns"]]

    assert len(before) >= 30
    assert len(under) >= 30
    added = under[["call", "there"]].agg(statistic) - before[["call", "there"]].agg(statistic)
    assert added.call > 30, "milliseconds: large enough to matter"
    assert added.there / added.call >= 0.8
    assert injected["seconds"] < 30
    assert said
    status = lab.status(running_lab)
    busy = [p for p in status.processes if p.group in ("shop", "helper") and p.cpu_cores >= 0.5]
    assert not busy
    assert status.scenario == scenario


def test_exceptions_begin_in_payment_and_add_no_time(running_lab: Path) -> None:
    injected = lab.inject(running_lab, "payment-exception", enough=30)
    whole = spans(running_lab, injected["clean_since_ns"])
    frame = whole[whole.start_time_unix_nano >= injected["since_ns"]]
    failed = frame[frame.status_code == "ERROR"]
    calls = frame[(frame.service_name == "payment") & (frame.kind == "SERVER")]
    logs = table(running_lab, "logs")
    logs = logs[(logs.time_unix_nano >= injected["since_ns"]) & (logs.severity_text == "ERROR")]
    origin = logs[logs.service_name == "payment"]

    assert 0.1 < (calls.status_code == "ERROR").mean() < 0.5
    assert not ((failed.service_name == "risk") | failed.attributes.str.contains("db.namespace")).any()
    # Each pod sends its spans by itself: of the last traces some have not come yet.
    settled = origin[origin.time_unix_nano < frame.start_time_unix_nano.max() - 2 * 10**9]
    assert set(failed.trace_id) >= set(settled.trace_id) & set(frame.trace_id)
    assert origin.attributes.str.contains("SettlementError").all()
    assert not logs[logs.service_name != "payment"].attributes.str.contains("SettlementError").any()
    before = whole[whole.start_time_unix_nano < injected["since_ns"]]
    assert calls.ms.median() - total_ms(before, "payment", "SERVER").median() < 20


def test_a_second_release_takes_a_share_of_the_calls_and_leaves_no_process(running_lab: Path) -> None:
    def versions() -> set[str]:
        frame = spans(running_lab, 0)
        return set(frame[frame.service_name == "payment"].service_version)

    def told() -> list[str]:
        events = table(running_lab, "events")
        return [json.loads(text)["to"] for text in events[events.type == "Change"].attributes]

    call(supervisor_address(Folder(running_lab)), "apply", timeout_s=20, **scenario("bad-release").fault())
    (canary,) = pods_of(running_lab, "payment-canary")
    assert canary.state == "ready"
    until(lambda: versions() == {"1.4.0", "1.5.0"})
    until(lambda: told() == ["1.5.0"])
    call(supervisor_address(Folder(running_lab)), "apply", timeout_s=20, **scenario("healthy").fault())

    until(lambda: not pods_of(running_lab, "payment-canary"))
    until(lambda: told() == ["1.5.0", "1.4.0"])


def test_no_name_of_a_scenario_reaches_the_capture_or_a_process(running_lab: Path) -> None:
    words = [name for name in lab.scenario_names() if name != "healthy"]
    frames = [table(running_lab, name) for name in ("spans", "logs", "metrics")]
    texts = [str(value) for frame in frames for column in frame for value in frame[column].unique()]
    commands = [" ".join(psutil.Process(p.pid).cmdline()) for p in processes(running_lab).values()]

    assert not [text for text in [*texts, *commands] if any(word in text for word in words)]


def test_the_collector_answers_garbage_and_lives(running_lab: Path) -> None:
    port, pid = (processes(running_lab)["collector"].port, processes(running_lab)["collector"].pid)
    sent = [
        ("POST", "/v1/traces", b"garbage", {"Content-Type": "application/x-protobuf"}, 400),
        ("POST", "/v1/logs", b"{", {"Content-Type": "application/json"}, 400),
        ("POST", "/v1/metrics", b"x", {"Content-Type": "text/plain"}, 415),
        ("POST", "/v1/traces", b"x", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 400),
        ("POST", "/v1/traces", bytes(9 << 20), {"Content-Type": "application/json"}, 413),
        ("GET", "/v1/traces", b"", {}, 405),
        ("POST", "/elsewhere", b"", {}, 404),
        ("POST", "/v1/traces", b"{}", {"Content-Type": "application/json"}, 200),
    ]
    for method, path, body, headers, status in sent:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, path, body, headers)
        assert connection.getresponse().status == status, (path, body[:10])
        connection.close()

    assert processes(running_lab)["collector"].pid == pid
    assert lab.status(running_lab).captured["bad_requests"] == 5


def test_a_crashed_container_shows_in_status_metrics_and_events(running_lab: Path) -> None:
    first, _ = pods_of(running_lab, "payment")
    since_ns = time.time_ns()
    os.kill(first.pid, signal.SIGKILL)
    second = until(lambda: (p := processes(running_lab)[first.name]).restarts and p.state == "ready" and p)

    assert (second.restarts, second.last_exit) == (1, "Error, exit code 137")
    assert second.pid != first.pid

    def counted() -> float:
        metrics = table(running_lab, "metrics")
        named = metrics.name == "kube_pod_container_status_restarts_total"
        return metrics[named & (metrics.k8s_pod_name == first.name)].value.max()

    def told() -> set[str]:
        events = table(running_lab, "events")
        mine = events[events.attributes.str.contains(first.name) & (events.time_unix_nano >= since_ns)]
        assert set(mine.name) <= {"payment"}
        return set(mine.reason)

    until(lambda: counted() == 1)
    until(lambda: "Started" in told())


def test_a_killed_child_is_restarted_and_reported_and_the_capture_is_whole(running_lab: Path) -> None:
    name = "collector"
    first = processes(running_lab)[name]
    os.kill(first.pid, signal.SIGKILL)
    second = until(lambda: (p := processes(running_lab)[name]).state == "ready" and p.pid != first.pid and p)

    assert second.restarts == 1
    assert second.last_exit == "killed by signal 9"
    assert second.port == first.port
    assert len(table(running_lab, "spans"))
    now_ns = time.time_ns()
    until(lambda: "POST /score" in set(spans(running_lab, now_ns).name))


def test_a_container_that_was_restarted_is_told_what_is_in_effect(running_lab: Path) -> None:
    apply(running_lab, risk={"score_cpu_ms": 60.0})
    victim, _ = pods_of(running_lab, "risk")
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: (p := processes(running_lab)[victim.name]).restarts == 1 and p.state == "ready")
    since_ns = time.time_ns()

    def slow() -> bool:
        frame = spans(running_lab, since_ns)
        frame = frame[(frame.k8s_pod_name == victim.name) & (frame.kind == "SERVER")]
        return len(frame) >= 5 and frame.ms.tail(5).min() > 50

    until(slow)
    apply(running_lab)


def test_a_fault_survives_the_restart_of_what_it_broke_until_it_is_cleared(running_lab: Path) -> None:
    lab.inject(running_lab, "edge-delay", enough=30)
    os.kill(processes(running_lab)["cluster"].pid, signal.SIGKILL)
    until(lambda: (p := processes(running_lab)["cluster"]).restarts == 1 and p.state == "ready")
    until(lambda: [p.state for s in SERVICES for p in pods_of(running_lab, s)] == ["ready"] * 8)

    assert edge_ms(running_lab, time.time_ns()) > 60
    assert lab.grade(running_lab, {"verdict": "no_anomaly", "candidates": []}).right is False
    assert lab.clear(running_lab) == {"cleared": "edge-delay"}
    assert lab.clear(running_lab) == {"cleared": "healthy"}
    assert edge_ms(running_lab, time.time_ns()) < 60
    assert lab.grade(running_lab, {"verdict": "no_anomaly", "candidates": []}).right is True


def edge_ms(state: Path, since_ns: int) -> float:
    """The median of the next calls from payment to risk."""

    def calls() -> pd.DataFrame:
        frame = spans(state, since_ns)
        return frame[(frame.service_name == "payment") & (frame.name == "POST /score")]

    until(lambda: len(calls()) >= 5)
    return calls().ms.median()


def test_a_load_without_payment_cannot_be_injected_and_a_kill_leaves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    lab.up(state, load={"browse": 5}, ttl_s=60)
    children = [process.pid for process in processes(state).values()]
    with pytest.raises(LabError, match="do not fit"):
        lab.inject(state, "edge-delay")
    with pytest.raises(UsageError):
        lab.inject(state, "edge-dealy")
    until(lambda: read_meta(Folder(state).capture).files, 20)
    os.kill(Folder(state).read()["pid"], signal.SIGKILL)

    until(lambda: not [pid for pid in children if alive(pid)], 10)
    with pytest.raises(EnvironmentNotFoundError, match="killed"):
        lab.status(state)
    assert lab.down(state) is False
    assert lab.down(state) is False
    with pytest.raises(EnvironmentNotFoundError):
        lab.status(state)
    assert read_meta(Folder(state).capture).files


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_taken_port_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(LabError, match=f"port {ports.number(other)} on 127.0.0.1 cannot be used"):
            lab.up(tmp_path / "state", ports={"collector": ports.number(other)})

    assert not Folder(tmp_path / "state").record.exists()
    with pytest.raises(UsageError):
        lab.up(tmp_path / "state", ports={"shop": 1})
