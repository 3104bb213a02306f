"""Numbers read as people write them; foreign text cannot move a cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.words import duration, figures, for_whom, printable, quantity, share


@pytest.mark.parametrize(
    ("ns", "text"),
    [(260_000, "0.26 ms"), (-2, "-2 ns"), (512.4e6, "512 ms"), (1.4e9, "1.4 s"), (200e9, "3 min 20 s"), (-3e6, "-3 ms"), (0, "0 ms"),
     (7260e9, "2 h 1 min"), (120e9, "2 min")],
)  # fmt: skip
def test_durations(ns: float, text: str) -> None:
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,230,000"), (0.000123, "0.000123"), (99.96, "100"), (0, "0"), (float("nan"), "nan")],
)
def test_figures_have_three_significant_digits(value: float, text: str) -> None:
    assert figures(value) == text


def test_share_shows_the_counts_behind_it() -> None:
    assert share(17, 812) == "2.1 % (17 of 812)"
    assert share(0, 0) == "no calls"


def test_quantity_brings_times_to_a_readable_unit() -> None:
    assert quantity(0.0098, "s") == "9.8 ms"
    assert quantity(3.14159, "calls") == "3.14 calls"


def test_units_of_ucum_read_as_words() -> None:
    assert quantity(0.077, "1") == "0.077"
    assert quantity(2, "{connection}") == "2 connection"


def test_for_whom_names_the_shares() -> None:
    said = for_whom("tenant", "acme\x1b", 0.967, 0)
    assert said == "tenant acme\ufffd: 97 % of the slow or failing calls, 0 % of the others"


def test_control_and_bidi_characters_are_replaced() -> None:
    assert printable("a\x1b[2Jb\u202ec\nd\x00") == "a\ufffd[2Jb\ufffdc d\ufffd"


def test_long_text_is_shortened_in_its_middle() -> None:
    text = printable("a" * 500 + "b" * 500, 21)

    assert text == "a" * 10 + "…" + "b" * 10


@given(st.text(), st.integers(min_value=3, max_value=50))
def test_printable_is_bounded_and_printable(text: str, limit: int) -> None:
    shown = printable(text, limit)

    assert len(shown) <= limit
    assert shown.isprintable() or not shown
