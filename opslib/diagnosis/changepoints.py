"""Where a series of calls changes: several change points, each of which few calls on either side can show.

Seeded binary segmentation (Kovacs, Buhlmann, Li, Munk, Biometrika 2023): the best split of each of many overlapping
intervals, the surest first; what contains it is done. States that alternate hide each other in a long interval, in a
short one they do not. The series are bounded, so no outlier dominates. A split must exceed what calls that are alike
near in time do by chance (Kish's design effect). No random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from opslib.diagnosis import weights

Floats = NDArray[np.float64]
SeriesOf = Callable[[slice], Sequence[Floats]]  # what is looked at in a part of the calls

# calls in a segment: fewer could not be compared, and windows round at their ends
SHORTEST = weights.MIN_CALLS + 4
# of the largest z over all splits of a hundred calls, and more for ten times as many
_CRITICAL, _PER_DECADE = 3.6, 0.75
_FINEST = 150  # the shortest interval is this part of all calls
_DECAY = math.sqrt(2)  # from one layer of intervals to the next, as the authors advise
_SLOT = 8  # calls in a slot, from which the correlation of neighbours is estimated
_LIKELY = 4.0  # splits whose z squared is within this of the best are as good: a likelihood interval of 95 %


@dataclass(frozen=True, slots=True)
class Split:
    """Where calls are cut (index of the first call after), how surely, and which cuts are about as good."""

    at: int
    z: float
    first: int
    last: int


def shortest(n: int) -> int:
    """Return how many of n calls there are at least between two splits."""
    return max(SHORTEST, n // (2 * _FINEST))


def find_splits(n: int, series_of: SeriesOf) -> tuple[Split, ...]:
    """Return the splits of n calls, by index; at least `shortest` calls lie between two.

    What follows the last one is looked at as if nothing had been before it.
    """
    least = shortest(n)

    def best_of(lo: int, hi: int, critical: float) -> Split | None:
        split = _best_split(series_of(slice(lo, hi)), least, critical) if hi - lo >= 2 * least else None
        return split and Split(lo + split.at, split.z, lo + split.first, lo + split.last)

    critical = _critical(n)
    found = [(lo, hi, split) for lo, hi in _intervals(n) if (split := best_of(lo, hi, critical)) is not None]
    kept: list[Split] = []
    for lo, hi, split in sorted(found, key=lambda each: (-each[2].z, each[0], each[1])):
        if not any(lo < other.at < hi for other in kept):
            kept.append(split)
    kept += _between(n, kept, best_of)
    return tuple(sorted(kept, key=lambda split: split.at))


def _critical(n: int) -> float:
    return _CRITICAL + _PER_DECADE * max(math.log10(max(n, 1) / 100), 0.0)


def _between(
    n: int, kept: Iterable[Split], best_of: Callable[[int, int, float], Split | None]
) -> Iterator[Split]:
    """Yield what the whole of each stretch between two splits shows, which no interval may have fitted."""
    todo = list(pairwise([0, *sorted(split.at for split in kept), n]))
    while todo:
        lo, hi = todo.pop()
        split = best_of(lo, hi, _critical(n if hi < n else hi - lo))
        if split is not None:
            yield split
            todo += [(lo, split.at), (split.at, hi)]


def _intervals(n: int) -> Iterator[tuple[int, int]]:
    """Yield layers of ever shorter intervals, each overlapping the next by half; the last one of each ends at n."""
    length = float(n)
    while length >= 2 * shortest(n):
        size = int(length)
        count = 2 * math.ceil(n / size) - 1
        for number in range(count):
            lo = (n - size) * number // max(count - 1, 1)
            yield lo, lo + size
        length /= _DECAY


def _best_split(several: Iterable[Floats], least: int, critical: float) -> Split | None:
    best: Split | None = None
    for series in several:
        z = _z_of_splits(series, least)
        highest = float(z.max())
        if highest < critical:
            continue
        at = int(np.argmax(z)) + least
        sure = highest / math.sqrt(_design(series[:at], series[at:]))
        if sure >= critical and (best is None or sure > best.z):
            good = np.flatnonzero(z**2 >= highest**2 - _LIKELY * (highest / sure) ** 2) + least
            best = Split(at, sure, int(good[0]), int(good[-1]))
    return best


def _z_of_splits(series: Floats, least: int) -> Floats:
    """Return |z| of the difference of both sides for every split that leaves enough calls on both.

    Of a yes-or-no series by the arcsine difference: one failure in a short end is no change.
    """
    n = len(series)
    at = np.arange(least, n - least + 1)
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
    return max(1.0, f / (1 + 1.5 * math.sqrt(2 / slots)))
