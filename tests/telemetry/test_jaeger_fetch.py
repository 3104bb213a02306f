"""Traces of two windows from a server that returns some of them at a time: all of them, once, or an even sample."""

import collections
import itertools

import httpx2
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.errors import SourceError, UsageError
from opslib.core.windows import Window, Windows
from opslib.telemetry.jaeger.slices import Pace, cut, rounds, selection
from tests.telemetry.jaeger_fake import MS, T0, Clock, Jaeger, S, Span, call, fetched, numbers

BOTH = Windows(Window(T0 + 60 * S, T0 + 120 * S), Window(T0, T0 + 60 * S))


def steady(traces=240, every=S // 2, **more):
    return [span for i in range(traces) for span in call(i + 1, T0 + i * every + MS, **more)]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"spelling": "camel"},
        {"anonymous": "no"},
        {"anonymous": "nothing"},
        {"speaks": frozenset({"legacy"})},
        {"max_traces": 7},
        {"write_id": str.upper},
        {"write_id": lambda text: text.lstrip("0")},
    ],
    ids=["v3", "camel", "needs a name", "says nothing", "legacy", "seven at most", "upper case", "unpadded"],
)
def test_every_trace_comes_once_whatever_the_server_speaks(how):
    spans = steady()
    rows, said = fetched(Jaeger(spans, **how).backend(), BOTH)
    kept = [row for row in rows if numbers([row]) <= set(range(1, 241))]
    assert collections.Counter(
        (int(r["trace_id"], 16), r["service_name"]) for r in kept
    ) == collections.Counter((span.trace, span.service) for span in spans)
    assert said.selection == {"incident": "all", "baseline": "all"}
    assert (said.note.rows, said.note.truncated) == (len(rows), False)


def test_a_server_that_holds_fewer_traces_than_we_ask_for_is_asked_for_less():
    jaeger = Jaeger(steady(), max_traces=7)
    rows, _ = fetched(jaeger.backend(), BOTH)
    assert numbers(rows) == set(range(1, 241))
    assert max(int(request.url.params.get("query.num_traces", 1)) for request in jaeger.seen[-50:]) <= 7


