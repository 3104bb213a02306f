"""How long to wait before a container or a pull is tried again: 10 s doubling to 300 s, as the kubelet does; pure.

Source: client-go util/flowcontrol/backoff.go: the first retry is at once, what ran for ten minutes begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_FIRST_S, _MOST_S = 10.0, 300.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """`delay_s` is what the next failure waits; `scale` shortens all of it for teaching."""

    scale: float = 1.0
    delay_s: float = 0.0
    since_s: float = 0.0

    def wait_s(self, failed_s: float) -> float:
        """Return how long to wait after a failure at this time."""
        return 0.0 if self._is_over(failed_s) else self.delay_s

    def next(self, failed_s: float, now_s: float) -> Backoff:
        """Return the state after the wait for a failure is over, when it is tried again at `now_s`."""
        grown = _FIRST_S * self.scale if self._is_over(failed_s) else self.delay_s * 2
        return replace(self, delay_s=min(grown, _MOST_S * self.scale), since_s=now_s)

    def _is_over(self, failed_s: float) -> bool:
        return self.delay_s == 0 or failed_s - self.since_s > 2 * _MOST_S * self.scale


def go_duration(seconds: float) -> str:
    """Write seconds as Go does: 1m20s, 5m0s, 2.5s, 500ms."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
