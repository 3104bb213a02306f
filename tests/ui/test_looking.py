"""Logs, patterns, slow calls and a trace as people see them, from a look at a real capture of made traffic."""

import dataclasses
import json
from urllib.parse import unquote

import pandas as pd
import pytest

from opslib import ui
from opslib.core.model import Onset
from opslib.core.outcome import RESULT_MIME
from opslib.core.settings import Environment, Settings
from opslib.core.windows import NS_PER_S, Windows
from opslib.investigate import follow_trace, query_logs
from opslib.testing import ManualClock
from opslib.ui.palette import BAD, NORMAL
from opslib.ui.queried import query_conclusion
from opslib.ui.rates import shifts

LINKS = {"grafana": "https://g.example", "kibana": "https://k.example", "jaeger": "https://j.example"}


@pytest.fixture(scope="module")
def failing(make_investigation):
    """Payments fail, and say so in their logs."""
    return make_investigation("errors", seconds=30, seed=3)


@pytest.fixture(scope="module")
def look(captured):
    """A function that looks at made traffic, at the same twice only once."""
    looks = {}

    def ask(made, **asked):
        folder, key = captured(made), (id(made), *asked.items())
        if key not in looks:
            given = {"settings": Settings(folder.parent), "clock": ManualClock()} | asked
            found = query_logs("payment", capture=folder, **given)
            looks[key] = found, follow_trace(found)
        return looks[key]

    return ask


def linked(found, **links):
    question = dataclasses.replace(found.question, environment=Environment("prod", links=links or LINKS))
    return dataclasses.replace(found, question=question)


def drawings(found, trace):
    return [ui.log_rates(found), ui.slow_calls(trace), ui.trace_timeline(trace)]


def texts(value, key=""):
    if isinstance(value, dict):
        return [t for name, item in value.items() if name != "meta" for t in texts(item, name)]
    if isinstance(value, list):
        return [t for item in value for t in texts(item, key)]
    return [value] if isinstance(value, str) and key in {"text", "hovertext", "ticktext", "name"} else []


@pytest.mark.parametrize("asked", [{}, {"level": "ERROR"}, {"text": "no such line"}])
def test_every_figure_is_valid_finite_small_and_says_itself(look, failing, asked):
    found, trace = look(failing, **asked)

    for drawn in drawings(found, trace):
        drawn.plotly()
        assert len(json.dumps(drawn.figure, allow_nan=False)) < 150_000
        assert drawn.words.startswith(drawn.title)
        assert len(drawn.table)
        assert "</summary>" in drawn.below
    for shown in (ui.log_patterns(found), ui.log_records(found)):
        assert shown.words
        assert shown.words.splitlines()[0] in repr(shown)


def test_rates_tell_which_level_rose_and_keep_every_record(look, failing):
    found, _ = look(failing)
    drawn = ui.log_rates(found)

    errors = shifts(found)[0]
    assert (errors.level, errors.n_baseline) == ("ERROR", 0)
    assert drawn.title.startswith("payment writes")
    assert drawn.title.endswith("errors a minute, before none")
    bars = drawn.figure["data"]
    assert [bar["marker"]["color"] for bar in bars] == [BAD, NORMAL], "the loudest stands at the bottom"
    drawn_records = sum(y * w / 1000 for bar in bars for y, w in zip(bar["y"], bar["width"], strict=True))
    assert round(drawn_records, 1) == len(failing.logs) == found.rates["count"].sum()


def test_where_nothing_rose_the_title_says_so(look, healthy):
    found, _ = look(healthy)

    assert ui.log_rates(found).title.startswith(
        "No level became more frequent: 479 records a minute, 480 before"
    )
    assert ui.log_patterns(found).words == "No pattern came clearly more often than before: 1 were compared"