@given(
    starts=st.lists(st.integers(0, 2 * 60 * S - 1), min_size=1, max_size=60)
    | st.lists(st.integers(0, 2000), min_size=1, max_size=60),
    took=st.lists(st.integers(3 * MS, 90 * S), min_size=60, max_size=60),
    limit=st.integers(1, 90),
    legacy=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_whatever_the_limit_and_the_distribution_no_trace_is_missing(starts, took, limit, legacy):
    unit = 1000  # of what the older JSON can tell
    spans = [
        s for i, at in enumerate(starts) for s in call(i + 1, T0 + at // unit * unit, took[i] // unit * unit)
    ]
    jaeger = Jaeger(spans, max_traces=limit, speaks=frozenset({"legacy"} if legacy else {"v3"}))
    rows, said = fetched(jaeger.backend(), BOTH)
    by_microsecond = collections.Counter(at // unit for at in starts)
    if max(by_microsecond.values()) < limit:
        assert numbers(rows) == set(range(1, len(starts) + 1))
        assert not said.note.truncated
    else:  # that many traces cannot be told apart by time
        assert said.note.truncated or numbers(rows) == set(range(1, len(starts) + 1))


@given(
    start=st.integers(0, 10**15),
    length=st.integers(1, 10**12),
    parts=st.integers(1, 400),
)
def test_the_parts_of_a_window_are_the_window(start, length, parts):
    pieces = cut(Window(start, start + length), parts)
    assert pieces[0].start_ns == start
    assert pieces[-1].end_ns == start + length
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(pieces))
    assert len(pieces) <= parts


@given(traces=st.integers(0, 10**8), per_slice=st.integers(20, 500), most=st.integers(1000, 10**6))
@settings(max_examples=10, deadline=None)
def test_rounds_hold_every_slice_once_and_no_round_is_far_more_than_its_share(traces, per_slice, most):
    windows = [Window(T0, T0 + 900 * S), Window(T0 + 900 * S, T0 + 1800 * S)]
    dealt = rounds(windows, traces, per_slice, most)
    pieces = sorted((piece for one in dealt for piece in one), key=lambda piece: piece.start_ns)
    assert [pieces[0].start_ns, pieces[-1].end_ns] == [T0, T0 + 1800 * S]
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(pieces))
    shares = [sum(piece.length_ns for piece in one if piece.start_ns in w) for one in dealt for w in windows]
    assert max(shares) - min(shares) <= 2000 * len(pieces)
    assert traces <= 2000 or traces / len(dealt) <= max(
        most / 16, traces / 8 if traces <= most / 2 else 0, traces / 2**12
    )


def test_what_does_not_fit_is_sampled_alike_and_as_long_as_short_traces():
    short = [s for i in range(6000) for s in call(i + 1, T0 + i * 20 * MS + MS)]
    long = [s for i in range(600) for s in call(10_001 + i, T0 + i * 200 * MS + 7 * MS, took=8 * S)]
    rows, said = fetched(Jaeger(short + long).backend(most=2000), BOTH)
    windowed = [row for row in rows if pd.isna(row["parent_span_id"])]
    taken = collections.Counter(
        (row["start_time_unix_nano"] < T0 + 60 * S, int(row["trace_id"], 16) > 10_000) for row in windowed
    )
    assert 1200 <= sum(taken.values()) <= 2000
    share = sum(taken.values()) / 6600
    for (_, is_long), number in taken.items():
        assert number == pytest.approx(share * (300 if is_long else 3000), rel=0.25)
    assert said.selection["incident"] == said.selection["baseline"] != "all"
    assert "slice" in said.selection["incident"]
    assert any("alike in both windows" in text for text in said.note.warnings)


def test_a_slow_server_is_asked_as_long_as_the_budget_lasts():
    clock = Clock()
    jaeger = Jaeger(steady(3000, every=40 * MS))
    jaeger.answers = lambda _, answer: (clock.sleep(1.0), answer)[1]
    rows, said = fetched(jaeger.backend(clock, budget_s=60.0), BOTH)
    assert 0 < len(numbers(rows)) < 3000
    assert said.selection["incident"] == said.selection["baseline"] != "all"
    assert clock.now_s < 80


def test_traces_without_their_root_are_kept_as_a_capture_keeps_them():
    spans = [Span(1, 11, 99, "payment", T0 + 5, T0 + 9), Span(1, 12, 11, "payment", T0 + 2, T0 + 8)]
    spans += [
        Span(2, 21, 22, "payment", T0 + 5, T0 + 9),
        Span(2, 22, 21, "payment", T0 + 6, T0 + 8),
    ]  # a cycle
    rows, _ = fetched(Jaeger(spans).backend(), BOTH)
    assert numbers(rows) == {1, 2}
    assert len(rows) == 4


def test_a_root_before_its_window_is_found_by_the_service_behind_it():
    """Where only a service in the middle is ours, a trace belongs to the window of its root all the same."""
    late = call(1, T0 + 120 * S - MS // 2, took=2 * S)  # payment starts after the window's end
    jaeger = Jaeger(late + call(2, T0 + 70 * S), anonymous="no")
    rows, _ = fetched(jaeger.backend(names={"payment": "payment"}), BOTH)
    assert numbers(rows) == {1, 2}


def test_rows_bear_our_names_and_questions_jaegers():
    jaeger = Jaeger(steady(services=("front", "payment-service")))
    backend = jaeger.backend(names={"payment": "payment-service"}, roots=["payment"])
    rows, said = fetched(backend, BOTH)
    assert {row["service_name"] for row in rows} == {"front", "payment"}
    assert "payment-service" in said.note.query
    assert backend.services() == ("front", "payment")


def test_services_that_see_other_traces_are_searched_too():
    cron = [
        s for i in range(30) for s in call(1001 + i, T0 + i * 3 * S + 2 * MS, services=("cron", "ledger"))
    ]
    jaeger = Jaeger(steady() + cron, anonymous="no")
    rows, said = fetched(jaeger.backend(), BOTH)
    assert numbers(rows) == set(range(1, 241)) | set(range(1001, 1031))
    assert any("searched by the services" in text for text in said.note.warnings)


@pytest.mark.parametrize("how", [{}, {"anonymous": "no"}, {"speaks": frozenset({"legacy"})}], ids=str)
@pytest.mark.parametrize("spans", [[], call(1, T0 - 900 * S)], ids=["no services", "no traces"])
def test_where_there_is_nothing_nothing_is_fetched(spans, how):
    rows, said = fetched(Jaeger(spans, **how).backend(), BOTH)
    assert rows == []
    assert (said.note.rows, said.note.warnings, said.selection["incident"]) == (0, (), "all")


def test_summaries_show_services_that_few_traces_begin_in():
    rare = call(1001, T0 + 3 * S, services=("cron", "payment"))  # not among the last of payment
    for summaries in (True, False):
        jaeger = Jaeger(
            rare + call(1002, T0 + 4 * S, services=("cron",)) + steady(), anonymous="no", summaries=summaries
        )
        rows, _ = fetched(jaeger.backend(), BOTH)
        assert numbers(rows) == {*range(1, 241), 1001, 1002}
        asked = [request for request in jaeger.seen if "summaries" in request.url.path]
        assert len(asked) == (6 if summaries else 1)


def test_jaegers_own_traces_are_left_out():
    own = call(9, T0 + 61 * S, services=("jaeger-query",))
    rows, _ = fetched(Jaeger(steady() + own).backend(), BOTH)
    assert numbers(rows) == set(range(1, 241))


def test_a_root_that_nobody_knows_is_said():
    with pytest.raises(UsageError, match="no service 'paymnt'") as told:
        fetched(Jaeger(steady()).backend(roots=["paymnt"]), BOTH)
    assert "payment" in told.value.hint


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx2.Response(429), "answered 429"),
        (httpx2.Response(502, text="bad gateway"), "answered 502"),
        (httpx2.Response(500, text="no shards"), "answered 500: no shards"),
        (httpx2.Response(200, html="<p>sign in</p>"), "web page"),
        (httpx2.Response(404, text="404 page not found"), "answered 404"),
        (httpx2.Response(400, text='{"error": {"message": "malformed parameter"}}'), "malformed parameter"),
        (httpx2.Response(200, text='{"result": {"resourceSpans": [{"scopeSp'), "are no traces"),
        (httpx2.Response(200, text='{"error": {"message": "storage broke"}}'), "are no traces"),
    ],
    ids=["429", "502", "500", "page", "404", "400", "half", "error"],
)
def test_no_answer_is_an_error_and_never_less_traces(answer, says):
    jaeger = Jaeger(steady())
    left = iter(range(10))

    def after_a_while(request, found):
        return answer if request.url.path.endswith("/traces") and next(left, None) is None else found

    jaeger.answers = after_a_while
    with pytest.raises(SourceError, match=says):
        fetched(jaeger.backend(), BOTH)


