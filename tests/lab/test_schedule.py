"""The load's schedule: constant rates, no drift, the same for the same seed."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.errors import UsageError
from opslib.lab.load.schedule import DEFAULT_RATES, arrivals, basket, checked_rates

rates = st.dictionaries(st.sampled_from(sorted(DEFAULT_RATES)), st.floats(0.1, 100), min_size=1)


def during(rates: dict[str, float], seed: int, seconds: float) -> list:
    return list(itertools.takewhile(lambda a: a.due_ns < seconds * 1e9, arrivals(rates, seed)))


@settings(deadline=None, max_examples=30)
@given(rates, st.integers(0, 1000))
def test_every_route_has_its_rate(rates: dict[str, float], seed: int) -> None:
    due = during(rates, seed, 10)

    for route, rate in rates.items():
        assert abs(sum(a.route == route for a in due) - 10 * rate) <= 1


@settings(deadline=None, max_examples=30)
@given(rates, st.integers(0, 1000))
def test_arrivals_are_in_order_and_evenly_spaced(rates: dict[str, float], seed: int) -> None:
    due = during(rates, seed, 5)

    assert [a.due_ns for a in due] == sorted(a.due_ns for a in due)
    for route, rate in rates.items():
        mine = [a for a in due if a.route == route]
        assert [a.number for a in mine] == list(range(len(mine)))
        gaps = {b.due_ns - a.due_ns for a, b in itertools.pairwise(mine)}
        assert all(abs(gap - 1e9 / rate) <= 1 for gap in gaps)


def test_a_seed_is_a_schedule() -> None:
    assert during(dict(DEFAULT_RATES), 7, 3) == during(dict(DEFAULT_RATES), 7, 3)
    assert during(dict(DEFAULT_RATES), 7, 3) != during(dict(DEFAULT_RATES), 8, 3)
    assert basket(7, 3) == basket(7, 3)
    assert basket(7, 3) != basket(7, 4)


def test_the_default_is_50_requests_a_second_with_payment_in_the_minority() -> None:
    assert sum(checked_rates(None).values()) == 50
    assert checked_rates({})["payment"] < 10
    assert checked_rates({"payment": 60}) == {"payment": 60.0}


@pytest.mark.parametrize(
    ("rates", "word"),
    [
        ({"payments": 5}, "payments"),
        ({"payment": 0}, "0 requests"),
        ({"browse": float("nan")}, "nan"),
        ({"orders": 1e9}, "orders"),
    ],
)
def test_nonsense_is_refused_with_a_hint(rates: dict[str, float], word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        checked_rates(rates)

    assert caught.value.hint
