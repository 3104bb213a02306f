"""Counters counted and quantiles reckoned here: against simulated counters, and by the properties of a quantile."""

import math
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.columns import COLUMNS
from opslib.telemetry.prometheus import increase, quantile

S = 1_000_000_000


def rows(name, samples, pod="p", labels=None):
    return [(at * S, name, float(value), None, "payment", pod, labels) for at, value in samples]


def frame(*found):
    return pd.DataFrame([row for some in found for row in some], columns=[c.name for c in COLUMNS["metrics"]])


def grown(found, name="x_total"):
    one = found[found["name"] == name]
    return list(zip(one["time_unix_nano"] // S, one["value"], strict=True))


def test_a_counter_grows_by_differences():
    found = increase(frame(rows("x_total", [(0, 5), (15, 7), (30, 7), (45, 10)])))

    assert grown(found) == [(15, 2), (30, 0), (45, 3)]
    assert list(found.columns) == [column.name for column in COLUMNS["metrics"]]


def test_a_counter_that_fell_counts_from_zero():
    assert grown(increase(frame(rows("x_total", [(0, 5), (15, 2), (30, 4)])))) == [(15, 2), (30, 2)]


def test_a_series_that_appears_on_a_target_scraped_before_counts_from_zero():
    other = rows("y_total", [(0, 1), (15, 1), (30, 1), (45, 1)])

    assert grown(increase(frame(other, rows("x_total", [(30, 4), (45, 5)])))) == [(30, 4), (45, 1)]
    assert grown(increase(frame(other, rows("x_total", [(15, 4)])))) == [(15, 4)]


def test_a_series_that_was_there_at_the_first_scrape_of_its_target_does_not():
    began_together = rows("y_total", [(0, 1), (15, 1), (30, 1)])
    other_target = rows("y_total", [(0, 1), (15, 1), (30, 1)], pod="q")

    assert grown(increase(frame(began_together, rows("x_total", [(1, 4), (16, 5)])))) == [(16, 1)]
    assert grown(increase(frame(other_target, rows("x_total", [(15, 4), (30, 5)])))) == [(30, 1)]
    assert grown(increase(frame(rows("x_total", [(15, 4)])))) == []


def test_series_are_told_apart_by_all_their_labels_and_samples_may_come_twice():
    one, two = (
        rows("x_total", [(0, 1), (15, 2)], labels='{"a":"1"}'),
        rows("x_total", [(0, 9), (15, 9)], labels='{"a":"2"}'),
    )

    assert grown(increase(frame(one, two, one))) == [(15, 1), (15, 0)]


@st.composite
def lives(draw):
    """Scrapes of one target: per scrape how many events of each kind; a restart loses the state, and events with it."""
    scrapes = draw(st.integers(2, 12))
    kinds = draw(st.integers(1, 3))
    steps = [
        (draw(st.booleans()) and number > 0, [draw(st.integers(0, 5)) for _ in range(kinds)])
        for number in range(scrapes)
    ]
    return draw(st.integers(1, 60)), steps


@settings(deadline=None, max_examples=40)
@given(lives(), st.randoms(use_true_random=False))
def test_increases_add_up_to_what_was_counted_between_the_scrapes(life, random):
    """The simulated target shows a kind only after its first event, and `up_total` always."""
    interval, steps = life
    counts = [0] * len(steps[0][1])
    samples, expected, shown_before = [], [0] * len(counts), [0] * len(counts)
    for number, (restarted, events) in enumerate(steps):
        counts = [0] * len(counts) if restarted else counts
        counts = [count + new for count, new in zip(counts, events, strict=True)]
        at = 1000 + number * interval
        samples += rows("up_total", [(at, number)])
        for kind, count in enumerate(counts):
            if count:
                samples += rows(f"k{kind}_total", [(at, count)])
            if number and count:
                reset = count < shown_before[kind]
                expected[kind] += count if reset else count - shown_before[kind]
            shown_before[kind] = count or shown_before[kind]
    random.shuffle(samples)

    found = increase(frame(samples))

    totals = found.groupby("name")["value"].sum()
    assert [totals.get(f"k{kind}_total", 0) for kind in range(len(counts))] == expected
    assert totals["up_total"] == len(steps) - 1
    assert (found["value"] >= 0).all()


@settings(deadline=None, max_examples=40)
@given(lives())
def test_without_restarts_no_event_is_lost_and_none_invented(life):
    interval, steps = life
    samples = []
    for number in range(len(steps)):
        at = 1000 + number * interval
        samples += rows("up_total", [(at, number)])
        for kind in range(len(steps[0][1])):
            count = sum(events[kind] for _, events in steps[: number + 1])
            samples += rows(f"k{kind}_total", [(at, count)] if count else [])

    totals = increase(frame(samples)).groupby("name")["value"].sum()

    for kind in range(len(steps[0][1])):
        after_the_first = sum(events[kind] for _, events in steps[1:])
        assert totals.get(f"k{kind}_total", 0) == after_the_first


INF = math.inf


@pytest.mark.parametrize(
    ("q", "buckets", "found"),
    [
        (0.5, [(1, 10), (2, 20), (INF, 20)], 1.0),
        (0.75, [(1, 10), (2, 20), (INF, 20)], 1.5),
        (0.25, [(1, 10), (2, 20), (INF, 20)], 0.5),
        (0.99, [(1, 10), (2, 11), (INF, 20)], 2.0),  # in the last bucket: its lower bound
        (0.1, [(-1, 10), (2, 20), (INF, 20)], -1.0),
        (0.9, [(1, 10), (2, 5), (INF, 10)], 0.9),  # what falls does not count
        (0.5, [(1, 5), (INF, 10), (1, 5), (INF, 10)], 0.5 / 0.5),
        (0.0, [(1, 0), (2, 5), (INF, 5)], math.nan),
        (0.5, [(1, 0), (INF, 0)], math.nan),
        (0.5, [(1, 5), (2, 5)], math.nan),
        (0.5, [(INF, 5)], math.nan),
        (0.5, [], math.nan),
        (-0.1, [(1, 5), (INF, 5)], -INF),
        (1.1, [(1, 5), (INF, 5)], INF),
        (math.nan, [(1, 5), (INF, 5)], math.nan),
    ],
)
def test_classic_quantiles(q, buckets, found):
    assert quantile(q, buckets) == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize(
    ("q", "buckets", "found"),
    [
        (0.5, [(1, 0), (4, 10), (INF, 10)], 2.0),  # the middle of a bucket is that of its logarithm
        (0.25, [(1, 0), (2, 10), (8, 10), (16, 20), (INF, 20)], 2**0.5),
        (0.5, [(1, 0), (2, 10), (8, 10), (16, 20), (INF, 20)], 8.0),  # the upper side of an empty stretch
        (0.5, [(-1, 0), (1, 10), (2, 10), (INF, 10)], 0.0),
        (0.25, [(-1, 0), (1, 10), (2, 20), (INF, 20)], 0.5),  # all others above: from 0
        (0.75, [(-2, 0), (-1, 10), (1, 20), (INF, 20)], -0.5),
        (0.5, [(-4, 0), (-1, 10), (INF, 10)], -2.0),
        (0.9, [(1, 0), (2, 5), (INF, 10)], math.nan),  # beyond all buckets are observations of NaN
        (0.25, [(1, 0), (4, 5), (INF, 10)], 2.0),
        (0.5, [(1, 0), (4, 5), (INF, 10)], 4.0),  # they are no reason to come from above
    ],
)
def test_native_quantiles(q, buckets, found):
    assert quantile(q, buckets, native=True) == pytest.approx(found, nan_ok=True)


@st.composite
def cumulative(draw):
    bounds = sorted(draw(st.sets(st.floats(0.001, 1000), min_size=1, max_size=8)))
    counts = [draw(st.integers(0, 50)) for _ in range(len(bounds) + 1)]
    return [(bound, float(sum(counts[: n + 1]))) for n, bound in enumerate([*bounds, INF])]


@settings(deadline=None)
@given(cumulative(), st.lists(st.floats(0.001, 1), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_quantiles_rise_lie_in_their_bucket_and_know_no_order(buckets, qs, random):
    values = [quantile(q, buckets) for q in sorted(qs)]
    shuffled = random.sample(buckets, len(buckets))

    assert all(a <= b or math.isclose(a, b) for a, b in pairwise(values)) or math.isnan(values[0])
    assert [quantile(q, shuffled) for q in sorted(qs)] == pytest.approx(values, nan_ok=True)
    for q, value in zip(sorted(qs), values, strict=True):
        if buckets[-1][1]:
            below = max((count for bound, count in buckets if bound < value), default=0.0)
            assert below <= q * buckets[-1][1] * (1 + 1e-12)
