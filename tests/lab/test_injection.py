"""What an injection waits for, what it leaves behind when it fails; the lab's state when none runs; the demo."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from opslib import lab
from opslib.core.errors import EnvironmentNotFoundError, LabError, RefusedError, UsageError
from opslib.lab import commands, demo, injection, ports
from opslib.lab.calls import Calls, count_calls
from opslib.lab.control import Address
from opslib.lab.processes import lab_status
from opslib.lab.state import Folder, ProcessId, supervisor_of
from opslib.lab.supervisor.child import Child, pause_s
from opslib.lab.supervisor.plan import Options, environment_toml
from opslib.lab.supervisor.supervisor import Supervisor
from opslib.lab.waiting import wait_for
from opslib.telemetry.capture import CaptureWriter

S = 1_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def now_ns(self) -> int:
        return round(self.now_s * S)

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class FakeLab:
    """A supervisor that remembers what it was told, and a capture that gets `rate` calls a second."""

    def __init__(self, folder: Folder, clock: FakeClock, rate: float) -> None:
        self.clock, self.rate = clock, rate
        self.applied: list[dict[str, Any]] = []
        me = ProcessId.of(os.getpid())
        folder.create()
        folder.write(
            {
                "pid": me.pid,
                "create_time": me.create_time,
                "rates": {"payment": 8.0},
                "begin_ns": clock.now_ns(),
                "control_port": 1,
                "processes": [],
            }
        )
        folder.write_token("t")

    def call(self, address: Address, command: str, *, timeout_s: float = 5, **arguments: Any) -> dict:
        assert (address, command) == (Address(1, "t"), "apply")
        self.applied.append(arguments)
        return {}

    def count(self, _: Path, since_ns: int, split_ns: int) -> Calls:
        return Calls(0, int((self.clock.now_ns() - split_ns) / S * self.rate))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLab:
    fake = FakeLab(Folder(tmp_path), FakeClock(), rate=8)
    monkeypatch.setattr(injection, "call", fake.call)
    monkeypatch.setattr(injection, "count_calls", fake.count)
    return fake


def inject(tmp_path: Path, name: str, fake: FakeLab) -> dict[str, Any]:
    return lab.inject(tmp_path, name, clock=fake.clock)


def test_it_waits_for_calls_before_and_under_the_fault(tmp_path: Path, fake: FakeLab) -> None:
    result = inject(tmp_path, "edge-delay", fake)

    assert fake.applied == [{"knobs": {"network": {"delay_ms.risk": 80.0}}, "helpers": []}]
    assert (result["calls_before"] >= 48, result["calls_under"] >= 48) == (True, True)
    assert result["since_ns"] - result["clean_since_ns"] == pytest.approx(6 * S, abs=0.3 * S)
    assert Folder(tmp_path).read_truth()["scenario"] == "edge-delay"


def test_few_calls_are_enough_when_more_would_take_too_long(tmp_path: Path, fake: FakeLab) -> None:
    fake.rate = 3.5
    result = inject(tmp_path, "edge-delay", fake)

    assert 30 <= result["calls_under"] < 48
    assert result["seconds"] == pytest.approx(20, abs=1)


def test_what_stands_before_a_fault_is_there_while_calls_from_before_it_are_waited_for(
    tmp_path: Path, fake: FakeLab
) -> None:
    begin_ns = fake.clock.now_ns()
    result = inject(tmp_path, "uninstrumented", fake)

    assert [fault["knobs"]["risk"] for fault in fake.applied] == [
        {"spans": 0.0},
        {"spans": 0.0, "score_cpu_ms": 44.0},
    ]
    assert result["clean_since_ns"] == begin_ns
    assert result["since_ns"] - begin_ns >= 5.9 * S


def test_what_stands_before_a_fault_is_taken_back_when_no_call_comes(tmp_path: Path, fake: FakeLab) -> None:
    fake.rate = 0
    with pytest.raises(LabError, match="before the fault"):
        inject(tmp_path, "uninstrumented", fake)

    assert fake.applied[-1] == {"knobs": {}, "helpers": []}


def test_a_cold_start_waits_for_no_calls_from_before(tmp_path: Path, fake: FakeLab) -> None:
    result = inject(tmp_path, "cold-start", fake)

    assert fake.applied[0]["forget"] is True
    assert (result["calls_before"], result["calls_under"] >= 48) == (0, True)
    assert result["seconds"] < 8


def test_what_is_in_effect_is_cleared_first_and_recovery_is_waited_for(tmp_path: Path, fake: FakeLab) -> None:
    inject(tmp_path, "edge-delay", fake)
    began_ns = fake.clock.now_ns()
    result = inject(tmp_path, "risk-cpu", fake)

    assert [list(fault["knobs"]) for fault in fake.applied] == [["network"], [], ["risk"]]
    assert result["clean_since_ns"] == began_ns
    assert result["since_ns"] - began_ns >= 9.9 * S, "queues drain"
    assert result["seconds"] < 20


def test_of_a_fault_that_meets_one_call_in_four_more_are_waited_for(tmp_path: Path, fake: FakeLab) -> None:
    result = inject(tmp_path, "slow-only-for-one-tenant", fake)

    assert (result["calls_before"] < 60, result["calls_under"] >= 96) == (True, True)
    assert result["seconds"] < 20


def test_when_calls_come_slowly_what_is_needed_is_enough_before_the_limit(
    tmp_path: Path, fake: FakeLab
) -> None:
    inject(tmp_path, "edge-delay", fake)
    fake.rate = 4.0
    result = inject(tmp_path, "slow-only-for-one-tenant", fake)

    assert (30 <= result["calls_before"] < 80, 30 <= result["calls_under"] < 96) == (True, True)
    assert result["seconds"] < 30


def test_as_many_calls_as_are_asked_for_are_enough(tmp_path: Path, fake: FakeLab) -> None:
    inject(tmp_path, "edge-delay", fake)
    result = lab.inject(tmp_path, "payment-exception", clock=fake.clock, enough=30)

    assert (30 <= result["calls_before"] < 40, 30 <= result["calls_under"] < 40) == (True, True)


def test_what_stands_before_a_fault_comes_about_in_a_shop_that_has_recovered(
    tmp_path: Path, fake: FakeLab
) -> None:
    inject(tmp_path, "edge-delay", fake)
    began_ns = fake.clock.now_ns()
    result = inject(tmp_path, "uninstrumented", fake)

    assert [list(fault["knobs"]) for fault in fake.applied] == [["network"], [], ["risk"], ["risk"]]
    assert result["clean_since_ns"] - began_ns >= 5.9 * S
    assert result["since_ns"] - result["clean_since_ns"] >= 5.9 * S


def test_too_few_calls_end_at_the_limit_with_a_healthy_shop(tmp_path: Path, fake: FakeLab) -> None:
    fake.rate = 1.5
    begin_s = fake.clock.now_s
    with pytest.raises(LabError, match="payment calls under the fault") as caught:
        inject(tmp_path, "edge-delay", fake)

    assert caught.value.hint
    assert fake.clock.now_s - begin_s <= 31
    assert fake.applied[-1] == {"knobs": {}, "helpers": []}
    assert Folder(tmp_path).read_truth()["scenario"] == "healthy"


def test_no_call_at_all_breaks_nothing(tmp_path: Path, fake: FakeLab) -> None:
    fake.rate = 0
    with pytest.raises(LabError, match="before the fault"):
        inject(tmp_path, "edge-delay", fake)

    assert fake.applied == []


def test_two_injections_at_once_are_refused(tmp_path: Path, fake: FakeLab) -> None:
    with Folder(tmp_path).locked("inject", "x"), pytest.raises(RefusedError):
        inject(tmp_path, "edge-delay", fake)


def test_a_grade_is_given_against_what_is_in_effect(tmp_path: Path, fake: FakeLab) -> None:
    edge = {"kind": "edge", "service": "risk", "edge": ["payment", "risk"]}
    verdict = {"verdict": "edge", "candidates": [edge]}
    before = lab.grade(tmp_path, verdict).right
    inject(tmp_path, "edge-delay", fake)

    assert (before, lab.grade(tmp_path, verdict).right) == (False, True)


@pytest.mark.parametrize(
    "command", [lab.status, lab.clear, lambda s: lab.grade(s, {}), lambda s: lab.inject(s, "risk-cpu")]
)
def test_where_no_lab_runs_every_command_says_so(tmp_path: Path, command) -> None:
    with pytest.raises(EnvironmentNotFoundError, match="no lab is running") as caught:
        command(tmp_path)

    assert "opslib lab up" in caught.value.hint
    assert lab.down(tmp_path) is False


def test_a_record_of_a_process_that_is_gone_is_stale(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    me = ProcessId.of(os.getpid())
    folder.write({"pid": me.pid, "create_time": me.create_time - 100, "processes": []})
    folder.environment.write_text(environment_toml(folder.kubeconfig, {}))

    assert supervisor_of(folder.read()) is None
    with pytest.raises(EnvironmentNotFoundError, match="killed"):
        lab.status(tmp_path)
    assert lab.down(tmp_path) is False
    assert not folder.environment.exists()


def test_a_lab_that_is_still_starting_says_so(tmp_path: Path, fake: FakeLab) -> None:
    Folder(tmp_path).token.unlink()
    with pytest.raises(LabError, match="still starting"):
        lab.status(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_torn_record_is_no_record(tmp_path: Path, content: str) -> None:
    Folder(tmp_path).record.write_text(content)

    assert Folder(tmp_path).read() is None


def test_a_state_folder_that_cannot_be_made_is_a_lab_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="state folder"):
        lab.up(tmp_path / "file" / "lab")


def test_nonsense_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        lab.up(tmp_path / "s", load={"pay": 1})
    with pytest.raises(UsageError):
        lab.up(tmp_path / "s", ports={"shop": 1})
    assert not (tmp_path / "s").exists()


SPAN = ("a" * 32, "b" * 16, None, "n", "SERVER", 0, 1, "UNSET", "payment", None, None, None, None, None)


def test_a_call_counts_when_its_root_and_payments_own_span_are_captured(tmp_path: Path) -> None:
    def span(trace: int, parent: str | None, service: str, start: int, kind: str = "SERVER") -> tuple:
        return (
            f"{trace:032x}",
            f"{start:016x}",
            parent,
            "n",
            kind,
            start,
            start + 1,
            "UNSET",
            service,
            *SPAN[9:],
        )

    with CaptureWriter(tmp_path) as writer:
        assert count_calls(tmp_path, 0, 100) == Calls(0, 0)
        writer.append(
            "spans",
            [
                *(span(1, None, "storefront", 50), span(1, "a" * 16, "payment", 51)),
                *(span(2, None, "storefront", 100), span(2, "a" * 16, "payment", 101)),
                *(span(3, None, "storefront", 99), span(3, "a" * 16, "payment", 101)),
                span(4, "a" * 16, "payment", 120),
                *(span(5, None, "storefront", 130), span(5, "a" * 16, "payment", 131, "CLIENT")),
            ],
        )
        writer.roll()

        assert count_calls(tmp_path, 0, 100) == Calls(2, 1)
        assert count_calls(tmp_path, 60, 100) == Calls(1, 1)
    assert count_calls(tmp_path / "nowhere", 0, 1) == Calls(0, 0)


def test_waiting_ends_at_its_bound_and_asks_at_least_once() -> None:
    clock, asked = FakeClock(), []

    assert wait_for(lambda: asked.append(1), 1.0, clock, every_s=0.25) is None
    assert len(asked) == 5
    assert wait_for(lambda: 7, 0, clock) == 7


def test_pauses_between_restarts_grow_to_a_limit() -> None:
    assert [pause_s(n) for n in (1, 2, 3, 4, 5, 6, 50)] == [0.5, 1, 2, 4, 8, 10, 10]


class TickingClock(FakeClock):
    """Every look at it takes a second."""

    def monotonic_s(self) -> float:
        self.now_s += 1
        return self.now_s


def test_a_lab_that_nobody_asks_ends_itself(tmp_path: Path) -> None:
    options = Options({"browse": 1.0}, seed=1, ttl_s=5, ports={})
    supervisor = Supervisor(Folder(tmp_path), options, ProcessId.of(os.getpid()), TickingClock())

    supervisor._watch()

    assert supervisor._stopping


def test_a_supervisor_that_cannot_start_says_why_and_holds_nothing(tmp_path: Path) -> None:
    with ports.reserve() as other:
        other.listen()
        options = Options({"browse": 1.0}, seed=1, ttl_s=5, ports={"collector": ports.number(other)})
        supervisor = Supervisor(Folder(tmp_path), options, ProcessId.of(os.getpid()), TickingClock())
        with pytest.raises(LabError, match="cannot be used"):
            supervisor.run()
    record = Folder(tmp_path).read()

    assert (record["phase"], record["processes"]) == ("failed", [])
    assert "cannot be used" in record["error"]
    assert record["hint"]


@pytest.mark.lab
def test_a_child_that_ends_is_told_with_its_exit_and_its_last_words(tmp_path: Path) -> None:
    settings = {"ledger": str(tmp_path / "no" / "ledger.db"), "seed": 1, "hold_ms": [1, 1], "gap_ms": [1, 1]}
    child = Child("locker-0", "locker", settings, tmp_path / "locker.log")
    child.start(0.0)
    clock = commands.SystemClock()

    assert child.ask_ready()
    assert wait_for(lambda: child.poll(1.0), 20, clock) == "exit code 1"
    assert (child.state, child.due(1.4), child.due(1.5)) == ("backing-off", False, True)
    assert "unable to open database file" in child.log_tail()
    child.start(2.0)
    assert wait_for(lambda: child.poll(3.0), 20, clock)
    assert (child.due(3.9), child.due(4.0)) == (False, True)
    child.stop()
    assert child.to_dict()["state"] == "stopped"


def test_status_reads_well_for_a_person(tmp_path: Path) -> None:
    me = ProcessId.of(os.getpid())
    record = {
        "pid": me.pid,
        "create_time": me.create_time,
        "phase": "ready",
        "ttl_left_s": 7200,
        "processes": [
            {
                "name": "payment",
                "pid": None,
                "create_time": None,
                "state": "backing-off",
                "restarts": 2,
                "last_exit": "exit code 1",
                "port": 80,
            }
        ],
        "load": {
            "window_s": 10.0,
            "offered_rps": 8.0,
            "achieved_rps": 7.9,
            "routes": {
                "payment": {
                    "offered_rps": 8.0,
                    "achieved_rps": 7.9,
                    "failed": 1,
                    "p50_ms": None,
                    "p99_ms": None,
                }
            },
        },
        "collected": {"spans": 1200},
    }
    status = lab_status("state", record, "risk-cpu", "capture", FakeClock())

    for words in ("backing-off", "exit code 1", "8 rps offered, 7.9 achieved", "1,200 spans", "risk-cpu"):
        assert words in status.text()
    assert json.loads(json.dumps(status.to_dict()))["processes"][0]["restarts"] == 2


VERDICT = {
    "verdict": "edge",
    "summary": "slow \x1b[31mwire",
    "candidates": [{"kind": "edge", "service": "risk", "edge": ["payment", "risk"]}],
    "budget": {
        "total": {"baseline_ns": 1_000_000, "incident_ns": 3_000_000, "delta_ns": 2_000_000},
        "segments": [
            {
                "segment": "edge payment->risk",
                "baseline_ns": 0,
                "incident_ns": 2_000_000,
                "delta_ns": 2_000_000,
            }
        ],
    },
}


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A demo whose lab and run are told, not done."""
    done: list[str] = []
    grade = injection.grade_verdict
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "up", lambda *_, **__: done.append("up"))
    monkeypatch.setattr(demo, "down", lambda *_: done.append("down"))
    monkeypatch.setattr(demo, "inject", lambda *_, **__: {"calls_before": 30, "calls_under": 31})
    monkeypatch.setattr(demo, "grade", lambda _, verdict: grade(demo.scenario("edge-delay"), verdict))
    monkeypatch.setattr(demo, "_investigate", lambda: ({"verdict": VERDICT}, tmp_path / "runs" / "1"))
    return done


def test_the_demo_prints_the_verdict_its_budget_and_the_report(staged: list[str], capsys) -> None:
    code = demo.main(["edge-delay"])
    said = capsys.readouterr().out

    assert (code, staged) == (0, ["up", "down"])
    for words in ("edge payment->risk", "2 ms", "total", "report.html", "right: the verdict is edge"):
        assert words in said
    assert "\x1b" not in said


def test_a_wrong_verdict_fails_the_demo(
    staged: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "_investigate", lambda: ({"verdict": None}, tmp_path))

    assert demo.main(["edge-delay"]) == 1
    assert staged == ["up", "down"]


def test_whatever_fails_the_lab_is_down_again(
    staged: list[str], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LabError("no calls", hint="look")

    monkeypatch.setattr(demo, "inject", fail)

    assert demo.main(["edge-delay"]) == 4
    assert staged == ["up", "down"]
    assert "no calls (try: look)" in capsys.readouterr().out


def test_an_unknown_scenario_starts_nothing(staged: list[str]) -> None:
    assert demo.main(["edge-dealy"]) == 2
    assert staged == []


def test_a_run_without_a_record_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "NOTEBOOK", Path("nowhere.ipynb"))
    with pytest.raises(LabError, match="left no record"):
        demo._investigate()
