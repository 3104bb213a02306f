"""What the load offered and what came of it, over the last seconds.

Latency counts from when a request was due, not from when it was sent: a late sender or a full queue shows.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opslib.core.windows import NS_PER_S

WINDOW_S = 30
_KEEP = 60_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request: when it was due and ended (monotonic nanoseconds), and whether it was answered below 500."""

    route: str
    due_ns: int
    end_ns: int
    ok: bool


class Report:
    """Counts of one load; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: deque[tuple[str, int]] = deque(maxlen=_KEEP)
        self._calls: deque[Call] = deque(maxlen=_KEEP)
        self._total = {"offered": 0, "answered": 0, "failed": 0}

    def offered(self, route: str, due_ns: int) -> None:
        with self._lock:
            self._due.append((route, due_ns))
            self._total["offered"] += 1

    def ended(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
            self._total["answered" if call.ok else "failed"] += 1

    def summary(self, now_ns: int, start_ns: int) -> dict[str, Any]:
        """Return rates over the last WINDOW_S seconds, or since the start where that is later."""
        since_ns = max(start_ns, now_ns - WINDOW_S * NS_PER_S)
        window_s = max((now_ns - since_ns) / NS_PER_S, 1e-9)
        with self._lock:
            due = [route for route, at in self._due if since_ns <= at < now_ns]
            calls = [call for call in self._calls if call.end_ns >= since_ns]
            total = dict(self._total)
        routes = {
            route: _route(due.count(route), [c for c in calls if c.route == route], window_s)
            for route in sorted(set(due) | {call.route for call in calls})
        }
        return {
            "window_s": round(window_s, 1),
            "offered_rps": round(len(due) / window_s, 2),
            "achieved_rps": round(len(calls) / window_s, 2),
            "routes": routes,
            "total": total,
        }


def _route(due: int, calls: list[Call], window_s: float) -> dict[str, Any]:
    waits_ms = sorted((call.end_ns - call.due_ns) / 1e6 for call in calls)
    return {
        "offered_rps": round(due / window_s, 2),
        "achieved_rps": round(len(calls) / window_s, 2),
        "failed": sum(not call.ok for call in calls),
        "p50_ms": quantile(waits_ms, 0.5),
        "p99_ms": quantile(waits_ms, 0.99),
    }


def quantile(ordered: Iterable[float], share: float) -> float | None:
    """Return the nearest-rank quantile of sorted values, None of nothing."""
    values = list(ordered)
    return round(values[max(0, math.ceil(share * len(values)) - 1)], 2) if values else None
