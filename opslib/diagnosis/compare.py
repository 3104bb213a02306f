"""Both windows side by side: every kind of work and wait, and the calls as a whole, from bucket counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opslib.core.windows import Windows
from opslib.diagnosis import weights
from opslib.diagnosis.critical_path import Ints
from opslib.diagnosis.groups import by_key, most_frequent
from opslib.diagnosis.knowledge import Knowledge, Place
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.quantiles import bucket_of, histogram, quantile
from opslib.diagnosis.segments import Segment
from opslib.diagnosis.statistics import rank_shift, tail_shift

OPERATION_KEYS = ["kind", "caller", "callee", "named_by", "operation"]


@dataclass(frozen=True, slots=True)
class Side:
    """One window's distribution of one quantity; the median is 0 where only sums are known."""

    n: int
    ns: int
    p50_ns: int = 0

    @property
    def mean_ns(self) -> float:
        return self.ns / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Shift:
    """How one kind of work or wait changed, per occurrence. z: rank test; positive means longer."""

    place: Place
    caller: str
    operation: str
    before: Side
    after: Side
    z: float

    @property
    def added_ns(self) -> float:
        """Mean time added per occurrence, in ns."""
        return self.after.mean_ns - self.before.mean_ns

    @property
    def log_ratio(self) -> float:
        """Smoothed logarithm of the growth of the mean."""
        floor = weights.SMOOTHING_NS
        return math.log((self.after.mean_ns + floor) / (self.before.mean_ns + floor))


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a shift is measured by.

    critical: z that is beyond chance. common: growth shared by all places (logarithm). involved_ns: by label, the mean
    duration in the baseline of the calls that spend time there. shares: by label, percent of all added time.
    mean_ns: mean duration of a call in the baseline.
    """

    critical: float
    common: float
    involved_ns: Mapping[str, float]
    shares: Mapping[str, float]
    mean_ns: float
    source: str

    def share(self, shift: Shift) -> float:
        """Return the time added beyond the common growth as a part of the calls that it is in."""
        extra = shift.after.mean_ns - shift.before.mean_ns * math.exp(self.common)
        return extra / max(self.involved_ns.get(shift.place.label, 0.0), weights.SMOOTHING_NS)

    def growth(self, shift: Shift) -> float:
        return shift.log_ratio - self.common


def shifts(elements: pd.DataFrame, knowledge: Knowledge, clustering: Clustering) -> tuple[Shift, ...]:
    """Compare each (place, operation) of the element table that occurs in both windows, of many the most frequent."""
    found = []
    for key, rows in by_key(most_frequent(elements, OPERATION_KEYS, weights.MOST_OPERATIONS), OPERATION_KEYS):
        before, after = (rows[rows["window"] == w] for w in (BASELINE, INCIDENT))
        if len(before) and len(after):
            segment, sides = Segment(*key[:4]), (side(before), side(after))
            z = clustering.tame(either_shift(before, after), sides[0].n, sides[1].n)
            found.append(Shift(knowledge.place(segment), segment.caller, key[4], *sides, z))
    return tuple(found)


def either_shift(before: pd.DataFrame, after: pd.DataFrame) -> float:
    """Return the larger z of a shift of the whole and one of the upper part, for what comes in bursts."""
    counts = _counts(before), _counts(after)
    return max(rank_shift(*counts)[0], tail_shift(*counts))


def side(rows: pd.DataFrame) -> Side:
    """Summarise rows of bucket, n, ns."""
    rows = rows.sort_values("bucket")
    bucket, n = rows["bucket"].to_numpy(), rows["n"].to_numpy()
    return Side(int(n.sum()), int(rows["ns"].sum()), quantile(bucket, n, 0.5))


def _counts(rows: pd.DataFrame) -> Ints:
    return histogram(rows["bucket"].to_numpy(), rows["n"].to_numpy())


@dataclass(frozen=True, slots=True)
class Clustering:
    """How alike calls near in time are: the intraclass correlation of time slots, 0 for independent calls."""

    correlation: float = 0.0

    def tame(self, z: float, n_before: int, n_after: int) -> float:
        """Divide z by the square root of Kish's design effect, 1 + (slot size - 1) x correlation."""
        slot = (n_before + n_after) / 2 / weights.N_SLOTS
        return z / math.sqrt(1 + max(slot - 1, 0.0) * self.correlation)


