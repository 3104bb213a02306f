"""Helpers for tests of runbooks and of this package: a clock that is moved by hand, and made-up traffic of known shape.

Nothing here sleeps, draws from an unseeded generator, or touches the network.
"""

from __future__ import annotations

from collections.abc import Callable


class ManualClock:
    """A `Clock` that stands still until it is moved; `sleep` moves it and never waits.

    `on_sleep` is called after each sleep with the seconds slept, so that a test can let something happen meanwhile.
    """

    def __init__(
        self, now_ns: int = 1_769_828_400_000_000_000, on_sleep: Callable[[float], None] | None = None
    ) -> None:
        self._now_ns = now_ns
        self._monotonic_s = 0.0
        self._on_sleep = on_sleep
        self.slept_s: list[float] = []

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now_ns += round(seconds * 1e9)
        self._monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as a time server does."""
        self._now_ns += round(seconds * 1e9)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.advance(seconds)
        if self._on_sleep is not None:
            self._on_sleep(seconds)
