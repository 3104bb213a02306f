"""The probe worker as pure functions of time, against the closed forms of the kubelet's own loop."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.lab.cluster.kubelet.prober_schedule import Seen, Ticker, Timing, Worker, learn, wake

EPS = 1e-6


@dataclass
class Life:
    """A container that starts at `start_s` and whose probes are answered by `answers(now) -> (success, took_s)`."""

    answers: Callable[[float], tuple[bool | None, float]]
    start_s: float
    started: bool = True


def until_result(kind, timing: Timing, life: Life, wanted: str, horizon_s: float = 600.0) -> float | None:
    """When the worker's result becomes `wanted`; the worker itself starts at 0, as its pod is added."""
    worker, ticker, now_s = Worker(kind, timing), Ticker(0.0, timing.period_s), 0.0
    while now_s < horizon_s:
        exists = now_s >= life.start_s
        seen = Seen("c" if exists else "", now_s - life.start_s if exists else None, life.started)
        worker, step = wake(worker, seen)
        if step == "probe":
            success, took_s = life.answers(now_s)
            now_s += took_s
            worker = learn(worker, success=success)
            if worker.result == wanted:
                return now_s
        due_s = max(ticker.due_s, now_s)
        ticker, now_s = ticker.take(due_s), due_s
    return None


timings = st.builds(
    Timing,
    initial_delay_s=st.integers(0, 40),
    period_s=st.integers(1, 30),
    timeout_s=st.integers(1, 40),
    failure_threshold=st.integers(1, 6),
)


@settings(deadline=None)
@given(timings, st.floats(0, 100))
def test_a_container_that_refuses_is_judged_in_its_window(timing: Timing, start_s: float) -> None:
    at_s = until_result("liveness", timing, Life(lambda _: (False, 0.0), start_s), "failure")

    delay_s, period_s, failures = timing.initial_delay_s, timing.period_s, timing.failure_threshold
    assert at_s is not None
    assert delay_s + (failures - 1) * period_s - EPS <= at_s - start_s <= delay_s + failures * period_s + EPS


@settings(deadline=None)
@given(timings, st.floats(0, 100))
def test_a_container_that_hangs_is_judged_in_its_window(timing: Timing, start_s: float) -> None:
    life = Life(lambda _: (False, float(timing.timeout_s)), start_s)
    at_s = until_result("liveness", timing, life, "failure")

    spacing_s = max(timing.period_s, timing.timeout_s)
    earliest_s = timing.initial_delay_s + (timing.failure_threshold - 1) * spacing_s + timing.timeout_s
    assert at_s is not None
    assert earliest_s - EPS <= at_s - start_s <= earliest_s + timing.period_s + EPS


@settings(deadline=None)
@given(timings, st.floats(0, 60), st.floats(0, 120))
def test_a_start_within_the_guaranteed_budget_is_never_killed(
    timing: Timing, start_s: float, startup_s: float
) -> None:
    life = Life(lambda now: (now - start_s >= startup_s, 0.0), start_s, started=False)
    killed_s = until_result("startup", timing, life, "failure", horizon_s=start_s + 300)

    budget_s = timing.initial_delay_s + (timing.failure_threshold - 1) * timing.period_s
    if startup_s <= budget_s - EPS:
        assert killed_s is None
    if startup_s > timing.initial_delay_s + timing.failure_threshold * timing.period_s + EPS:
        assert killed_s is not None


def test_the_lottery_of_a_start_between_the_two_bounds() -> None:
    """D30 P10 F3: a start of 52 s is killed in a fifth of the phases, one of 58 s in four fifths."""
    timing = Timing(initial_delay_s=30, period_s=10, failure_threshold=3)

    def share(startup_s: float) -> float:
        lives = [
            Life(lambda now, s=phase: (now - s >= startup_s, 0.0), phase)
            for phase in (i / 50 for i in range(500))
        ]
        return sum(until_result("liveness", timing, life, "failure", 150) is not None for life in lives) / 500

    assert [share(s) for s in (49.9, 52, 55, 58, 60.1)] == pytest.approx([0, 0.2, 0.5, 0.8, 1], abs=0.02)


