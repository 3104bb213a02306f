"""Versions and pods of one service beside each other in the same window: what only one of them does is its own doing.

Whatever slows callees, hosts or everything meets all versions alike, so a difference between versions at the same time
is blamed on the version. It must not have been there before: the value is new, or worse than it was itself.
Welch's test (1947) on logarithms of time, `share_shift` on failures; thresholds over all tests made, as for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from opslib.diagnosis import weights
from opslib.diagnosis.cohort_tables import OWN
from opslib.diagnosis.compare import Clustering
from opslib.diagnosis.groups import by_key
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.segments import EDGE, SERVICE, SILENT
from opslib.diagnosis.statistics import share_shift

Dimension = Literal["version", "pod"]
DIMENSIONS: tuple[Dimension, ...] = ("version", "pod")


@dataclass(frozen=True, slots=True)
class Sums:
    """Units of one cohort in one window."""

    n: int = 0
    errors: int = 0
    ns: int = 0
    logs: int = 0
    squares: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n + other.n,
            self.errors + other.errors,
            self.ns + other.ns,
            self.logs + other.logs,
            self.squares + other.squares,
        )

    def __sub__(self, other: Sums) -> Sums:
        return Sums(
            self.n - other.n,
            self.errors - other.errors,
            self.ns - other.ns,
            self.logs - other.logs,
            self.squares - other.squares,
        )

    @property
    def mean_ns(self) -> float:
        return self.ns / self.n if self.n else 0.0

    @property
    def failing(self) -> float:
        return self.errors / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One version or pod of `service` against its others in the incident, and itself before; at one kind of place."""

    service: str
    dimension: Dimension
    value: str
    kind: str  # of the place: service, edge or silent
    caller: str
    callee: str
    own: Sums
    others: Sums
    before: Sums
    z_time: float
    z_errors: float

    @property
    def added_ns(self) -> float:
        return self.own.mean_ns - self.others.mean_ns

    @property
    def failing_more(self) -> float:
        return self.own.failing - self.others.failing

    @property
    def slower_than_before(self) -> bool:
        return (
            self.before.n < weights.COHORT_CALLS
            or self.own.mean_ns >= weights.PART_RATIO * self.before.mean_ns
        )

    @property
    def failing_more_than_before(self) -> bool:
        return (
            self.before.n < weights.COHORT_CALLS
            or self.own.failing - self.before.failing >= weights.FAILING_SHARE
        )


def differences(table: pd.DataFrame, dimension: Dimension, clustering: Clustering) -> Iterator[Difference]:
    """Yield each value of a service that has others beside it in the incident, at each place it takes part in."""
    keys = ["kind", "caller", "callee", "named_by", "side"]
    told = table[table[dimension] != ""]
    for (kind, caller, callee, _, side), rows in by_key(told, keys):
        service = caller if side == OWN else callee
        sums = _by_value(rows, dimension)
        values = sorted({value for value, window in sums if window == INCIDENT})
        whole = sum((sums[value, INCIDENT] for value in values), Sums())
        for value in values if len(values) > 1 else ():
            own, before = sums[value, INCIDENT], sums.get((value, BASELINE), Sums())
            others = whole - own
            if min(own.n, others.n) >= weights.COHORT_CALLS:
                yield Difference(
                    service, dimension, value, kind, caller, callee, own, others, before,
                    clustering.tame(_welch(others, own), others.n, own.n),
                    clustering.tame(share_shift(others.errors, others.n, own.errors, own.n), others.n, own.n),
                )  # fmt: skip


def _by_value(rows: pd.DataFrame, dimension: Dimension) -> dict[tuple[str, int], Sums]:
    names = ["n", "errors", "ns", "logs", "squares"]
    grouped = rows.groupby([dimension, "window"], sort=True)[names].sum()
    return {
        (str(value), int(window)): Sums(*(int(x) for x in row))
        for (value, window), row in zip(grouped.index, grouped.to_numpy().tolist(), strict=True)
    }


def _welch(before: Sums, after: Sums) -> float:
    """Return Welch's t of the mean logarithms; positive: `after` takes longer. Buckets are at least 1/32 apart."""
    means, variance = [], 0.0
    for side in (before, after):
        mean = side.logs / side.n
        means.append(mean)
        variance += max(side.squares / side.n - mean * mean, 1.0) / side.n
    return (means[1] - means[0]) / math.sqrt(variance)


def rollouts(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return by service (from, to) where nearly all its units changed their version between the windows."""
    found = {}
    own = table[(table["kind"] == SERVICE) & (table["side"] == OWN) & (table["version"] != "")]
    for (service,), rows in by_key(own, ["caller"]):
        sums = _by_value(rows, "version")
        most = [_most(sums, window) for window in (BASELINE, INCIDENT)]
        if most[0] and most[1] and most[0] != most[1]:
            found[service] = (most[0], most[1])
    return found


def _most(sums: dict[tuple[str, int], Sums], window: int) -> str:
    """Return the version of nine units in ten, "" if there is none."""
    whole = sum(s.n for (_, w), s in sums.items() if w == window)
    return next((v for (v, w), s in sums.items() if w == window and s.n >= 0.9 * max(whole, 1)), "")


def tests_of(found: Iterable[Difference]) -> list[float]:
    """Return the z of every test made."""
    return [z for one in found for z in (one.z_time, one.z_errors)]


def place_words(one: Difference) -> str:
    """Say where the time is spent."""
    if one.kind == SERVICE:
        return "own work"
    return f"waiting {one.caller} -> {one.callee}" if one.kind in (EDGE, SILENT) else one.kind
