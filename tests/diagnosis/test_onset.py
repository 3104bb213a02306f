"""Since when: the last change from which calls are worse than before it, and since when there was no other."""

import numpy as np
import pytest

from opslib.diagnosis import find_course, find_onset

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

    assert sum(onset is not None for onset in found) <= 2


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


SPANS = {"skips": 4, "retries": 9}  # what a call consists of, six spans otherwise


def course(seed, *states):
    """Return the course of calls, and the start of each state in s. States as in `calls`, and `skips` and `retries`."""
    time, duration, error, starts = calls(seed, *states)
    spans = np.concatenate([np.full(number, SPANS.get(state, 6)) for state, number in states])
    duration = np.where(spans == SPANS["skips"], duration // 2, duration)
    return find_course(time, duration, error, spans), starts


FAULTS = ("edge", "errors", "burst", "cpu", "edge")


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("last", ["edge", "cpu", "errors"])
def test_after_many_faults_the_last_one_is_found_and_what_was_between(seed, last):
    before = [state for fault in FAULTS for state in (("well", 90), (fault, 80))]
    found, starts = course(seed, *before, ("well", 90), (last, 60))

    assert abs(found.onset.time_ns / S - starts[-1]) < 2.5
    assert abs(found.steady_ns / S - starts[-2]) < 4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_well_after_many_faults_is_no_onset_and_says_since_when(seed):
    before = [state for fault in FAULTS for state in (("well", 90), (fault, 80))]
    found, starts = course(seed, *before, ("well", 120))

    assert found.onset is None
    assert found.steady_ns / S > starts[-1] - 4, "what is compared never lies under the fault"


def test_calls_that_do_less_are_an_onset_although_they_are_quicker():
    found, starts = course(1, ("well", 200), ("skips", 80))

    assert abs(found.onset.time_ns / S - starts[1]) < 1


@pytest.mark.parametrize("seed", [1, 2])
def test_calls_that_did_less_are_no_measure_of_how_well_calls_were(seed):
    back, starts = course(seed, ("well", 200), ("skips", 80), ("well", 120))
    slow, begun = course(seed, ("well", 200), ("skips", 80), ("well", 120), ("cpu", 60))

    assert back.onset is None
    assert abs(back.steady_ns / S - starts[-1]) < 1
    assert abs(slow.onset.time_ns / S - begun[-1]) < 1


def test_what_comes_again_and_again_is_still_an_onset():
    states = [("well", 90), ("skips", 80)] * 3
    found, starts = course(2, *states)

    assert abs(found.onset.time_ns / S - starts[-1]) < 1


def test_calls_that_changed_before_the_fault_are_compared_with_their_like():
    """Two spans fewer from some time on, as where a service stops to send any; later it becomes slow too."""
    time, duration, error, starts = calls(3, ("well", 300), ("well", 80), ("cpu", 60))
    spans = np.where(np.arange(440) < 300, 6, 4)
    found = find_course(time, duration, error, spans)

    assert abs(found.onset.time_ns / S - starts[2]) < 1
    assert abs(found.steady_ns / S - starts[1]) < 1


def test_queues_that_drain_are_no_fault():
    time, duration, error, starts = calls(4, ("well", 200), ("edge", 80), ("well", 120))
    jam = np.where(np.arange(400) < 280, 1_500 * MS, 0) * (np.arange(400) >= 200)
    draining = np.where((np.arange(400) >= 280) & (np.arange(400) < 304), 200 * MS, 0)
    found = find_course(time, duration + jam + draining, error, np.full(400, 6))

    assert found.onset is None
    assert abs(found.steady_ns / S - starts[2]) < 4


def test_few_calls_have_no_course():
    *arrays, _ = calls(5, ("well", 20), ("edge", 20))

    assert find_course(*arrays, np.full(40, 6)) == find_course(
        *(a[:0] for a in arrays), np.zeros(0, np.int64)
    )


def test_of_very_many_calls_a_part_is_enough():
    time, duration, error, starts = calls(6, ("well", 40_000), ("edge", 5_000), rate=400.0)
    found = find_course(time, duration, error, np.full(45_000, 6))

    assert abs(found.onset.time_ns / S - starts[1]) < 0.1
    assert found.steady_ns is None or found.steady_ns / S < starts[1] - 0.1


def test_calls_at_one_time_may_come_in_any_order():
    time, duration, error, _ = calls(7, ("well", 200), ("errors", 80))
    pairs = np.repeat(time[::2], 2), np.repeat(duration[::2], 2), error, np.arange(280) % 3 + 5
    order = np.random.default_rng(1).permutation(280)

    assert find_course(*(column[order] for column in pairs)) == find_course(*pairs)
