"""When which request is due: pure, the same for the same rates and seed.

Each route has its own constant rate and a phase drawn from the seed, so routes do not arrive in step. Times are
integer nanoseconds since the start, and the k-th request of a route stands at (k + phase) / rate, without drift.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from opslib.core.errors import UsageError, near_names
from opslib.core.windows import NS_PER_S


@dataclass(frozen=True, slots=True)
class Route:
    """What one kind of request sends to the storefront."""

    method: str
    path: str


ROUTES: Mapping[str, Route] = {
    "browse": Route("GET", "/"),
    "orders": Route("GET", "/orders"),
    "payment": Route("POST", "/checkout"),  # the whole chain
}
# 50 requests a second in all; payment is the minority that it is in a shop.
DEFAULT_RATES: Mapping[str, float] = {"browse": 28.0, "orders": 14.0, "payment": 8.0}
MAX_RPS = 1000.0
TENANTS = ("acme", "globex", "initech", "umbrella")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: when it is due, in nanoseconds since the start, on which route, the how many-th of it."""

    due_ns: int
    route: str
    number: int


def checked_rates(rates: Mapping[str, float] | None) -> dict[str, float]:
    """Return the rates to drive, the default where none are given. Raises UsageError for nonsense."""
    if not rates:
        return dict(DEFAULT_RATES)
    for route, rate in rates.items():
        if route not in ROUTES:
            raise UsageError(f"the load has no route {route!r}", hint=near_names(route, ROUTES))
        if not (math.isfinite(rate) and 0 < rate <= MAX_RPS):
            raise UsageError(
                f"{rate:g} requests a second on {route} is no rate", hint=f"above 0, at most {MAX_RPS:g}"
            )
    return {route: float(rate) for route, rate in rates.items()}


def arrivals(rates: Mapping[str, float], seed: int) -> Iterator[Arrival]:
    """Yield arrivals in order of time, without end."""
    draw = random.Random(seed)
    phases = {route: draw.random() for route in sorted(rates)}
    streams = [_stream(route, rates[route], phases[route]) for route in sorted(rates)]
    return heapq.merge(*streams, key=lambda a: (a.due_ns, a.route))


def _stream(route: str, rate: float, phase: float) -> Iterator[Arrival]:
    number = 0
    while True:
        yield Arrival(round((number + phase) / rate * NS_PER_S), route, number)
        number += 1


def basket(seed: int, number: int) -> dict[str, str | int]:
    """Return what the number-th customer buys."""
    draw = random.Random(f"{seed}/{number}")
    account, cents = f"acct-{draw.randrange(500):04d}", draw.randrange(500, 20_000)
    return {"account": account, "amount_cents": cents, "tenant": draw.choice(TENANTS)}
