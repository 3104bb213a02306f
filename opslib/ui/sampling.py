"""What a screen can show: series of at most 2,000 points that keep their first, last, least and greatest, and time buckets.

Pure arithmetic on arrays; a bucket belongs to one window and never straddles two.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.core.windows import NS_PER_S, STEPS_S, Window

MAX_POINTS = 2000
FEW = 30  # a quantile of fewer requests is drawn hollow


@dataclass(frozen=True, slots=True)
class Sample:
    """The calls of one window as arrays of one length; durations in ns."""

    times_ns: NDArray[np.int64]
    durations_ns: NDArray[np.int64]
    errors: NDArray[np.bool_]

    @classmethod
    def of(cls, calls: pd.DataFrame) -> Sample:
        """Return rows of `Diagnosis.calls` by time."""
        ordered = calls.sort_values("start_ns", kind="stable")
        return cls(
            ordered["start_ns"].to_numpy(np.int64),
            ordered["duration_ns"].to_numpy(np.int64),
            ordered["error"].to_numpy(bool),
        )

    def __len__(self) -> int:
        return len(self.times_ns)

    @property
    def failed(self) -> int:
        return int(self.errors.sum())


@dataclass(frozen=True, slots=True)
class Bucket:
    """The calls of one stretch of time: how many, how many failed, quantiles of their durations in ns."""

    window: str
    start_ns: int
    end_ns: int
    calls: int
    errors: int
    quantiles_ns: tuple[float, ...]

    @property
    def middle_ns(self) -> int:
        return (self.start_ns + self.end_ns) // 2

    @property
    def few(self) -> bool:
        return self.calls < FEW


def thin(values: Sequence[float] | NDArray[np.float64], limit: int = MAX_POINTS) -> NDArray[np.intp]:
    """Return at most `limit` row numbers, ascending: the first, the last, and each stretch's least and greatest."""
    series = np.asarray(values, dtype=np.float64)
    size = len(series)
    if size <= limit:
        return np.arange(size)
    edges = np.linspace(0, size, (limit - 2) // 2 + 1).astype(np.intp)
    keep = [0, size - 1]
    for low, high in itertools.pairwise(edges.tolist()):
        part = series[low:high]
        keep += [low + int(part.argmin()), low + int(part.argmax())]
    return np.unique(np.array(keep, dtype=np.intp))


def width_s(windows: Sequence[Window], calls: int) -> int:
    """Choose the width of a bucket: at most 60 buckets, wider while a bucket holds few calls, but at least 12 of them."""
    length_s = sum(window.length_ns for window in windows) / NS_PER_S
    for width in STEPS_S:
        buckets = length_s / width
        if buckets <= 60 and (calls / max(buckets, 1) >= FEW or buckets <= 24):
            return width
    return max(STEPS_S[-1], int(length_s / 60))


def buckets(
    window: Window, name: str, width: int, calls: Sample, shares: Sequence[float]
) -> tuple[Bucket, ...]:
    """Cut a window into buckets of `width` seconds from its start; those without calls are left out.

    A call may start after the window that holds its trace's root: it belongs to the nearest bucket.
    """
    step = width * NS_PER_S
    slot = np.clip((calls.times_ns - window.start_ns) // step, 0, max(window.length_ns - 1, 0) // step)
    found = []
    for number in np.unique(slot).tolist():
        rows = slot == number
        start = window.start_ns + number * step
        end = min(start + step, window.end_ns)
        counts = int(rows.sum()), int(calls.errors[rows].sum())
        found.append(Bucket(name, start, end, *counts, quantiles(calls.durations_ns[rows], shares)))
    return tuple(found)


def quantiles(durations_ns: NDArray[np.int64], shares: Sequence[float]) -> tuple[float, ...]:
    """Return quantiles that are durations of real calls (the inverted distribution); shares are 0 to 1."""
    if not len(durations_ns):
        return tuple(float("nan") for _ in shares)
    return tuple(float(q) for q in np.quantile(durations_ns, shares, method="inverted_cdf"))
