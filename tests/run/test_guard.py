"""Who stops a run and when: the policy without a kernel, a thread or a second of waiting."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from opslib.run.guard import Action, Guard, Limits, State, Stop, decide, due
from opslib.run.signals import stop_signals

LIMITS = Limits(cell_timeout_s=10, run_timeout_s=100, grace_s=20)
SIGTERM = Stop("signal", signal.SIGTERM, 50)


def state(**known) -> State:
    return State(**({"started_s": 0.0, "begun": True} | known))


@pytest.mark.parametrize(
    ("known", "now_s", "reason"),
    [
        ({}, 99, None),
        ({}, 100, "run_timeout"),
        ({"cell_started_s": 50, "cell_timeout_s": 10}, 59.9, None),
        ({"cell_started_s": 50, "cell_timeout_s": 10}, 60, "cell_timeout"),
        ({"cell_started_s": 90, "cell_timeout_s": 5}, 100, "run_timeout"),
    ],
)
def test_deadlines(known, now_s, reason):
    stop = due(state(**known), LIMITS, now_s)
    assert (stop.reason if stop else None) == reason


def test_a_run_without_a_deadline_never_ends_by_itself():
    assert due(state(), Limits(), 1e9) is None


@pytest.mark.parametrize(
    ("known", "now_s", "accepted", "action"),
    [
        ({}, 1000, True, Action.NOTHING),
        ({"stop": SIGTERM}, 50, True, Action.NOTHING),  # no cell runs: the hooks stop the run
        ({"stop": SIGTERM, "cell_started_s": 40}, 50, False, Action.NOTHING),  # sent, not yet begun
        ({"stop": SIGTERM, "cell_started_s": 40}, 50, True, Action.INTERRUPT),
        (
            {"stop": SIGTERM, "cell_started_s": 40, "interrupted_s": 51},
            60,
            True,
            Action.NOTHING,
        ),  # never twice
        ({"stop": SIGTERM, "cell_started_s": 40, "interrupted_s": 51}, 71, True, Action.KILL),
        ({"stop": SIGTERM}, 70, False, Action.KILL),  # a kernel that hangs between cells
        ({"stop": SIGTERM, "begun": False}, 50, False, Action.KILL),  # nothing to protect
        ({"stop": SIGTERM, "killed": True}, 1000, True, Action.NOTHING),
    ],
)
def test_what_is_done(known, now_s, accepted, action):
    assert decide(state(**known), LIMITS, now_s, accepted=accepted) is action


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        (SIGTERM, "SIGTERM"),
        (Stop("cell_timeout", 10, 0), "the cell took longer than 10 s"),
        (Stop("run_timeout", 1.5, 0), "the run took longer than 1.5 s"),
    ],
)
def test_a_stop_says_why(stop, words):
    assert str(stop) == words


@pytest.fixture
def child():
    """A process in a group of its own that ends at SIGINT."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal, sys; print(1, flush=True); signal.pause()"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_guard_interrupts_once_and_kills_when_the_grace_is_over(kit, child):
    clock, told = kit.FakeClock(), []
    guard = Guard(LIMITS, clock)
    guard._tell = lambda event, _: told.append(event)
    guard.attach(child)
    assert guard.may_begin()
    guard.cell_sent(10, lambda: True)
    guard.tick()
    assert told == []

    guard.signalled(signal.SIGTERM)
    guard.tick()
    assert not guard.may_begin()
    guard.signalled(signal.SIGINT)
    guard.tick()
    guard.tick()
    assert told == ["stop_requested", "kernel_interrupted", "signal_repeated"]
    assert guard.state.stop.value == signal.SIGTERM
    assert child.wait(10) == -signal.SIGINT

    clock.sleep(20)
    guard.tick()
    assert told[-1] == "kernel_killed"
    assert guard.cut_short


def test_a_guard_without_a_kernel_has_nobody_to_signal(kit):
    guard = Guard(LIMITS, kit.FakeClock())
    guard.attach(None)
    guard.signalled(signal.SIGTERM)
    guard.cell_sent(1, lambda: True)
    guard.tick()
    guard.cell_done()
    assert guard.state.cell_started_s is None


def test_signals_are_taken_and_given_back():
    before = signal.getsignal(signal.SIGTERM)
    got = []
    with stop_signals(got.append):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
    assert got == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_hangup_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    got = []
    try:
        with stop_signals(got.append):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert got == []


def test_another_thread_installs_nothing():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with stop_signals(seen.append):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