@pytest.mark.parametrize(("after_s", "side"), [(1, "right"), (29, "left")])
def test_names_of_panels_stand_away_from_the_onset(look, healthy, after_s, side):
    found, _ = look(healthy)
    windows = found.windows
    onset = Onset(windows.baseline.start_ns + after_s * 4 * NS_PER_S, 0.5)
    drawn = ui.log_rates(dataclasses.replace(found, choice=dataclasses.replace(found.choice, onset=onset)))

    (name,) = [note for note in drawn.figure["layout"]["annotations"] if "records" in note["text"]]
    assert name["xanchor"] == side


def test_many_services_share_a_last_panel(look, healthy):
    found, _ = look(healthy)
    names = [f"service-{i}" for i in range(9)]
    rates = pd.concat([found.rates.assign(service_name=name, count=i + 1) for i, name in enumerate(names)])
    drawn = ui.log_rates(dataclasses.replace(found, rates=rates))

    heads = [note["text"] for note in drawn.figure["layout"]["annotations"]]
    assert sum("records" in head for head in heads) == 6
    assert any("other (4)" in head for head in heads)
    assert "service-8" in heads[-6], "the busiest comes first"


def test_patterns_compare_rates_and_name_what_is_new(look, failing):
    found, _ = look(failing)
    shown = ui.log_patterns(found)

    first = shown.frame.iloc[0]
    assert (first["change"], first["level"], first["before"]) == ("new", "ERROR", 0)
    assert "charged card in <n> ms is new" in shown.words
    assert "&lt;n&gt;" in shown.body


def test_a_sample_is_called_one_and_lines_not_told_apart_have_a_name(look, healthy):
    found, _ = look(healthy)
    rest = found.patterns.assign(pattern="", exact=False, count_incident=9000)
    shown = ui.log_patterns(dataclasses.replace(found, patterns=rest))

    assert "estimates" in shown.words
    assert "all other lines" in shown.body
    assert shown.frame["change"].iloc[0] == "×19"


def test_records_say_whether_they_are_all_and_lead_to_their_trace(look, failing):
    found, _ = look(failing, level="ERROR")
    shown = ui.log_records(linked(found))

    assert (
        shown.words
        == f"{len(found.records)} records of payment with level ERROR in the 30 s of the window: all there are"
    )
    trace_id = found.records["trace_id"].iloc[0]
    assert f'href="https://j.example/trace/{trace_id}"' in shown.body
    few, _ = look(failing, limit=3)
    assert ui.log_records(few).words.startswith("The first 3 records of payment in the 30 s")
    assert not any("more than 3" in warning for warning in few.warnings)


def test_the_slowest_call_is_followed_and_marked(look, edge):
    _, trace = look(edge)
    drawn = ui.slow_calls(trace)
    calls = edge.diagnosis.calls[edge.diagnosis.calls["window"] == "incident"]
    slowest = calls.sort_values("duration_ns").iloc[-1]

    assert trace.trace_id == slowest["trace_id"]
    assert f"The slowest of {len(calls)} calls of payment took" in drawn.title
    assert [note["text"][:6] for note in drawn.figure["layout"]["annotations"]] == ["trace "]
    assert drawn.table["trace_id"].iloc[0] == trace.trace_id


def test_a_trace_has_its_records_below_its_spans_on_one_axis(look, edge):
    _, trace = look(edge)
    drawn = ui.trace_timeline(trace)

    records = drawn.figure["data"][-1]
    (line,) = trace.logs.to_dict("records")
    start = trace.spans["start_time_unix_nano"].min()
    assert records["x"] == [round((line["time_unix_nano"] - start) / 1e6, 4)]
    assert {piece.get("xaxis", "x") for piece in drawn.figure["data"]} == {"x"}
    assert drawn.figure["layout"]["yaxis"]["domain"][0] > drawn.figure["layout"]["yaxis2"]["domain"][1]
    assert "edge payment → risk; 1 log record" in drawn.title
    assert set(drawn.table["what"]) == {"span", "log record"}
    assert drawn.table["starts after, ms"].is_monotonic_increasing


