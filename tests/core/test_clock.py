"""Clocks: the machine's moves by itself, the manual one only when told."""

from opslib.core.clock import SystemClock
from opslib.testing import ManualClock


def test_the_machines_clock_moves_forward() -> None:
    clock = SystemClock()
    before = clock.monotonic_s()

    clock.sleep(0)

    assert clock.monotonic_s() >= before
    assert clock.now_ns() > 1_700_000_000 * 10**9


def test_a_manual_clock_sleeps_without_waiting() -> None:
    seen: list[float] = []
    clock = ManualClock(now_ns=0, on_sleep=seen.append)

    clock.sleep(2.5)
    clock.jump(-1)

    assert (clock.now_ns(), clock.monotonic_s()) == (1_500_000_000, 2.5)
    assert seen == clock.slept_s == [2.5]
