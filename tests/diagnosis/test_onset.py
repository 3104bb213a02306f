"""Since when: the last change from which calls are worse than before it."""

import numpy as np
import pytest

from opslib.diagnosis import find_onset

S, MS = 1_000_000_000, 1_000_000


def calls(seed, *states, rate=8.0):
    """Return times, durations, errors of calls at `rate` per s in (state, number) and the start of each state in s."""
    rng = np.random.default_rng(seed)
    now = drift = 0.0
    rows, starts = [], []
    for state, number in states:
        starts.append(now)
        for _ in range(number):
            now += rng.exponential(1 / rate)
            drift = 0.96 * drift + rng.normal(0, 0.04)
            ms = 12 * np.exp(drift + rng.normal(0, 0.35))
            ms += {"edge": 80, "cpu": 40 * np.exp(rng.normal(0, 0.2))}.get(state, 0)
            if state == "burst" and now % 3 < 1.2:
                ms += rng.uniform(50, 1_200)
            rows.append((now * S, ms * MS, state == "errors" and rng.random() < 0.4))
    time, duration, error = zip(*rows, strict=True)
    return np.array(time, np.int64), np.array(duration, np.int64), np.array(error, np.bool_), starts


@pytest.mark.parametrize("state", ["edge", "cpu", "errors", "burst"])
@pytest.mark.parametrize("numbers", [(400, 60), (1500, 500)])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_finds_when_a_fault_began(state, numbers, seed):
    *arrays, starts = calls(seed, ("well", numbers[0]), (state, numbers[1]))

    found = find_onset(*arrays)

    assert found is not None
    assert abs(found.time_ns / S - starts[1]) < (4.0 if state == "burst" else 2.5)
    assert found.uncertainty_s < 15


@pytest.mark.parametrize("state", ["edge", "cpu"])
def test_thirty_calls_before_and_thirty_after_are_enough(state):
    *arrays, starts = calls(3, ("well", 30), (state, 30))

    assert abs(find_onset(*arrays).time_ns / S - starts[1]) < 1


@pytest.mark.parametrize("state", ["edge", "burst", "errors"])
def test_a_fault_that_was_cleared_is_no_onset(state):
    *arrays, _ = calls(4, ("well", 300), (state, 200), ("well", 200))

    assert find_onset(*arrays) is None


def test_of_two_faults_the_present_one_counts():
    *arrays, starts = calls(5, ("edge", 200), ("well", 200), ("cpu", 80))

    assert abs(find_onset(*arrays).time_ns / S - starts[2]) < 1


def test_a_fault_that_eases_without_ending_goes_back_to_its_beginning():
    *arrays, starts = calls(6, ("well", 300), ("edge", 150), ("cpu", 150))

    assert abs(find_onset(*arrays).time_ns / S - starts[1]) < 1


def test_steady_calls_seldom_alarm():
    found = [find_onset(*calls(seed, ("well", 600))[:3]) for seed in range(40)]

    assert sum(onset is not None for onset in found) <= 1


def test_order_does_not_matter_and_nothing_is_nothing():
    *arrays, _ = calls(7, ("well", 100), ("edge", 100))
    order = np.random.default_rng(0).permutation(200)

    assert find_onset(*(a[order] for a in arrays)) == find_onset(*arrays)
    assert find_onset(*(a[:0] for a in arrays)) is None
    assert find_onset(np.arange(100), np.full(100, 5), np.zeros(100, np.bool_)) is None


def test_quicker_calls_do_not_hide_that_they_begin_to_fail() -> None:
    rng = np.random.default_rng(7)
    times = np.arange(96, dtype=np.int64) * 125_000_000
    durations = (14e6 * np.exp(rng.normal(0, 0.3, 96)) * np.where(np.arange(96) < 54, 1.9, 1.0)).astype(
        np.int64
    )
    errors = (np.arange(96) >= 46) & (np.arange(96) % 3 == 0)

    onset = find_onset(times, durations, errors)

    assert onset is not None
    assert abs(onset.time_ns - int(times[46])) <= 6 * 125_000_000
