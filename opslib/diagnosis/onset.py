"""When the present state began: the last change point of durations and failures from which calls are worse than before.

Binary segmentation (Vostrikova 1981) on bounded series that no outlier can dominate: the rank of a duration, whether it
is above an upper quantile (faults often come in bursts and leave the median alone), and failure. A split must exceed
what calls that are alike near in time do by chance (Kish's design effect), and matter. No random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from opslib.core.model import Onset
from opslib.diagnosis import weights

Floats = NDArray[np.float64]

# of the largest z over all splits of a hundred calls, and more for ten times as many
_CRITICAL, _PER_DECADE = 3.6, 1.1
_SHORTEST = (
    weights.MIN_CALLS + 4
)  # calls in a segment: fewer could not be compared, and windows round at their ends
_SHORTEST_END = 160  # calls in the shortest end that is looked at by itself
_FAILURES = 3  # fewer failed calls are no state
_UPPER = (0.75, 0.9, 0.97)
_SLOT = 8  # calls in a slot, from which the correlation of neighbours is estimated
_LIKELY = 4.0  # splits whose z squared is within this of the best are as good: a likelihood interval of 95 %


@dataclass(frozen=True, slots=True)
class _Split:
    """Where a segment is cut (index of the first call after), how surely, and which cuts are about as good."""

    at: int
    z: float
    first: int
    last: int


def find_onset(
    times_ns: NDArray[np.int64], durations_ns: NDArray[np.int64], errors: NDArray[np.bool_]
) -> Onset | None:
    """Return when calls became as bad as they are now, None where they are not worse than before.

    Arrays of one length, in any order: start and duration in ns, failed or not. A fault that was cleared is no onset;
    after several changes it is the last one before which calls were as well as they ever were.
    """
    order = np.argsort(times_ns, kind="stable")
    times, durations, failed = times_ns[order], durations_ns[order], errors[order].astype(np.float64)
    # Apart from each other: where calls become quicker by chance while they begin to fail, the one would hide the other.
    changes = _change(durations, np.zeros_like(failed)), _change(np.ones_like(durations), failed)
    found = [change for change in changes if change is not None]
    return _onset(times, max(found, key=lambda split: split.z)) if found else None


def _change(durations: NDArray[np.int64], failed: Floats) -> _Split | None:
    """Return the last split before which calls were as well as they ever were, where they are worse at the end."""
    splits = _splits(durations, failed)
    bounds = [0, *(split.at for split in splits), len(durations)]
    segments = [slice(a, b) for a, b in pairwise(bounds)]
    earlier, present = segments[:-1], segments[-1]
    if not earlier:
        return None
    best = min(earlier, key=lambda s: (_level(durations, failed, s), s.start))
    if not _is_worse(durations, failed, best, present):
        return None
    well = [number for number, s in enumerate(earlier) if not _is_worse(durations, failed, best, s)]
    return splits[well[-1]]


def _level(durations: NDArray[np.int64], failed: Floats, part: slice) -> float:
    """Return how bad a segment is: its mean duration, ten times that where every call fails."""
    return float(durations[part].mean()) * (1 + 9 * float(failed[part].mean()))


def _splits(durations: NDArray[np.int64], failed: Floats) -> list[_Split]:
    """Segment everything, then what the ends of half, a quarter ... of it show more clearly; the surest of near splits."""
    n = len(durations)
    found = list(_segment(durations, failed, 0, n))
    length = n // 2
    while length >= _SHORTEST_END:
        found += _segment(durations, failed, n - length, n)
        length //= 2
    kept: list[_Split] = []
    for split in sorted(found, key=lambda split: (-split.z, split.at)):
        if all(abs(split.at - other.at) >= _SHORTEST for other in kept):
            kept.append(split)
    return sorted(kept, key=lambda split: split.at)


def _onset(times: NDArray[np.int64], split: _Split) -> Onset:
    at = int(times[split.at])
    early, late = int(times[max(split.first - 1, 0)]), int(times[split.last])
    return Onset(at, round(max(at - early, late - at) / 1e9, 3))


def _segment(durations: NDArray[np.int64], failed: Floats, lo: int, hi: int) -> Iterator[_Split]:
    """Yield the splits of [lo, hi), found largest first, without recursion."""
    critical = _CRITICAL + _PER_DECADE * max(float(np.log10(max(len(durations), 1) / 100)), 0.0)
    todo = [(lo, hi)]
    while todo:
        lo, hi = todo.pop()
        split = _best_split(durations[lo:hi], failed[lo:hi], critical)
        if split is None:
            continue
        yield _Split(lo + split.at, split.z, lo + split.first, lo + split.last)
        todo += [(lo, lo + split.at), (lo + split.at, hi)]


def _best_split(durations: NDArray[np.int64], failed: Floats, critical: float) -> _Split | None:
    n = len(durations)
    if n < 2 * _SHORTEST:
        return None
    best: _Split | None = None
    for series in _series(durations, failed):
        z = _z_of_splits(series)
        at = int(np.argmax(z)) + _SHORTEST
        sure = float(z.max()) / np.sqrt(_design(series[:at], series[at:]))
        if sure >= critical and (best is None or sure > best.z):
            good = np.flatnonzero(z**2 >= z.max() ** 2 - _LIKELY * (z.max() / sure) ** 2) + _SHORTEST
            best = _Split(at, sure, int(good[0]), int(good[-1]))
    return best


def _series(durations: NDArray[np.int64], failed: Floats) -> Iterator[Floats]:
    rank = np.empty(len(durations))
    _, place, count = np.unique(durations, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - count / 2)[place] / len(durations)
    yield rank
    for quantile in _UPPER:
        yield (rank > quantile).astype(np.float64)
    yield failed


def _z_of_splits(series: Floats) -> Floats:
    """Return |z| of the difference of both sides for every split that leaves enough calls on both.

    Of a yes-or-no series by the arcsine difference: one failure in a short end is no change.
    """
    n = len(series)
    at = np.arange(_SHORTEST, n - _SHORTEST + 1)
    left = np.cumsum(series)[at - 1]
    right = float(series.sum()) - left
    if ((series == 0) | (series == 1)).all():
        angle = _angle(right, n - at) - _angle(left, at)
        return np.asarray(np.abs(angle) / np.sqrt(1 / (4 * at) + 1 / (4 * (n - at))))
    variance = float(series.var())
    if variance <= 0:
        return np.zeros(len(at))
    return np.asarray(np.abs(left / at - right / (n - at)) / np.sqrt(variance * (1 / at + 1 / (n - at))))


def _angle(part: Floats, whole: NDArray[np.int64]) -> Floats:
    return np.asarray(np.arcsin(np.sqrt((part + 0.375) / (whole + 0.75))))


def _design(left: Floats, right: Floats) -> float:
    """Return by how much neighbours resemble each other: the F statistic of slots, pooled over both sides, at least 1.

    Of few slots F is large by chance; only what exceeds one and a half standard deviations of it counts.
    """
    between = within = 0.0
    slots = rest = 0
    for side in (left, right):
        k = len(side) // _SLOT
        if k < 2:
            continue
        table = side[: k * _SLOT].reshape(k, _SLOT)
        means = table.mean(axis=1)
        between += _SLOT * float(((means - means.mean()) ** 2).sum())
        within += float(((table - means[:, None]) ** 2).sum())
        slots, rest = slots + k - 1, rest + k * (_SLOT - 1)
    if not slots or between <= 0:
        return 1.0
    f = (between / slots) / (within / rest) if within > 0 else float(_SLOT)
    return max(1.0, f / (1 + 1.5 * float(np.sqrt(2 / slots))))


def _is_worse(durations: NDArray[np.int64], failed: Floats, before: slice, after: slice) -> bool:
    """Tell whether calls of `after` are slower or fail more often by an amount that matters."""
    failing = float(failed[before].mean()), float(failed[after].mean())
    several = float(failed[after].sum()) >= _FAILURES
    if several and failing[1] >= weights.ONSET_RATIO * failing[0] + 2 * weights.FAILING_SHARE:
        return True
    for statistic in (np.mean, np.median, _upper):
        old, new = float(statistic(durations[before])), float(statistic(durations[after]))
        if new >= weights.ONSET_RATIO * old and new - old >= weights.SLOWER_NS:
            return True
    return False


def _upper(durations: NDArray[np.int64]) -> float:
    return float(np.quantile(durations, 0.9))