def test_what_answers_once_more_is_no_error():
    jaeger, numbered = Jaeger(steady()), iter(range(10**6))
    jaeger.answers = lambda _, found: httpx2.Response(502) if next(numbered) % 3 == 2 else found
    rows, said = fetched(jaeger.backend(), BOTH)
    assert numbers(rows) == set(range(1, 241))
    assert said.selection["incident"] == "all"


def test_a_server_that_is_no_jaeger_is_told_by_its_first_answer():
    with pytest.raises(SourceError, match=r"/api/v3/services answered with a web page"):
        fetched(Jaeger([], speaks=frozenset()).backend(), BOTH)


def test_progress_is_told():
    heard = []
    fetched(Jaeger(steady()).backend(progress=heard.append), BOTH)
    assert heard[0] == "about 240 traces" or heard[0].startswith("about")
    assert heard[-1].startswith("100 %")


def test_what_a_look_ahead_promises_is_kept():
    pace = Pace(most=100, budget_s=10.0)
    assert pace.allows(0, 10**6, 10**6)
    assert pace.allows(4, 80, 8.0)
    assert not pace.allows(4, 81, 8.0)
    assert not pace.allows(4, 80, 8.1)
    assert [selection(n, 8) for n in (1, 2, 3, 8)] == [
        "every 8th slice of time",
        "every 4th slice of time",
        "3 of every 8 slices of time",
        "all",
    ]


def test_a_storage_of_milliseconds_is_not_cut_for_ever():
    together = [s for i in range(300) for s in call(i + 1, T0 + 10 * S + i * 1000)]
    jaeger = Jaeger(together, coarse_ns=MS)
    rows, said = fetched(jaeger.backend(), BOTH)
    assert numbers(rows) == set(range(1, 301))
    assert len(rows) == 600
    assert not said.note.truncated
    assert len(jaeger.seen) < 150


def test_more_at_one_time_than_an_answer_holds_is_said():
    together = [s for i in range(90) for s in call(i + 1, T0 + 10 * S)]
    _, said = fetched(Jaeger(together, max_traces=50).backend(), BOTH)
    assert said.note.truncated
    assert any("cannot be cut" in text for text in said.note.warnings)
