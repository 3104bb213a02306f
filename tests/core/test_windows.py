"""Windows are half-open, exact to the nanosecond, and errors say how to write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.errors import WindowError
from opslib.core.windows import Window, parse_duration_s, parse_instant_ns, parse_window, rfc3339

NOW = 1_700_000_000_000_000_000


def test_last_ends_now() -> None:
    assert parse_window("last 15m", NOW) == Window(NOW - 900 * 10**9, NOW)


def test_rfc3339_pair_with_offsets() -> None:
    window = parse_window("2026-01-31T03:00:00Z/2026-01-31T04:15:00.5+01:00", NOW)

    assert window is not None
    assert rfc3339(window.start_ns) == "2026-01-31T03:00:00Z"
    assert window.length_ns == 900_500_000_000


def test_nothing_asked_is_the_sources_choice() -> None:
    assert parse_window("  ", NOW) is None


@pytest.mark.parametrize(
    "text",
    ["15m", "last", "last 15", "last 15 minutes", "2026-01-31/now", "2026-01-31T03:00:00/now", "now/now",
     "now/2020-01-01T00:00:00Z", "2026-13-01T00:00:00Z/now", "last -5m", "last 0s"],
)  # fmt: skip
def test_unreadable_windows_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(WindowError) as error:
        parse_window(text, NOW)

    assert error.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("500ms", 0.5), ("1.5m", 90), ("1w", 604800)]
)
def test_durations_are_prometheus_ones(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_rfc3339_round_trips_to_the_nanosecond(time_ns: int) -> None:
    text = rfc3339(time_ns)
    if text[:4].isdigit() and int(text[:4]) >= 1000:
        assert parse_instant_ns(text, 0) == time_ns


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = Window(10, 20)

    assert 10 in window
    assert 20 not in window
    assert window.before() == Window(0, 10)
    assert window.before(5) == Window(5, 10)
