"""One question at a time: services, extent, one trace, callers and callees, traces by attributes, and the doctor's checks."""

import random

import httpx2
import pytest

from opslib.core.columns import COLUMNS
from opslib.core.errors import SourceError, UsageError
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import Window, Windows
from opslib.telemetry.fetched import FetchedTraces
from opslib.telemetry.jaeger import backend, connect
from opslib.telemetry.jaeger.checks import check
from tests.telemetry.jaeger_fake import MS, T0, URL, Clock, Jaeger, S, call

NOW = T0 + 3600 * S
EVERYWHERE = [{}, {"speaks": frozenset({"legacy"})}, {"anonymous": "no"}, {"spelling": "camel"}]


def steady(first=T0, traces=120, every=S // 2, **more):
    return [span for i in range(traces) for span in call(i + 1, first + i * every + MS, **more)]


@pytest.mark.parametrize("how", EVERYWHERE, ids=str)
def test_the_extent_reaches_to_the_newest_span(how):
    spans = steady(NOW - 70 * S)
    extent = Jaeger(spans, **how).backend().extent()
    assert extent.end_ns == max(span.end for span in spans) + 1
    random.Random(5).shuffle(spans)  # the order in which they were stored
    assert Jaeger(spans, **how).backend().extent() == extent
    spans.sort(key=lambda span: span.start)
    assert spans[0].start - S <= extent.start_ns <= spans[0].start


def test_the_extent_of_a_storage_of_milliseconds_is_found_in_few_questions():
    spans = steady(NOW - 70 * S + 1234)
    jaeger = Jaeger(spans, coarse_ns=MS)
    assert jaeger.backend().extent().end_ns == max(span.end for span in spans) + 1
    assert len(jaeger.seen) < 40


def test_the_extent_of_a_storage_with_old_spans_reaches_back_a_week():
    spans = call(999, NOW - 3 * 86_400 * S) + steady(NOW - 7200 * S)
    extent = Jaeger(spans).backend().extent()
    assert extent == Window(NOW - 7 * 86_400 * S, max(span.end for span in spans) + 1)


@pytest.mark.parametrize("spans", [[], steady(NOW + 10 * S)], ids=["empty", "only in the future"])
def test_where_there_are_no_spans_there_is_no_extent(spans):
    assert Jaeger(spans).backend().extent() is None


@pytest.mark.parametrize("how", EVERYWHERE, ids=str)
def test_services_are_those_with_spans_in_the_window(how):
    jaeger = Jaeger(steady() + call(500, T0 + 900 * S, services=("cron", "jaeger-query")), **how)
    assert jaeger.backend().services() == ("cron", "front", "payment")
    assert jaeger.backend().services(Window(T0, T0 + 60 * S)) == ("front", "payment")
    assert Jaeger([], **how).backend().services() == ()


@pytest.mark.parametrize("how", EVERYWHERE, ids=str)
@pytest.mark.parametrize("text", ["7", "0" * 31 + "7", f"{10:032X}"])
def test_a_trace_is_found_in_whichever_way_its_id_is_written(how, text):
    traces = FetchedTraces(Jaeger(steady(), **how).backend(names={"shop": "front"}), Clock())
    frame = traces.trace(text).frame
    assert list(frame["service_name"]) == ["shop", "payment"]
    assert set(frame["trace_id"]) == {f"{int(text, 16):032x}"}
    assert list(frame.columns) == [column.name for column in COLUMNS["spans"]]


@pytest.mark.parametrize("text", ["12345", "", "no id", "0" * 32, "../../services"])
def test_where_there_is_no_such_trace_there_are_no_rows(text):
    jaeger = Jaeger(steady())
    rows, note = jaeger.backend().trace(text)
    assert (rows, note.rows) == ([], 0)
    assert not any("services" in request.url.path for request in jaeger.seen[1:])


def test_a_trace_that_only_the_older_way_has_is_found():
    jaeger = Jaeger(steady())
    jaeger.answers = lambda request, found: (
        httpx2.Response(404, text='{"error": {"message": "gone"}}')
        if "/v3/traces/" in request.url.path
        else found
    )
    assert len(jaeger.backend().trace("7")[0]) == 2


def test_what_jaeger_says_of_a_trace_itself_is_a_warning():
    jaeger = Jaeger(steady(), speaks=frozenset({"legacy"}))

    def with_error(request, found):
        if request.url.path.endswith("/traces"):
            value = found.json() | {
                "errors": [{"code": 500, "msg": "a span could not be read", "traceID": "7"}]
            }
            return httpx2.Response(200, json=value)
        return found

    jaeger.answers = with_error
    said = jaeger.backend().fetch(Windows(Window(T0, T0 + 60 * S)), lambda _: None)
    assert any("Jaeger says: a span could not be read" in text for text in said.note.warnings)


def test_callers_and_callees_are_those_that_jaeger_has_counted():
    frame = Jaeger(steady() + call(999, T0, services=("front", "front", "ledger"))).backend(
        names={"db": "ledger"}
    )
    assert frame.topology().frame.values.tolist() == [["front", "db"], ["front", "payment"]]


def test_where_dependencies_are_not_counted_there_are_none():
    jaeger = Jaeger(steady())
    jaeger.answers = lambda request, found: (
        httpx2.Response(501) if "dependencies" in request.url.path else found
    )
    assert jaeger.backend().topology().frame.empty


@pytest.mark.parametrize("heeds", [True, False], ids=["heeded", "ignored"])
@pytest.mark.parametrize("how", EVERYWHERE, ids=str)
def test_traces_by_attributes_are_the_right_ones_whether_or_not_the_server_heeds_them(how, heeds):
    spans = steady(attributes=lambda i: {"http.route": f"/{i % 4}", "retry": i % 8 == 1})
    traces = Jaeger(spans, **how, heeds=heeds).backend()
    answer = traces.matching("payment", Window(T0, T0 + 60 * S), {"http.route": "/1", "retry": "true"})
    assert sorted(int(t, 16) for t in set(answer.frame["trace_id"])) == list(range(1, 121, 8))
    assert len(answer.frame) == 2 * 15
    assert bool(answer.note.warnings) is not heeds
    assert not answer.note.truncated


def test_of_too_many_matching_traces_the_earliest_are_returned_and_it_is_said():
    answer = Jaeger(steady()).backend().matching("payment", Window(T0, T0 + 60 * S), {}, limit=5)
    assert {int(t, 16) for t in answer.frame["trace_id"]} == {1, 2, 3, 4, 5}
    assert answer.note.truncated


def outcomes(jaeger, clock=None, **more):
    return {one.name: one for one in check(jaeger.backend(clock, **more))}


def test_a_jaeger_with_all_that_is_needed_passes():
    jaeger = Jaeger(steady(NOW - 70 * S, both_sides=True))
    found = outcomes(jaeger, names={"payment": "payment", "front": "front"})
    assert {one.outcome for one in found.values()} == {Outcome.PASS}
    assert "/api/v3/traces" in found["jaeger"].statement


def test_what_a_jaeger_lacks_is_told_with_what_is_lost():
    jaeger = Jaeger(steady(NOW - 70 * S) + call(999, T0 - 9000 * S, services=("cron",)))
    found = outcomes(jaeger, names={"pay": "paymnt", "front": "front", "cron": "cron"})
    assert found["traces of pay"].outcome is Outcome.NO_DATA
    assert "payment" in found["traces of pay"].hint
    assert found["traces of cron"].outcome is Outcome.NO_DATA
    assert found["spans from both sides"].outcome is Outcome.FAIL
    assert "front->payment" in found["spans from both sides"].statement


@pytest.mark.parametrize(("behind_s", "says"), [(90, "90 s ahead of"), (-90, "90 s behind")])
def test_a_wrong_clock_is_told(behind_s, says):
    jaeger = Jaeger(steady(NOW - 70 * S))
    one = outcomes(jaeger, Clock(NOW - behind_s * S))["jaeger clock"]
    assert one.outcome is Outcome.FAIL
    assert says in one.statement


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx2.Response(401), "does not accept us"),
        (httpx2.Response(200, html="<p>"), "web page"),
        (httpx2.ConnectError("no"), "cannot connect"),
    ],
    ids=["401", "page", "gone"],
)
def test_a_jaeger_that_does_not_answer_is_one_check(answer, says):
    jaeger = Jaeger(steady())

    def refuse(*_):
        if isinstance(answer, Exception):
            raise answer
        return answer

    jaeger.answers = refuse
    (one,) = check(jaeger.backend())
    assert one.outcome is Outcome.ERROR
    assert says in one.statement