@dataclass(frozen=True, slots=True)
class CallShift:
    """How the calls of the service changed as a whole; z is corrected for the autocorrelation of calls in time."""

    before: Side
    after: Side
    ratio: float  # of the means at the incident's operation mix
    added_ns: float
    z: float
    clustering: Clustering
    failed_before: int
    failed_after: int


def compare_calls(calls: pd.DataFrame, windows: Windows) -> CallShift:
    """Compare durations within operations (van Elteren's stratified rank test) and count failures."""
    before, after = (calls[calls["window"] == w] for w in (BASELINE, INCIDENT))
    common = sorted(set(before["operation"].unique()) & set(after["operation"].unique()))
    total_z = total_variance = expected = actual = 0.0
    ranks = np.full(len(calls), 0.5)
    for operation in common:
        rows = np.flatnonzero((calls["operation"] == operation).to_numpy())
        x, y, ranks[rows] = _ranks(calls.iloc[rows])
        z, _ = rank_shift(x, y)
        size = math.sqrt(x.sum() * y.sum() / (x.sum() + y.sum() + 1))
        total_z += z * size
        total_variance += size**2
        expected += _mean(before, operation) * int(y.sum())
        actual += _mean(after, operation) * int(y.sum())
    z = total_z / math.sqrt(total_variance) if total_variance else 0.0
    clustering = _clustering(before, ranks[(calls["window"] == BASELINE).to_numpy()], windows)
    n = max(sum(int((after["operation"] == o).sum()) for o in common), 1)
    sides = _side_of(before), _side_of(after)
    return CallShift(
        *sides,
        ratio=actual / expected if expected else 1.0,
        added_ns=(actual - expected) / n,
        z=clustering.tame(z, sides[0].n, sides[1].n),
        clustering=clustering,
        failed_before=int(before["error"].sum()),
        failed_after=int(after["error"].sum()),
    )


def _ranks(calls: pd.DataFrame) -> tuple[Ints, Ints, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return both histograms and each call's mid-rank in (0, 1) among all of its operation."""
    bucket = bucket_of(calls["duration_ns"].to_numpy())
    after = (calls["window"] == INCIDENT).to_numpy()
    ones = np.ones(len(bucket), np.int64)
    x, y = histogram(bucket[~after], ones[~after]), histogram(bucket[after], ones[after])
    both = x + y
    middle = (np.cumsum(both) - both / 2) / len(bucket)
    return x, y, middle[bucket]


def _mean(calls: pd.DataFrame, operation: str) -> float:
    durations = calls["duration_ns"][calls["operation"] == operation]
    return int(durations.sum()) / max(len(durations), 1)


def _side_of(calls: pd.DataFrame) -> Side:
    durations = calls["duration_ns"].to_numpy()
    return Side(len(durations), int(durations.sum()))


def _clustering(
    calls: pd.DataFrame, ranks: np.ndarray[tuple[int], np.dtype[np.float64]], windows: Windows
) -> Clustering:
    """Estimate the correlation within time slots of the baseline from the F statistic of their mean ranks.

    A test that ignores that calls near in time are alike calls every passing hiccup significant. The incident is not
    used: a fault clusters by itself. F of independent calls stays below F_BY_CHANCE in 6 of 7 cases: only what
    exceeds that counts.
    """
    if windows.baseline is None or len(calls) < 2 * weights.N_SLOTS:
        return Clustering()
    since = (calls["start_ns"].to_numpy() - windows.baseline.start_ns).astype(np.float64)
    slot = np.clip(since * weights.N_SLOTS / windows.baseline.length_ns, 0, weights.N_SLOTS - 1).astype(
        np.int64
    )
    n = np.bincount(slot, minlength=weights.N_SLOTS)
    used = n > 0
    within = float(((ranks - ranks.mean()) ** 2).sum()) / (len(ranks) - 1)
    if used.sum() < 2 or within <= 0:
        return Clustering()
    means = np.bincount(slot, weights=ranks, minlength=weights.N_SLOTS)[used] / n[used]
    between = float((n[used] * (means - ranks.mean()) ** 2).sum()) / (int(used.sum()) - 1)
    excess = between / within / weights.F_BY_CHANCE - 1
    return Clustering(min(max(excess / max(len(calls) / int(used.sum()) - 1, 1.0), 0.0), 1.0))
