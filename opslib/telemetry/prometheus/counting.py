"""What counters and buckets come to, reckoned here: exact where a server extrapolates, and blind where it is blind.

`increase()` of PromQL extrapolates to the ends of its range, so that counts are fractions, and leaves out what a series
had counted when it was first scraped (prometheus/prometheus#3806, #1673). Here differences are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

_SERIES = ["name", "service_name", "k8s_pod_name", "labels"]
_TARGET = ["service_name", "k8s_pod_name"]
_SAME_SCRAPE = 0.5  # of an interval: series of one target that begin so near to each other began together
_EQUAL = 1e-12  # of two counts: what a server's own sums of floats may differ by

Bucket = tuple[float, float]  # upper bound, count at or below it
_Cell = tuple[float, float, float]  # lower and upper end, count between


def increase(samples: pd.DataFrame) -> pd.DataFrame:
    """Return how much counters grew from sample to sample: the same columns, at the later one, sorted by time.

    A counter that fell was reset and counts from zero. So does one that appears, if its target (service and pod) was
    scraped before without it: some other series of the target in `samples` began more than half a scrape interval
    earlier. Else its first sample only says where it stood. What was counted between a last scrape and a reset is lost;
    a reset that another scrape has overtaken, and a series that an exporter hid for a while, cannot be told.
    """
    rows = samples[np.isfinite(samples["value"].to_numpy(dtype=np.float64))]
    keys = rows[_SERIES].astype(object).where(rows[_SERIES].notna(), "")
    rows = rows.assign(_series=keys.groupby(_SERIES).ngroup(), _target=keys.groupby(_TARGET).ngroup())
    rows = rows.sort_values(["_series", "time_unix_nano", "value"], kind="stable")
    rows = rows.drop_duplicates(["_series", "time_unix_nano"], keep="last")
    same, at = rows.groupby("_series"), rows["time_unix_nano"]
    gap, step = same["time_unix_nano"].diff(), same["value"].diff()
    target = rows["_target"]
    interval = gap.groupby(target).transform("median")
    appeared = gap.isna() & (at - at.groupby(target).transform("min") > _SAME_SCRAPE * interval)
    grown = step.where(~(appeared | (step < 0)), rows["value"])
    found: pd.DataFrame = rows.assign(value=grown)[grown.notna()]
    return found.sort_values(["time_unix_nano", "_series"], kind="stable", ignore_index=True)[
        [*samples.columns]
    ]


def quantile(q: float, buckets: Iterable[Bucket], *, native: bool = False) -> float:
    """Return the q-quantile of a histogram's cumulative buckets, as `histogram_quantile` of Prometheus reckons it.

    Source: promql/quantile.go, BucketQuantile; where `native`, HistogramQuantile of Prometheus 3: observations are
    spread evenly over the logarithm of an exponential bucket, and evenly over the one around zero. Buckets may come in
    any order; those of one bound are added up. NaN where it cannot be said: no observations, or no bucket `+Inf`.
    """
    if math.isnan(q) or not 0 <= q <= 1:
        return math.nan if math.isnan(q) else math.copysign(math.inf, q)
    counts: dict[float, float] = {}
    for bound, count in buckets:
        counts[bound] = counts.get(bound, 0.0) + count
    told = _rising(sorted(counts.items()))
    if len(told) < 2 or told[-1][0] != math.inf or not told[-1][1] > 0:
        return math.nan
    return _native(q, told) if native else _classic(q, told)


def _rising(told: Sequence[Bucket]) -> list[Bucket]:
    """Return the buckets with no count below an earlier one, nor above it by less than sums of floats err."""
    found: list[Bucket] = []
    for bound, count in told:
        last = found[-1][1] if found else -math.inf
        found.append((bound, last if count < last or math.isclose(count, last, rel_tol=_EQUAL) else count))
    return found


def _classic(q: float, told: Sequence[Bucket]) -> float:
    rank = q * told[-1][1]
    number = next(i for i, (_, count) in enumerate(told) if count >= rank or i == len(told) - 1)
    high, count = told[number]
    if number == len(told) - 1:
        return told[-2][0]
    if number == 0:
        return high if high <= 0 else high * (rank / count) if count else math.nan
    low, below = told[number - 1]
    return low + (high - low) * ((rank - below) / (count - below))


def _native(q: float, told: Sequence[Bucket]) -> float:
    """Walk from the nearer end, as the server does: where an empty stretch holds the quantile, that decides its side."""
    ends = pairwise([(-math.inf, 0.0), *told])
    cells: list[_Cell] = [(low, high, count - below) for (low, below), (high, count) in ends if count > below]
    upward = q < 0.5 or cells[-1][1] == math.inf  # observations of NaN are above all buckets
    rank = (q if upward else 1 - q) * told[-1][1]
    passed = 0.0
    low = high = count = math.nan
    for low, high, count in cells if upward else reversed(cells):  # noqa: B007 - the last one counts
        passed += count
        if passed >= rank:
            break
    if high == math.inf:
        return math.nan
    part = (rank - (passed - count) if upward else passed - rank) / count
    return _inside(*_around_zero(low, high, cells), part)


def _around_zero(low: float, high: float, cells: Sequence[_Cell]) -> tuple[float, float]:
    """Return the ends of a bucket, one of them 0 where it is around zero and all others lie on one side."""
    if low < 0 < high:
        below, above = cells[0][0] < low, cells[-1][1] > high
        return (0.0 if above and not below else low), (0.0 if below and not above else high)
    return low, high


def _inside(low: float, high: float, part: float) -> float:
    if low <= 0 <= high:
        return low + (high - low) * part
    first, last = math.log2(abs(low)), math.log2(abs(high))
    found: float = 2.0 ** (first + (last - first) * part)
    return found if low > 0 else -found