def test_a_record_beyond_the_trace_stands_at_its_edge_and_says_how_far_off_it_is(look, edge):
    _, trace = look(edge)
    late = trace.logs.assign(time_unix_nano=trace.logs["time_unix_nano"] + 30 * 10**9)
    drawn = ui.trace_timeline(dataclasses.replace(trace, logs=late))

    records, low_high = drawn.figure["data"][-1], drawn.figure["layout"]["xaxis"]["range"]
    assert records["x"][0] == pytest.approx(low_high[1], abs=1e-3)
    assert "(30" in records["text"][0]


def test_the_loudest_records_get_the_rows(look, edge):
    _, trace = look(edge)
    many = pd.concat([trace.logs] * 40, ignore_index=True)
    many.loc[39, "severity_text"] = "ERROR"
    drawn = ui.trace_timeline(dataclasses.replace(trace, logs=many))

    assert len(drawn.figure["data"][-1]["x"]) == 20
    assert "x" in drawn.figure["data"][-1]["marker"]["symbol"]
    assert "20 quieter log records have no row" in drawn.words


def test_hostile_names_are_plain_text(look, hostile):
    found, trace = look(hostile)
    shown = [ui.log_patterns(linked(found)), ui.log_records(linked(found))]

    for drawn in drawings(found, trace):
        for text in texts(drawn.figure):
            left = text.replace("<b>", "").replace("</b>", "").replace("<br>", "")
            assert "<" not in left.replace("&lt;", "")
            assert not set("$\u202e\n") & set(text.replace("&#36;", ""))
    conclusion = query_conclusion(linked(found), trace)._repr_html_()
    for markup in [*(s.body for s in shown), *(d.below for d in drawings(found, trace)), conclusion]:
        assert "<script" not in markup
        assert "\u202e" not in markup
        assert "javascript:x'" not in markup


def test_the_conclusion_says_what_stood_out_and_links_to_it(look, failing):
    found, trace = look(failing, level="ERROR")
    environment = linked(found).environment
    concluded = query_conclusion(linked(found), dataclasses.replace(trace, environment=environment))

    assert concluded.bundle()[RESULT_MIME] == {
        "outcome": "pass", "verdict": None, "summary": ui.log_rates(found).title,
    }  # fmt: skip
    assert any("is new" in text for text in concluded.because)
    urls = dict(concluded.links)
    assert urls["jaeger: the trace"] == f"https://j.example/trace/{trace.trace_id}"
    assert 'service.name: "payment"' in unquote(urls["kibana"])
    assert f"from={found.windows.incident.start_ns // 10**6}" in urls["grafana"]
    assert f"-p trace_id={trace.trace_id}" in concluded.steps[1].command


def test_a_look_that_shows_nothing_has_no_data(look, healthy):
    found, trace = look(healthy)
    blank = dataclasses.replace(
        found, records=found.records.iloc[:0], rates=found.rates.iloc[:0], patterns=found.patterns.iloc[:0]
    )
    nothing = dataclasses.replace(
        trace, trace_id="", how="there are none", spans=trace.spans.iloc[:0], logs=trace.logs.iloc[:0], calls=trace.calls.iloc[:0]
    )  # fmt: skip
    concluded = query_conclusion(blank, nothing)

    assert concluded.result["outcome"] == "no_data"
    assert "there are none" in concluded.missing
    assert [drawn.figure["data"][0]["x"] for drawn in drawings(blank, nothing)] == [[], [], []]
    assert ui.log_patterns(blank).words.startswith("No patterns")


def test_without_a_baseline_nothing_is_compared(look, failing):
    found, trace = look(failing)
    alone = dataclasses.replace(
        found,
        choice=dataclasses.replace(found.choice, windows=Windows(found.windows.incident)),
        rates=found.rates[found.rates["window"] == "incident"],
    )

    assert "no baseline" in ui.log_rates(alone).title
    assert "no baseline" in ui.log_patterns(alone).words
    assert query_conclusion(alone, trace).badge == "pass"
