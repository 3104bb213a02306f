"""The load's report: offered against achieved, latency from when a request was due."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.lab.load.report import WINDOW_S, Call, Report, quantile

S = 1_000_000_000


def test_offered_and_achieved_are_rates_over_the_window() -> None:
    report = Report()
    for i in range(100):
        report.offered("payment", i * S // 10)
        if i % 2:
            report.ended(Call("payment", i * S // 10, i * S // 10 + 5_000_000, ok=i % 4 == 1))
    summary = report.summary(10 * S, 0)

    assert (summary["offered_rps"], summary["achieved_rps"]) == (10.0, 5.0)
    assert summary["routes"]["payment"] == {
        "offered_rps": 10.0,
        "achieved_rps": 5.0,
        "failed": 25,
        "p50_ms": 5.0,
        "p99_ms": 5.0,
    }
    assert summary["total"] == {"offered": 100, "answered": 25, "failed": 25}


def test_a_late_sender_shows_in_the_latency() -> None:
    report = Report()
    report.offered("browse", 0)
    report.ended(Call("browse", 0, 2 * S, ok=True))

    assert report.summary(3 * S, 0)["routes"]["browse"]["p99_ms"] == 2000.0


def test_what_is_older_than_the_window_counts_in_the_total_only() -> None:
    report = Report()
    report.offered("browse", 0)
    summary = report.summary((WINDOW_S + 1) * S, 0)

    assert summary["offered_rps"] == 0
    assert summary["total"]["offered"] == 1
    assert summary["window_s"] == WINDOW_S


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_values(values: list[float], share: float) -> None:
    found = quantile(sorted(values), share)

    assert found in [round(v, 2) for v in values]
    assert sum(v <= found + 0.01 for v in values) >= share * len(values)


def test_nothing_has_no_quantile() -> None:
    assert quantile([], 0.5) is None
    assert quantile([1, 2, 3, 4], 0.5) == pytest.approx(2)
