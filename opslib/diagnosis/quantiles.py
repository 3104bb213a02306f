"""Distributions as counts in fixed buckets: 32 per power of two, so they merge exactly in any order.

A bucket is at most 1/32 of its value wide; what is read from one is off by at most 1.6 %. (The scheme of HdrHistogram.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opslib.diagnosis.critical_path import Ints

_SUB = 32  # buckets per power of two
_BITS = 5
N_BUCKETS = (64 - _BITS) * _SUB


def bucket_of(value_ns: Ints) -> Ints:
    """Return the bucket of each value; negative values count as 0. Integer arithmetic only."""
    value = np.maximum(value_ns, 0)
    # frexp rounds values above 2**53 up to the next power of two at most: the shift is corrected below
    exponent = np.frexp(value.astype(np.float64))[1].astype(np.int64) - 1
    shift = np.maximum(exponent - _BITS, 0)
    shift -= (shift > 0) & ((value >> shift) < _SUB)
    return np.where(value < _SUB, value, (shift + 1) * _SUB + (value >> shift) - _SUB)


def value_of(bucket: Ints) -> Ints:
    """Return the middle of each bucket in ns."""
    power = np.maximum(bucket // _SUB - 1, 0)
    low = np.where(bucket < _SUB, bucket, (bucket % _SUB + _SUB) << power)
    return np.asarray(low + ((np.int64(1) << power) >> 1), dtype=np.int64)


def quantile(buckets: Ints, counts: Ints, q: float) -> int:
    """Return the nearest-rank quantile (0 < q <= 1) of sorted buckets; 0 where there are no counts."""
    total = int(counts.sum())
    if not total:
        return 0
    rank = max(1, -(-int(q * 1_000_000) * total // 1_000_000))
    index = int(np.searchsorted(np.cumsum(counts), rank))
    return int(value_of(buckets[index : index + 1])[0])


def histogram(buckets: Ints, counts: Ints) -> NDArray[np.int64]:
    """Return dense counts (N_BUCKETS,)."""
    dense = np.zeros(N_BUCKETS, np.int64)
    np.add.at(dense, buckets, counts)
    return dense
