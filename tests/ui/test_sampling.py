"""Thinning keeps extremes; buckets lose no call; axes are labelled where the data are."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.windows import NS_PER_S, Window
from opslib.ui.sampling import MAX_POINTS, Sample, buckets, quantiles, thin, width_s
from opslib.ui.scale import duration_axis, is_wide, position, spread


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=400), st.integers(10, 60))
def test_thinned_series_keep_first_last_least_and_greatest(values, limit):
    rows = thin(np.array(values, dtype=float), limit)

    assert len(rows) <= limit or len(values) <= limit
    assert (np.diff(rows) > 0).all()
    assert {0, len(values) - 1} <= set(rows.tolist())
    kept = [values[i] for i in rows]
    assert (min(kept), max(kept)) == (min(values), max(values))


def test_a_long_series_comes_to_what_a_screen_can_show():
    series = np.sin(np.arange(100_000) / 50)
    series[54_321] = 9

    rows = thin(series)

    assert 1000 < len(rows) <= MAX_POINTS
    assert 54_321 in rows


@given(
    st.lists(st.integers(0, 120 * NS_PER_S - 1), max_size=200),
    st.integers(1, 40),
)
def test_calls_that_start_after_their_window_are_in_its_last_bucket(times, width):
    calls = Sample(
        np.sort(np.array([*times, 121 * NS_PER_S])), np.ones(len(times) + 1), np.zeros(len(times) + 1, bool)
    )

    found = buckets(Window(0, 120 * NS_PER_S), "baseline", width, calls, [0.5])

    assert sum(bucket.calls for bucket in found) == len(times) + 1
    assert [b.middle_ns for b in found] == sorted({b.middle_ns for b in found})
    assert found[-1].end_ns == 120 * NS_PER_S


@given(
    st.lists(st.integers(0, 120 * NS_PER_S - 1), max_size=200),
    st.integers(1, 40),
)
def test_buckets_hold_every_call_once(times, width):
    calls = Sample(
        np.sort(np.array(times, dtype=np.int64)),
        np.arange(len(times), dtype=np.int64),
        np.arange(len(times)) % 3 == 0,
    )
    found = buckets(Window(0, 120 * NS_PER_S), "incident", width, calls, [0.5])

    assert sum(bucket.calls for bucket in found) == len(times)
    assert sum(bucket.errors for bucket in found) == int(calls.errors.sum())
    assert all(0 <= b.start_ns < b.end_ns <= 120 * NS_PER_S for b in found)


def test_buckets_are_wide_enough_for_calls_and_few_enough_for_a_screen():
    hour = [Window(0, 3600 * NS_PER_S)]

    assert 3600 / width_s(hour, 10**6) <= 60
    assert width_s(hour, 10) <= 300
    assert width_s([Window(0, 400 * 86_400 * NS_PER_S)], 10) * 60 >= 400 * 86_400
    assert width_s([Window(0, NS_PER_S)], 0) == 1


def test_quantiles_of_nothing_are_no_numbers():
    assert np.isnan(quantiles(np.array([], dtype=np.int64), [0.5])[0])


def test_an_axis_is_logarithmic_beyond_a_decade_and_labels_durations():
    wide, narrow = duration_axis([2e6, 9e8], "t"), duration_axis([2e6, 1.9e7], "t")

    assert is_wide([1, 11])
    assert not is_wide([0, 10])
    assert (wide["type"], narrow["type"]) == ("log", "linear")
    assert wide["ticktext"] == [
        "2 ms",
        "5 ms",
        "10 ms",
        "20 ms",
        "50 ms",
        "100 ms",
        "200 ms",
        "500 ms",
        "1 s",
    ]
    assert narrow["ticktext"] == ["0", "5 ms", "10 ms", "15 ms", "20 ms"]
    assert position(wide, 1e8) == 2
    assert position(narrow, 1e8) == 100
    assert duration_axis([], "t")["type"] == "linear"
    assert duration_axis([1e3, 1e12], "t")["ticktext"][0] == "0.001 ms"


@given(st.lists(st.floats(0, 1), max_size=7))
def test_labels_are_pushed_apart_in_their_order(places):
    moved = spread(places, 0.1)
    ordered = sorted(moved)

    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert sorted(range(len(places)), key=lambda i: (places[i], i)) == sorted(
        range(len(moved)), key=moved.__getitem__
    )
