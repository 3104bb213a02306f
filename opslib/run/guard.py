"""Who may stop a run, and how: one interrupt, then time for the cell's `finally`, then the end of the kernel.

The first reason stands; a second signal never interrupts again. The interrupt is sent only once the kernel has said
that it runs the cell, because a kernel that is not yet running one ignores it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from opslib.core.clock import Clock

Reason = Literal["signal", "cell_timeout", "run_timeout"]
Tell = Callable[[str, str], None]  # an event's name and why
_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run is being stopped; `value` is the signal's number or the seconds that were allowed."""

    reason: Reason
    value: float
    at_s: float

    def __str__(self) -> str:
        if self.reason == "signal":
            return signal.Signals(int(self.value)).name
        what = "the cell" if self.reason == "cell_timeout" else "the run"
        return f"{what} took longer than {self.value:g} s"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: for a cell (its tag `timeout-s-N` goes before), for a run, for the `finally` after an interrupt, and
    for a kernel to start.
    """

    cell_timeout_s: float = 600
    run_timeout_s: float | None = None
    grace_s: float = 120
    start_timeout_s: float = 60


class Action(Enum):
    """What a tick comes to."""

    NOTHING = "nothing"
    INTERRUPT = "interrupt"
    KILL = "kill"


@dataclass(slots=True)
class State:
    """What is known at a tick; times are monotonic seconds."""

    started_s: float
    stop: Stop | None = None
    begun: bool = False  # a cell has begun, so there may be something to clean up
    cell_started_s: float | None = None
    cell_timeout_s: float = 0
    interrupted_s: float | None = None
    killed: bool = False


def due(state: State, limits: Limits, now_s: float) -> Stop | None:
    """Return the deadline that has passed, the run's before the cell's; None while there is none."""
    if limits.run_timeout_s is not None and now_s - state.started_s >= limits.run_timeout_s:
        return Stop("run_timeout", limits.run_timeout_s, now_s)
    if state.cell_started_s is not None and now_s - state.cell_started_s >= state.cell_timeout_s:
        return Stop("cell_timeout", state.cell_timeout_s, now_s)
    return None


def decide(state: State, limits: Limits, now_s: float, *, accepted: bool) -> Action:
    """Say what to do now; `accepted` tells whether the kernel has begun to run the cell that was sent."""
    if state.stop is None or state.killed:
        return Action.NOTHING
    if not state.begun:
        return Action.KILL
    since = state.interrupted_s if state.interrupted_s is not None else state.stop.at_s
    if now_s - since >= limits.grace_s:
        return Action.KILL
    if state.interrupted_s is None and state.cell_started_s is not None and accepted:
        return Action.INTERRUPT
    return Action.NOTHING


class Guard:
    """Watches one run. Signals are taken from the moment it is made; deadlines while `watching`."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self.state = State(clock.monotonic_s())
        self.signals = 0
        self._clock = clock
        self._tell: Tell = lambda _event, _text: None
        self._process: subprocess.Popen[bytes] | None = None
        self._accepted: Callable[[], bool] = lambda: False
        self._was_accepted = False
        self._told = 0

    @contextlib.contextmanager
    def watching(self, tell: Tell, each_tick: Callable[[], None]) -> Iterator[None]:
        """Act on signals and deadlines from a thread of its own, which also calls `tell` and `each_tick`."""
        self._tell = tell
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_TICK_S):
                self.tick()
                each_tick()

        thread = threading.Thread(target=watch, daemon=True, name="opslib-guard")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def attach(self, process: subprocess.Popen[bytes] | None) -> None:
        """Give the kernel's process, the leader of its own group."""
        self._process = process

    def signalled(self, signum: int) -> None:
        """Ask for a stop from a signal handler: plain assignments only, no lock and no output can be used there."""
        self.signals += 1
        if self.state.stop is None:
            self.state.stop = Stop("signal", signum, self._clock.monotonic_s())

    def may_begin(self) -> bool:
        """Tell whether another cell may start; asked before each one."""
        self.state.begun = True  # before the stop is looked at, so that a stop set meanwhile finds it
        return self.state.stop is None

    def cell_sent(self, timeout_s: float, accepted: Callable[[], bool]) -> None:
        self._accepted, self._was_accepted = accepted, False
        self.state.cell_timeout_s = timeout_s
        self.state.cell_started_s = self._clock.monotonic_s()

    def cell_done(self) -> None:
        self.state.cell_started_s = None

    @property
    def cut_short(self) -> bool:
        """Whether a cell was interrupted or the kernel was ended because of the stop."""
        return self.state.interrupted_s is not None or self.state.killed

    def tick(self) -> None:
        """Look at the deadlines once and act."""
        now_s = self._clock.monotonic_s()
        if self.state.stop is None:
            self.state.stop = due(self.state, self.limits, now_s)
        self._tell_stop()
        # One tick later than it was told, the kernel is past its own preparations and inside the cell's code.
        accepted, self._was_accepted = self._was_accepted, self._accepted()
        action = decide(self.state, self.limits, now_s, accepted=accepted)
        if action is Action.INTERRUPT:
            self.state.interrupted_s = now_s
            self._signal(signal.SIGINT)
            self._tell("kernel_interrupted", f"the cell has {self.limits.grace_s:g} s to finish")
        elif action is Action.KILL:
            self.state.killed = True
            self._signal(signal.SIGKILL)
            late = f"the cell did not end within {self.limits.grace_s:g} s"
            self._tell("kernel_killed", late if self.state.begun else "no cell had begun")

    def _tell_stop(self) -> None:
        if self.state.stop is not None and not self._told:
            self._told = 1
            self._tell("stop_requested", str(self.state.stop))
        if self.signals > max(self._told, 1) and self.state.stop is not None:
            self._told = self.signals
            self._tell("signal_repeated", "already stopping; the running cell is left to finish")

    def _signal(self, signum: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signum)
