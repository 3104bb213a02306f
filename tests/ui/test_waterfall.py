"""The bars of the budget add up, as drawn and as printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib import ui
from opslib.core.model import Budget, Candidate, Segment, Verdict
from opslib.core.windows import Window, Windows
from opslib.ui.facts import others_suspected, segment_of
from opslib.ui.waterfall import finding, steps

NS = st.integers(min_value=0, max_value=10**11)
BUDGETS = st.lists(st.tuples(NS, NS), min_size=1, max_size=14).map(
    lambda pairs: Budget(
        50,
        50,
        Segment("total", sum(b for b, _ in pairs), sum(i for _, i in pairs)),
        tuple(Segment(f"service s{n}", b, i) for n, (b, i) in enumerate(pairs)),
    )
)


def number(text):
    return float(text.split()[0].replace(",", "").replace("±", "").replace("+", ""))


@given(BUDGETS)
def test_printed_numbers_and_drawn_bars_add_up(budget):
    first, *parts, last = steps(budget)
    decimals = len(first.text.split()[0].partition(".")[2])

    assert round(number(first.text) + sum(number(part.text) for part in parts), decimals) == number(last.text)
    assert first.end_ns + sum(part.end_ns - part.start_ns for part in parts) == last.end_ns
    assert [part.start_ns for part in parts] == [first.end_ns, *(part.end_ns for part in parts[:-1])][
        : len(parts)
    ]
    assert len(parts) <= 8


@given(BUDGETS)
def test_each_printed_change_is_within_a_step_of_the_truth(budget):
    first, *parts, _ = steps(budget)
    word = first.text.split()
    unit = (10**9 if word[1] == "s" else 10**6) / 10 ** len(word[0].partition(".")[2])

    for part in parts:
        printed = number(part.text) * (10**9 if word[1] == "s" else 10**6)
        assert abs(printed - (part.end_ns - part.start_ns)) <= 2 * unit


def test_largest_change_first_and_the_guilty_named_even_where_it_is_tiny():
    segments = (
        Segment("edge a->b", 1_000_000, 401_000_000),
        Segment("service a", 5_000_000, 45_000_000),
        Segment("service b", 5_000_000, 5_000_100),
        Segment("unexplained", 0, 50),
    )
    total = Segment("total", 11_000_000, 451_000_150)
    drawn = steps(Budget(30, 40, total, segments), "service b")

    assert [step.name for step in drawn] == [
        "baseline",
        "edge a → b",
        "service a",
        "service b",
        "other (1)",
        "incident",
    ]
    assert [step.role for step in drawn] == ["baseline", "change", "change", "guilty", "other", "incident"]
    assert [step.text for step in drawn] == ["11 ms", "+400 ms", "+40 ms", "±0 ms", "±0 ms", "451 ms"]
    assert finding("a", Budget(30, 40, total, segments), drawn) == (
        "A mean a call takes 451 ms, 440 ms more than before; 91 % of the change is edge a → b (+400 ms)"
    )


def test_of_two_faults_the_other_is_marked_as_suspected():
    charged = Candidate(1, "dependency", "ledger", 0.8, "high")
    beside = [Candidate(2, "service", "risk", 0.7, "high"), Candidate(3, "service", "order", 0.4, "medium")]
    segments = (
        Segment("dependency ledger", 1_000_000, 101_000_000),
        Segment("service risk", 1_000_000, 81_000_000),
        Segment("service order", 1_000_000, 9_000_000),
    )
    drawn = steps(
        Budget(30, 40, Segment("total", 3_000_000, 191_000_000), segments),
        segment_of(charged),
        [segment_of(other) for other in others_suspected(verdict_of(charged, *beside))],
    )

    assert [step.role for step in drawn] == ["baseline", "guilty", "suspected", "change", "incident"]


def verdict_of(*candidates):
    return Verdict("payment", "dependency", "", Windows(Window(0, 1)), candidates=candidates)


def test_a_mean_that_fell_is_said_to_fall():
    budget = Budget(
        30, 40, Segment("total", 90_000_000, 40_000_000), (Segment("service a", 90_000_000, 40_000_000),)
    )

    assert finding("a", budget, steps(budget)).startswith(
        "A mean a call takes 40.0 ms, 50.0 ms less than before"
    )


@pytest.mark.parametrize("fixture", ["edge", "healthy", "alone", "hostile"])
def test_the_table_sums_to_its_total_in_whole_nanoseconds(fixture, request):
    table = ui.budget_waterfall(request.getfixturevalue(fixture)).table
    rows, total = table.iloc[:-1], table.iloc[-1]

    for column in ("baseline, ns", "incident, ns", "change, ns"):
        assert rows[column].sum() == total[column]


def test_titles_by_what_there_is(edge, healthy, alone):
    assert "% of the change is edge payment → risk" in ui.budget_waterfall(edge).title
    assert ", as before (" in ui.budget_waterfall(healthy).title
    assert ui.budget_waterfall(alone).title.endswith("there is no baseline to compare with")
    assert "baseline 0" not in ui.budget_waterfall(alone).words
