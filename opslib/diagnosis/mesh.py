"""Requests between workloads as the proxies of a mesh count them, by version at either end; each request counts once.

Both proxies of a request report it: the caller's tells how long it waited, the callee's how long the callee took. The two
are never added up: what lies between them is the time on the way.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from operator import add
from typing import NamedTuple

import numpy as np
import pandas as pd

from opslib.core.windows import Windows
from opslib.diagnosis import weights
from opslib.diagnosis.compare import Clustering
from opslib.diagnosis.mesh_samples import DESTINATION, SOURCE, increases, is_mesh
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.statistics import rank_shift, share_shift

NS_PER_MS = 1_000_000
_FINE_MS = tuple(
    2.0 ** (k / 8) for k in range(-24, 176)
)  # bounds where the mesh tells none: 0.125 ms to an hour
_LEAST_INTERVALS = 4


class Key(NamedTuple):
    """Who asked whom, told by whom, in which window; "" where the proxies do not know."""

    window: int
    reporter: str
    caller: str
    caller_version: str
    callee: str
    callee_version: str


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests: their number, how many failed; of those with a duration number, sum in ns, counts by bound."""

    n: int = 0
    errors: int = 0
    timed: int = 0
    ns: int = 0
    counts: tuple[int, ...] = ()

    def __add__(self, other: Flow) -> Flow:
        counts = tuple(map(add, self.counts, other.counts)) or self.counts or other.counts
        return Flow(
            self.n + other.n,
            self.errors + other.errors,
            self.timed + other.timed,
            self.ns + other.ns,
            counts,
        )

    def less(self, mean_ns: float, failing: float = 0.0) -> Flow:
        """Return the same requests with so much less time and so many fewer failures each, never below 0."""
        ns, errors = self.ns - round(mean_ns * self.timed), self.errors - round(failing * self.n)
        return replace(self, ns=max(ns, 0), errors=max(errors, 0))

    @property
    def mean_ns(self) -> float:
        return self.ns / self.timed if self.timed else 0.0

    @property
    def failing(self) -> float:
        return self.errors / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Mesh:
    """All flows, the bounds of their counts in ms, and how alike requests near in time are."""

    flows: Mapping[Key, Flow]
    bounds_ms: tuple[float, ...]
    clustering: Clustering

    def total(self, fits: Callable[[Key], bool]) -> Flow:
        """Return the sum of the flows whose key fits."""
        return reduce(add, (flow for key, flow in self.flows.items() if fits(key)), Flow())

    def into(self, window: int, callee: str, version: str | None = None) -> Flow:
        """Return what arrives at a workload (in a version) as its own proxy tells it, else as its callers' do."""
        at = (window, DESTINATION if self.reports(callee) else SOURCE, callee)
        return self.total(
            lambda k: (k.window, k.reporter, k.callee) == at and version in (None, k.callee_version)
        )

    def out_of(self, window: int, caller: str) -> Flow:
        """Return what a workload asks of others, as its own proxy tells it."""
        return self.total(lambda k: (k.window, k.reporter, k.caller) == (window, SOURCE, caller))

    def between(self, window: int, reporter: str, caller: str, callee: str) -> Flow:
        """Return what one workload asks of another as one of their proxies tells it."""
        at = (window, reporter, caller, callee)
        return self.total(lambda k: (k.window, k.reporter, k.caller, k.callee) == at)

    def asked(self, window: int, caller: str, callee: str) -> Flow:
        """Return the same as the caller's proxy tells it, else as the callee's does."""
        waited = self.between(window, SOURCE, caller, callee)
        return waited if waited.n else self.between(window, DESTINATION, caller, callee)

    def reports(self, callee: str) -> bool:
        """Tell whether a workload's own proxy told what arrived, in both windows."""
        told = {k.window for k in self.flows if k.reporter == DESTINATION and k.callee == callee}
        return told == {INCIDENT, BASELINE}

    def workloads(self) -> frozenset[str]:
        """Return those that have a proxy of their own."""
        own = (k.callee if k.reporter == DESTINATION else k.caller for k in self.flows)
        return frozenset(own) - {""}

    def time_shift(self, before: Flow, after: Flow) -> float:
        """Return z of the durations: the larger of a rank test over bounds and a test of the exact means.

        Bounds may be too wide to see a shift, and means too wild; each shows what hides from the other.
        """
        if not before.ns or not after.ns or not sum(before.counts) or not sum(after.counts):
            return 0.0
        ranks = rank_shift(*(np.array(flow.counts, dtype=np.int64) for flow in (before, after)))[0]
        spread = sum(self.variation(flow) / flow.timed for flow in (before, after))
        means = math.log(after.mean_ns / before.mean_ns) / math.sqrt(spread)
        return self.clustering.tame(max(ranks, means), before.timed, after.timed)

    def error_shift(self, before: Flow, after: Flow) -> float:
        """Return z of the shares that failed."""
        return self.clustering.tame(
            share_shift(before.errors, before.n, after.errors, after.n), before.n, after.n
        )

    def variation(self, flow: Flow) -> float:
        """Return the squared coefficient of variation of durations, within a bound as if they were spread evenly."""
        return _variation(flow.counts, self.bounds_ms)


