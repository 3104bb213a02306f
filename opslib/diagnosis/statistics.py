"""Tests on counts: exact inputs, deterministic floats, no random numbers.

`rank_shift`: Mann-Whitney U with ties from bucket counts (Mann & Whitney 1947, tie term as in Lehmann, Nonparametrics).
`rate_shift`: two rates by the variance-stabilised difference of square roots (Anscombe 1948).
`share_shift`: two proportions by the arcsine difference (Cohen 1988), which is honest at shares of 0 and 1.
`tail_shift`: the largest of many such differences over cuts, as in Higher Criticism (Donoho & Jin 2004).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np

from opslib.diagnosis.critical_path import Ints

EXCEEDS_Z = 4.0  # one in thirty thousand by chance
CUTS = 4  # a maximum over correlated cuts is about as extreme as that of four independent tests


def rank_shift(before: Ints, after: Ints) -> tuple[float, float]:
    """Compare two histograms over the same ordered buckets.

    Returns z (positive: `after` is larger) and the probability that a value of `after` exceeds one of `before`.
    """
    n, m = int(before.sum()), int(after.sum())
    if not n or not m:
        return 0.0, 0.5
    both = before + after
    middle = np.cumsum(both) - (both - 1) / 2
    u = float((after * middle).sum()) - m * (m + 1) / 2
    total = n + m
    ties = float((both.astype(np.float64) ** 3 - both).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - ties)
    if variance <= 0:
        return 0.0, 0.5
    return (u - n * m / 2) / math.sqrt(variance), u / (n * m)


def tail_shift(before: Ints, after: Ints) -> float:
    """Return the largest z of the shares above any bucket of the upper half: a shift that only some values show.

    A maximum over cuts is no normal variable; `CUTS` accounts for that.
    """
    n, m = int(before.sum()), int(after.sum())
    if not n or not m:
        return 0.0
    above = np.cumsum((before + after)[::-1])[::-1]
    cuts = np.flatnonzero((above <= (n + m) / 2) & (above > 0) & (before + after > 0))
    x, y = np.cumsum(before[::-1])[::-1][cuts], np.cumsum(after[::-1])[::-1][cuts]
    angle = np.arcsin(np.sqrt((y + 0.375) / (m + 0.75))) - np.arcsin(np.sqrt((x + 0.375) / (n + 0.75)))
    return float(angle.max(initial=0.0)) / math.sqrt(1 / (4 * n) + 1 / (4 * m))


def share_shift(part_before: int, before: int, part_after: int, after: int) -> float:
    """Return z of the difference between two shares; positive: the share rose."""
    if not before or not after:
        return 0.0
    angle = _angle(part_after, after) - _angle(part_before, before)
    return angle / math.sqrt(1 / (4 * before) + 1 / (4 * after))


def exceeds_share(part: int, whole: int, allowed: float) -> bool:
    """Tell whether a share is above a given one beyond chance, at least EXCEEDS_Z by the arcsine difference."""
    if not whole:
        return False
    return 2 * math.sqrt(whole) * (_angle(part, whole) - math.asin(math.sqrt(allowed))) >= EXCEEDS_Z


def _angle(part: int, whole: int) -> float:
    return math.asin(math.sqrt((part + 0.375) / (whole + 0.75)))


def rate_shift(
    count_before: float, exposure_before: float, count_after: float, exposure_after: float
) -> float:
    """Return z of the difference between two Poisson rates; positive: the rate rose."""
    if exposure_before <= 0 or exposure_after <= 0:
        return 0.0
    before = math.sqrt((count_before + 0.375) / exposure_before)
    after = math.sqrt((count_after + 0.375) / exposure_after)
    return (after - before) / math.sqrt(1 / (4 * exposure_before) + 1 / (4 * exposure_after))


def critical_z(z_of_tests: Iterable[float], false_discovery: float, cuts: int = CUTS) -> float:
    """Return the z from which tests are significant, by Benjamini and Hochberg (1995) over all tests made.

    Where no windows differ this is the chance of any false alarm. Each test counts for `cuts` independent ones.
    """
    normal = NormalDist()
    p_values = sorted(min(1.0, cuts * normal.cdf(-z)) for z in z_of_tests)
    m = max(len(p_values), 1)
    passed = [k for k, p in enumerate(p_values, start=1) if p <= k * false_discovery / m]
    return -normal.inv_cdf((passed[-1] if passed else 1) * false_discovery / m / cuts)
