"""The slowest calls from a server that cannot sort: the true ones, or it is said which part of the time is proven."""

import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.windows import Window
from tests.telemetry.jaeger_fake import MS, T0, Clock, Jaeger, S, call, numbers

WINDOW = Window(T0, T0 + 120 * S)


def truth(spans, service, n):
    longest = {}
    for span in spans:
        if span.service == service and span.start in WINDOW:
            longest[span.trace] = max(span.end - span.start, longest.get(span.trace, 0))
    return sorted(((f"{t:032x}", ns) for t, ns in longest.items()), key=lambda pair: (-pair[1], pair[0]))[:n]


def found(backend, n=10):
    slowest = backend.slowest("payment", WINDOW, n)
    return list(slowest.durations.itertuples(index=False, name=None)), slowest


@given(
    took=st.lists(st.integers(3 * MS, 10 * S), min_size=1, max_size=80),
    n=st.integers(1, 30),
    limit=st.integers(5, 100),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=25, deadline=None)
def test_they_are_the_true_ones_whatever_the_limit(took, n, limit, seed):
    spans = [s for i, ns in enumerate(took) for s in call(i + 1, T0 + seed.randrange(120 * S - MS), ns)]
    answer, slowest = found(Jaeger(spans, max_traces=limit).backend(), n)
    assert answer == truth(spans, "payment", n)
    assert slowest.tail.share == 1
    assert not slowest.note.truncated
    assert set(slowest.spans["trace_id"]) == set(slowest.durations["trace_id"])
    assert len(slowest.spans) == 2 * len(answer)


def test_much_less_is_moved_than_there_is():
    draw = random.Random(3)
    spans = [
        s
        for i in range(4000)
        for s in call(i + 1, T0 + i * 30 * MS, int(draw.lognormvariate(3, 1) * MS) + 3 * MS)
    ]
    jaeger = Jaeger(spans)
    moved = []
    jaeger.answers = lambda _, answer: (moved.append(answer.text.count('"traceId"') // 2), answer)[1]
    answer, slowest = found(jaeger.backend(), 20)
    assert answer == truth(spans, "payment", 20)
    assert sum(moved) < 1500
    assert slowest.tail.asked < 60


def test_slow_calls_that_come_at_once_raise_the_bar():
    calm = [s for i in range(1000) for s in call(i + 1, T0 + i * 120 * MS)]
    burst = [s for i in range(2000) for s in call(5001 + i, T0 + 57 * S + i * 1000, 3 * S + i * MS)]
    answer, _ = found(Jaeger(calm + burst).backend(), 10)
    assert answer == truth(burst, "payment", 10)


def test_a_budget_that_ends_is_said_with_what_is_proven():
    clock = Clock()
    jaeger = Jaeger([s for i in range(1200) for s in call(i + 1, T0 + i * 100 * MS, 20 * MS + i * 1000)])
    jaeger.answers = lambda _, answer: (clock.sleep(1.0), answer)[1]
    _, slowest = found(jaeger.backend(clock, budget_s=18.0), 10)
    assert 0 <= slowest.tail.share < 1
    assert slowest.note.truncated
    assert f"{100 * slowest.tail.share:.0f} % of the window" in slowest.note.warnings[0]


@pytest.mark.parametrize("spans", [[], call(1, T0 - S, 5 * S, ("payment",))], ids=["none", "earlier"])
def test_where_there_are_none_nothing_is_found(spans):
    answer, slowest = found(Jaeger([*spans, *call(2, T0 + S, services=("front",))]).backend())
    assert answer == []
    assert list(slowest.durations.dtypes) == [slowest.durations["trace_id"].dtype, "int64"]
    assert slowest.spans.empty


def test_a_service_is_asked_for_by_its_own_name():
    spans = [s for i in range(30) for s in call(i + 1, T0 + i * S, services=("front", "payment-service"))]
    answer, slowest = found(Jaeger(spans).backend(names={"payment": "payment-service"}), 5)
    assert len(answer) == 5
    assert set(slowest.spans["service_name"]) == {"front", "payment"}
    assert numbers(slowest.spans.to_dict("records")) == numbers([{"trace_id": t} for t, _ in answer])
    assert isinstance(slowest.durations, pd.DataFrame)
