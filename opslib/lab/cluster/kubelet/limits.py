"""What a container uses, and its limits: the processor by a duty cycle, memory by its end.

A container is the processes of one session. Their processor time is counted exactly; while a CPU limit is used up they
stand (SIGSTOP) until the budget of one period is there again, as under the kernel's CFS quota. Resident memory is looked
at a few times a second: beyond the limit the container is killed, OOMKilled.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

PERIOD_S = 0.1
_LONGEST_SLICE_S = 0.05
_SHORTEST_SLICE_S = 0.01
_MEMORY_EVERY_S = 0.25
_CPUCLOCK_SCHED = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """Processor time that a container may use at once; it fills at the rate of its limit, up to one period's."""

    limit_cores: float
    credit_s: float

    def settle(self, used_s: float, elapsed_s: float) -> Budget:
        """Return the budget after a while in which so much was used."""
        most = self.limit_cores * PERIOD_S
        return Budget(self.limit_cores, min(most, self.credit_s + elapsed_s * self.limit_cores - used_s))

    @property
    def pause_s(self) -> float:
        """How long the container has to stand until the budget is full again; 0 while there is some left."""
        if self.credit_s > 0:
            return 0.0
        return PERIOD_S - self.credit_s / self.limit_cores

    def slice_s(self, *, busy: bool) -> float:
        """How long it may run unwatched: one that does little is looked at less often."""
        return min(_LONGEST_SLICE_S, max(_SHORTEST_SLICE_S, self.credit_s)) if busy else _LONGEST_SLICE_S


@dataclass(slots=True)
class Account:
    """The processes of one container and the processor time that they have used, also those that have ended."""

    session: int
    members: frozenset[int] = frozenset()  # of its session, as they were last seen
    beside: frozenset[int] = frozenset()  # commands that probes and hooks run in it
    used_s: float = 0.0
    _seen: dict[int, float] = field(default_factory=dict)

    def measure(self) -> float:
        """Return the processor seconds used so far."""
        for pid in self._pids:
            now = _cpu_s(pid)
            self.used_s += max(0.0, now - self._seen.get(pid, 0.0))
            self._seen[pid] = max(now, self._seen.get(pid, 0.0))
        return self.used_s

    def memory(self) -> int:
        """Return the resident bytes."""
        total = 0
        for pid in self._pids:
            with suppress(psutil.Error):
                total += psutil.Process(pid).memory_info().rss
        return total

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.session, number)
        for pid in self._pids - {self.session}:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    @property
    def _pids(self) -> set[int]:
        return {self.session, *self.members, *self.beside}


def sessions(wanted: Iterable[int]) -> Mapping[int, frozenset[int]]:
    """Return the processes of each of these sessions."""
    found: dict[int, set[int]] = {session: set() for session in wanted}
    for pid in psutil.pids():
        with suppress(OSError):
            session = os.getsid(pid)
            if session in found:
                found[session].add(pid)
    return {session: frozenset(pids) for session, pids in found.items()}


async def hold_cpu(account: Account, limit_cores: float) -> None:
    """Keep a container at its CPU limit until cancelled; it runs when this ends."""
    budget = Budget(limit_cores, limit_cores * PERIOD_S)
    used_s, at_s, busy = account.measure(), time.monotonic(), True
    try:
        while True:
            await asyncio.sleep(budget.slice_s(busy=busy))
            before_s, used_s = used_s, account.measure()
            last_s, at_s = at_s, time.monotonic()
            busy = used_s - before_s > 0.1 * (at_s - last_s)
            budget = budget.settle(used_s - before_s, at_s - last_s)
            if budget.pause_s:
                account.signal(signal.SIGSTOP)
                await asyncio.sleep(budget.pause_s)
                account.signal(signal.SIGCONT)
    finally:
        account.signal(signal.SIGCONT)


async def watch_memory(account: Account, limit_bytes: int, exceeded: Callable[[], None]) -> None:
    """Tell once when a container has more than its limit."""
    while True:
        if account.memory() > limit_bytes:
            exceeded()
            return
        await asyncio.sleep(_MEMORY_EVERY_S)


def _cpu_s(pid: int) -> float:
    try:
        if sys.platform == "linux":  # the kernel's clock of another process, see clock_getcpuclockid(3)
            return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    except (OSError, psutil.Error):
        return 0.0
