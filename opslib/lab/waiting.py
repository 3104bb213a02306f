"""Waiting for a condition, with a bound; the clock is an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from opslib.core.clock import Clock

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | None], timeout_s: float, clock: Clock, every_s: float = 0.05
) -> T | None:
    """Return the condition's first true value, None when the time is over. It is asked at least once."""
    end = clock.monotonic_s() + timeout_s
    while True:
        value = condition()
        if value or clock.monotonic_s() >= end:
            return value or None
        clock.sleep(every_s)