def test_a_probe_longer_than_the_period_follows_at_once_and_loses_the_ticks_between() -> None:
    begun: list[float] = []

    def slow(now_s: float) -> tuple[bool, float]:
        begun.append(now_s)
        return True, 25.0

    until_result("readiness", Timing(period_s=10), Life(slow, 0.0), "never", horizon_s=100)

    assert begun == [0, 25, 50, 75]


def test_a_ticker_keeps_one_tick_and_its_phase() -> None:
    ticker = Ticker(3.0, 10.0)

    assert ticker.due_s == 13
    late = ticker.take(37.0)  # ticks at 13 (kept), 23 and 33 (lost)
    assert late.due_s == 43
    assert ticker.take(13.0).due_s == 23


def test_whole_seconds_count_for_the_initial_delay() -> None:
    worker = Worker("liveness", Timing(initial_delay_s=5))

    assert wake(worker, Seen("c", 4.999, started=True))[1] == "wait"
    assert wake(worker, Seen("c", 5.0, started=True))[1] == "probe"


def test_startup_goes_first_and_is_not_asked_again() -> None:
    startup = Worker("startup", Timing())
    others = [Worker("readiness", Timing()), Worker("liveness", Timing())]

    assert [wake(w, Seen("c", 1.0, started=False))[1] for w in (startup, *others)] == [
        "probe",
        "wait",
        "wait",
    ]
    assert [wake(w, Seen("c", 1.0, started=True))[1] for w in (startup, *others)] == [
        "wait",
        "probe",
        "probe",
    ]
    done = learn(wake(startup, Seen("c", 1.0))[0], success=True)
    assert (done.result, done.on_hold) == ("success", True)
    assert wake(done, Seen("c", 9.0))[1] == "wait"
    assert wake(done, Seen("d", 1.0))[1] == "probe", "another container starts anew"


def test_initial_results_and_those_of_a_container_that_is_gone() -> None:
    kinds = ("startup", "readiness", "liveness")
    first = {k: wake(Worker(k, Timing()), Seen("c", 1.0))[0] for k in kinds}

    assert {k: w.result for k, w in first.items()} == {
        "startup": "unknown",
        "readiness": "failure",
        "liveness": "success",
    }
    assert {wake(w, Seen("c", None))[0].result for w in first.values()} == {"failure"}


def test_after_a_liveness_failure_it_holds_until_there_is_another_container() -> None:
    worker, _ = wake(Worker("liveness", Timing(failure_threshold=2)), Seen("c", 1.0, started=True))
    worker = learn(learn(worker, success=False), success=False)

    assert (worker.result, worker.on_hold, worker.run) == ("failure", True, 0)
    assert wake(worker, Seen("c", 60.0, started=True))[1] == "wait"
    again, step = wake(worker, Seen("d", 0.0, started=True))
    assert (again.result, step) == ("success", "probe")


def test_a_run_that_is_broken_begins_anew_and_an_error_counts_for_nothing() -> None:
    worker = Worker("readiness", Timing(failure_threshold=3, success_threshold=2), "c", "success")
    for success in (False, False, True, False, False, None):
        worker = learn(worker, success=success)
    assert (worker.result, worker.run) == ("success", 2)
    worker = learn(worker, success=False)
    assert worker.result == "failure"
    assert learn(worker, success=True).result == "failure"
    assert learn(learn(worker, success=True), success=True).result == "success"


def test_of_a_pod_that_is_deleted_only_readiness_is_asked() -> None:
    leaving = Seen("c", 5.0, started=True, deleting=True)

    assert wake(Worker("readiness", Timing()), leaving)[1] == "probe"
    ended = [wake(Worker(kind, Timing()), leaving) for kind in ("liveness", "startup")]
    assert [(w.result, step) for w, step in ended] == [("success", "end")] * 2
    assert wake(Worker("readiness", Timing()), Seen("c", None, ended=True))[1] == "end"


def test_a_probe_has_the_defaults_of_the_api() -> None:
    assert Timing.of({}) == Timing(0, 10, 1, 1, 3)
    full = {
        "initialDelaySeconds": 1,
        "periodSeconds": 2,
        "timeoutSeconds": 3,
        "successThreshold": 4,
        "failureThreshold": 5,
    }
    assert Timing.of(full) == Timing(1, 2, 3, 4, 5)