def read_mesh(metrics: pd.DataFrame, windows: Windows) -> Mesh:
    """Read Istio's standard metrics; without any, a mesh without flows."""
    if not is_mesh(metrics["name"]).any():
        return Mesh({}, _FINE_MS, Clustering())
    rows = increases(metrics, windows)
    told = sorted({float(le) for le in rows.loc[rows["part"] == "bucket", "le"] if math.isfinite(le)})
    bounds = tuple(told) or _FINE_MS
    spans = _intervals(rows)
    parts = {part: _by_key(found) for part, found in rows.groupby("part", sort=True)}
    timed = _by_key(spans)
    flows = {}
    for key in sorted({key for found in parts.values() for key in found}):
        told_of = {str(part): found[key] for part, found in parts.items() if key in found}
        flows[key] = _flow(told_of, timed.get(key), bounds)
    return Mesh(flows, bounds, _clustering(spans, flows, bounds))


def _by_key(rows: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    return {Key._make(key): found for key, found in rows.groupby(list(Key._fields), sort=True)}


def _flow(parts: Mapping[str, pd.DataFrame], spans: pd.DataFrame | None, bounds: tuple[float, ...]) -> Flow:
    counted = parts.get("requests", parts.get("count"))
    timed = parts.get("count") if "sum" in parts else None
    n, errors = (
        (0, 0) if counted is None else (counted["value"].sum(), counted["value"][counted["failed"]].sum())
    )
    if timed is None or spans is None:
        return Flow(round(n), round(errors))
    counts = _by_bound(parts["bucket"], bounds) if "bucket" in parts else _at_means(spans, bounds)
    ns = round(float(parts["sum"]["value"].sum()) * NS_PER_MS)
    return Flow(round(n), round(errors), round(float(timed["value"].sum())), ns, counts)


def _by_bound(rows: pd.DataFrame, bounds: tuple[float, ...]) -> tuple[int, ...]:
    """Return requests by bound, the last of them beyond all; the samples count all below their bound."""
    below = rows.groupby("le", sort=True)["value"].sum()
    counts, so_far = [0] * (len(bounds) + 1), 0
    for le, value in zip(below.index, below, strict=True):
        new = max(round(float(value)) - so_far, 0)
        counts[bisect_left(bounds, le)] += new
        so_far += new
    return tuple(counts)


def _at_means(spans: pd.DataFrame, bounds: tuple[float, ...]) -> tuple[int, ...]:
    """Return requests by bound where the mesh tells none: each at the mean of its scrape interval."""
    counts = [0] * (len(bounds) + 1)
    for n, ms in zip(spans["n"], spans["ms"], strict=True):
        counts[bisect_left(bounds, ms / n)] += round(float(n))
    return tuple(counts)


def _intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for each series and scrape interval with requests their number and their time in ms."""
    keys = [*Key._fields, "origin", "time"]
    sides = [rows.loc[rows["part"] == part, [*keys, "value"]] for part in ("count", "sum")]
    both = (
        sides[0]
        .merge(sides[1], on=keys, suffixes=("", "_ms"))
        .rename(columns={"value": "n", "value_ms": "ms"})
    )
    return both[both["n"] > 0].sort_values(keys, ignore_index=True)


def _clustering(spans: pd.DataFrame, flows: Mapping[Key, Flow], bounds: tuple[float, ...]) -> Clustering:
    """Estimate how alike requests of one scrape interval are, from the means of intervals of the baseline.

    As for calls in traces: only what exceeds F_BY_CHANCE counts.
    """
    between = within = n = 0.0
    degrees = intervals = 0
    for key, found in _by_key(spans[spans["window"] == BASELINE]).items():
        for _, rows in found.groupby("origin", sort=True):
            if len(rows) >= _LEAST_INTERVALS and any(flows[key].counts):
                size, ms = rows["n"].to_numpy(), rows["ms"].to_numpy()
                mean = max(float(ms.sum() / size.sum()), 1e-9)
                between += float((size * (ms / size / mean - 1) ** 2).sum())
                within += _variation(flows[key].counts, bounds) * (len(rows) - 1)
                degrees, n = degrees + len(rows) - 1, n + float(size.sum())
                intervals += len(rows)
    if not degrees or within <= 0:
        return Clustering()
    excess = between / within / weights.F_BY_CHANCE - 1
    return Clustering(min(max(excess / max(n / intervals - 1, 1.0), 0.0), 1.0))


def _variation(counts: Iterable[int], bounds: tuple[float, ...]) -> float:
    edges = (0.0, *bounds, 2 * bounds[-1])
    n = mean = square = 0.0
    for count, (low, high) in zip(counts, pairwise(edges), strict=True):
        n += count
        mean += count * (low + high) / 2
        square += count * (low * low + low * high + high * high) / 3
    return n * square / mean**2 - 1 if mean else 0.0
