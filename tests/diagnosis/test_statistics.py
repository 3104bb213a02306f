"""Buckets, quantiles and tests on counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.diagnosis.groups import group
from opslib.diagnosis.quantiles import N_BUCKETS, bucket_of, histogram, quantile, value_of
from opslib.diagnosis.statistics import critical_z, rank_shift, rate_shift, share_shift, tail_shift


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=50))
def test_a_bucket_is_a_thirty_second_wide_and_ordered(values):
    value = np.sort(np.array(values, np.int64))
    bucket = bucket_of(value)

    assert (np.diff(bucket) >= 0).all()
    assert (bucket >= 0).all()
    assert (bucket < N_BUCKETS).all()
    middle = value_of(bucket)
    assert all(abs(int(m) - int(v)) <= int(v) / 60 for m, v in zip(middle, value, strict=True))


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=80), st.floats(0.01, 1.0))
def test_quantiles_are_near_the_nearest_rank(values, q):
    value = np.array(values, np.int64)
    buckets, counts = np.unique(bucket_of(value), return_counts=True)

    exact = int(np.sort(value)[max(1, -(-int(q * 1_000_000) * len(value) // 1_000_000)) - 1])
    assert abs(quantile(buckets, counts, q) - exact) <= exact / 60


def counts(values):
    bucket = bucket_of(np.array(values, np.int64))
    return histogram(bucket, np.ones(len(bucket), np.int64))


def test_the_rank_test_is_antisymmetric_and_calm_on_equal_samples():
    a, b = counts(range(1_000, 2_000, 10)), counts(range(3_000, 4_000, 10))

    assert rank_shift(a, b)[0] == pytest.approx(-rank_shift(b, a)[0])
    assert rank_shift(a, b) == (pytest.approx(12.2, abs=0.3), 1.0)
    assert rank_shift(a, a) == (0.0, 0.5)
    assert rank_shift(a, counts([])) == (0.0, 0.5)
    assert rank_shift(counts([5, 5]), counts([5])) == (0.0, 0.5)


def test_the_tail_test_sees_what_leaves_the_median_alone():
    rng = np.random.default_rng(0)
    calm, bursts = rng.integers(900, 1_100, 100), rng.integers(900, 1_100, 100)
    bursts[:20] += 50_000

    assert rank_shift(counts(calm), counts(bursts))[0] < 4 < tail_shift(counts(calm), counts(bursts))
    assert tail_shift(counts([]), counts([1])) == 0.0


def test_shares_and_rates():
    assert share_shift(0, 100, 20, 100) > 5 > -5 > share_shift(20, 100, 0, 100)
    assert share_shift(0, 0, 1, 10) == 0.0
    assert rate_shift(100, 10, 400, 10) > 8
    assert rate_shift(1, 0, 1, 1) == 0.0


def test_the_threshold_allows_for_all_tests_made():
    assert critical_z([0.0], 0.01) < critical_z([0.0] * 50, 0.01)
    many = critical_z([9.0] * 25 + [0.0] * 25, 0.01)
    assert many < critical_z([0.0] * 50, 0.01)
    assert critical_z([], 0.01) == critical_z([0.0], 0.01)


@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 3), st.integers(0, 2**40)),
        min_size=1,
        max_size=60,
    )
)
def test_groups_are_those_of_a_dictionary(rows):
    keys = [np.array(column, np.int64) for column in zip(*rows, strict=True)]

    found = group(keys)

    expected = {key: sum(k == key for k in rows) for key in rows}
    assert [rows[i] for i in found.sample.tolist()] == sorted(expected)
    assert found.count().tolist() == [expected[key] for key in sorted(expected)]