def test_one_way_of_asking_is_found_out_once():
    jaeger = Jaeger(steady())
    traces = jaeger.backend()
    traces.trace("1")
    traces.trace("2")
    assert [request.url.path for request in jaeger.seen].count("/base/api/v3/services") == 1


def settings(**options):
    return SourceSettings("jaeger", URL, options)


def test_a_source_of_an_environment_is_a_trace_source():
    environment = Environment("prod", services={"payment": {"traces": "payment-service"}, "front": {}})
    made = backend(
        settings(max_traces=10, budget_s=2.5, roots=["front"]), environment, "prod, traces", Clock()
    )
    assert (made.theirs("payment"), made.theirs("front"), made.ours("payment-service")) == (
        "payment-service",
        "front",
        "payment",
    )
    assert isinstance(connect(settings(), environment, "prod, traces", Clock()), FetchedTraces)


@pytest.mark.parametrize(
    "options",
    [{"max_traces": 0}, {"budget_s": "long"}, {"max_traces": True}, {"roots": "front"}, {"limit": 5}],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(UsageError, match="prod, traces"):
        backend(settings(**options), Environment("prod"), "prod, traces", Clock())


def test_what_was_fetched_is_what_a_capture_holds():
    spans = steady()
    traces = FetchedTraces(Jaeger(spans).backend(), Clock())
    blocks = traces.spans(Windows(Window(T0 + 30 * S, T0 + 60 * S), Window(T0, T0 + 30 * S)))
    found = {
        (trace, int(start), int(end), block.service.values[service])
        for block in blocks.blocks
        for trace, start, end, service in zip(
            (block.trace_ids[i] for i in block.trace),
            block.start,
            block.end,
            block.service.codes,
            strict=True,
        )
    }
    assert found == {(f"{span.trace:032x}", span.start, span.end, span.service) for span in spans}
    assert all((block.parent < 0).sum() == len(block.trace_ids) for block in blocks.blocks)


def test_a_server_that_breaks_later_is_a_source_error():
    jaeger = Jaeger(steady())
    traces = jaeger.backend()
    assert traces.dialect
    jaeger.answers = lambda *_: httpx2.Response(200, text='{"result": {"resourceSpans"')
    with pytest.raises(SourceError):
        traces.trace("7")
