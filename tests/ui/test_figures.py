"""Figures say what they found, their numbers agree with the data, and they stand up in plotly's own validation."""

import json
import math
from datetime import timedelta, timezone

import numpy as np
import pytest

from opslib import ui
from opslib.core.windows import NS_PER_S
from opslib.ui.palette import GUILTY, INCIDENT, NORMAL, STABLE

FIGURES = [
    ui.latency_over_time, ui.distribution, ui.for_whom, ui.budget_waterfall, ui.call_graph, ui.trace_comparison,
]  # fmt: skip
CASES = ["edge", "healthy", "alone", "hostile", "release"]


@pytest.fixture(params=CASES)
def case(request):
    return request.getfixturevalue(request.param)


def texts(figure):
    """Every text that plotly would read as its small HTML."""
    found = []

    def walk(value, key=""):
        if isinstance(value, dict):
            for name, item in value.items():
                if name != "meta":
                    walk(item, name)
        elif isinstance(value, list):
            for item in value:
                walk(item, key)
        elif isinstance(value, str) and key in {"text", "hovertext", "ticktext", "name", "hovertemplate"}:
            found.append(value)

    walk(figure)
    return found


@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: f.__name__)
def test_every_figure_is_valid_finite_small_and_says_itself(draw, case):
    drawn = draw(case)

    drawn.plotly()  # plotly refuses what it does not know
    text = json.dumps(drawn.figure, allow_nan=False)
    assert len(text) < 150_000
    assert drawn.title
    assert drawn.words.startswith(drawn.title)
    assert drawn.figure["layout"]["meta"]["opslib"]["words"]
    assert len(drawn.table)
    assert drawn.figure["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"
    assert drawn.bundle()["text/plain"] == repr(drawn)
    assert "</summary>" in drawn.below


@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: f.__name__)
def test_hostile_names_are_plain_text_in_figures_and_under_them(draw, hostile):
    drawn = draw(hostile)

    for text in texts(drawn.figure):
        left = text
        for ours in ("<b>", "</b>", "<br>", "<extra>", "</extra>"):
            left = left.replace(ours, "")
        assert "<" not in left.replace("&lt;", "")
        assert "$" not in text.replace("&#36;", "")
        assert "\u202e" not in text
        assert "\n" not in text
    assert "<script" not in drawn.below
    assert "<a " not in drawn.below
    assert "\u202e" not in drawn.below + repr(drawn)


def test_latency_title_tells_the_rise_its_numbers_and_its_moment(edge):
    drawn = ui.latency_over_time(edge, zone=timezone(timedelta(hours=2)))
    calls = edge.diagnosis.calls
    p95 = [
        np.quantile(calls[calls["window"] == w]["duration_ns"], 0.95, method="inverted_cdf") / 1e6
        for w in ("baseline", "incident")
    ]

    assert drawn.title == f"payment p95 rose from {p95[0]:.1f} ms to {p95[1]:.0f} ms at 05:01:01"
    assert drawn.figure["layout"]["xaxis"]["title"]["text"].startswith("time (UTC+02:00)")
    assert drawn.figure["layout"]["yaxis"]["type"] == "log"
    assert "UTC" in drawn.figure["data"][0]["hovertext"][0]


def test_latency_without_a_change_says_so_on_a_linear_axis(healthy):
    drawn = ui.latency_over_time(healthy)

    assert "stayed at" in drawn.title
    assert drawn.figure["layout"]["yaxis"]["type"] == "linear"


def test_latency_buckets_hold_all_calls_once_and_quantiles_are_of_real_calls(edge):
    drawn = ui.latency_over_time(edge, percentile=90)
    durations = set((edge.diagnosis.calls["duration_ns"] / 1e6).round(4))

    assert drawn.table["calls"].sum() == len(edge.diagnosis.calls)
    assert [trace["name"] for trace in drawn.figure["data"]] == ["p50", "p90", "p99", "errors"]
    assert set(drawn.figure["data"][1]["y"]) <= durations
    assert len({trace["line"]["dash"] for trace in drawn.figure["data"][:3]}) == 3


def test_few_calls_are_drawn_hollow(make_investigation):
    drawn = ui.latency_over_time(make_investigation("edge", seconds=20, rate=2))
    marker = drawn.figure["data"][0]["marker"]

    assert set(marker["symbol"]) == {"circle-open"}
    assert "hollow: fewer than 30 calls" in drawn.figure["layout"]["xaxis"]["title"]["text"]


def test_changes_bear_letters_that_are_explained_below(edge, make_investigation, make_change):
    drawn = ui.latency_over_time(edge)
    letters = [a for a in drawn.figure["layout"]["annotations"] if a["text"] in {"<b>A</b>", "<b>B</b>"}]

    assert len(letters) == 2
    assert "<b>A</b> " in drawn.note
    assert "image 1.4.1 -&gt; 1.4.2" in drawn.note
    events = [make_change(i, type_="Normal", reason="Pulled") for i in range(5, 35)] + [make_change(40)]
    crowded = ui.latency_over_time(make_investigation("edge", events=events))
    assert "Change Rollout" in crowded.note
    assert "and 19 other events" in crowded.note


def test_windows_far_apart_get_a_cut_axis(edge):
    from opslib.core.windows import Window, Windows
    from opslib.ui import marks
    from opslib.ui.facts import Zone

    week = 7 * 86_400 * NS_PER_S
    incident = edge.verdict.windows.incident
    earlier = Window(incident.start_ns - week, incident.end_ns - week)

    assert marks.breaks(edge.verdict.windows, Zone(0)) == []
    (cut,) = marks.breaks(Windows(incident, earlier), Zone(0))
    assert cut["bounds"] == ["2026-01-24 03:02:06", "2026-01-31 03:00:54"]


def test_errors_that_rose_are_in_the_title(make_investigation):
    inv = make_investigation("errors")
    failed = int(inv.diagnosis.calls["error"].sum())

    assert (
        f"errors rose from 0 % to {100 * failed / 480:.0f} % ({failed} of 480)"
        in ui.latency_over_time(inv).title
    )
    assert "calls of payment fail now" in ui.call_graph(inv).title


def test_a_blamed_release_is_drawn_beside_the_other_versions_at_the_same_time(release):
    drawn = ui.distribution(release)

    baseline, others, new = drawn.figure["data"]
    assert [c["line"]["color"] for c in (baseline, others, new)] == [NORMAL, STABLE, INCIDENT]
    assert len({c["line"]["dash"] for c in (baseline, others, new)}) == 3
    assert min(new["x"]) > np.median(others["x"])
    assert list(drawn.table.columns)[1:] == ["baseline, ms", "other versions, ms", "version 2, ms"]
    assert ": 100 % (" in drawn.title
    assert ") of version 2, " in drawn.title


def test_for_whom_says_what_slow_calls_bear(release, edge, healthy):
    drawn = ui.for_whom(release)
    others, slow = (bars["x"][0] for bars in drawn.figure["data"])

    assert (
        drawn.title
        == f"version 2 has {slow:.0f} % of the slow payment calls and {others:.0f} % of the others"
    )
    assert slow > 90 > others
    assert "nothing in common" in ui.for_whom(edge).title
    assert "not compared" in ui.for_whom(healthy).title


def test_distribution_counts_the_slow_against_the_baseline(edge, healthy):
    assert ui.distribution(edge).title.startswith("100 % (480 of 480) of the payment calls took longer than")
    assert "about as many as before" in ui.distribution(healthy).title
    baseline, incident = ui.distribution(edge).figure["data"]
    assert (baseline["line"]["color"], incident["line"]["color"]) == (NORMAL, INCIDENT)
    assert baseline["line"]["dash"] != incident["line"]["dash"]
    assert incident["y"][-1] == 100
    assert max(incident["x"]) == round(edge.diagnosis.calls["duration_ns"].max() / 1e6, 4)


def test_call_graph_marks_the_guilty_edge_by_colour_width_and_word(edge):
    drawn = ui.call_graph(edge)
    marked = [trace for trace in drawn.figure["data"] if trace.get("line", {}).get("color") == GUILTY]
    labels = [a["text"] for a in drawn.figure["layout"]["annotations"]]

    assert drawn.title.startswith(
        "The cause inside the payment calls is edge payment → risk; calls of risk took"
    )
    assert len(marked) == 1
    assert marked[0]["line"]["width"] > 3
    assert sum("cause" in text for text in labels) == 1


def test_call_graph_marks_a_guilty_service_by_its_node(make_investigation):
    drawn = ui.call_graph(make_investigation("risk"))
    filled = [s for s in drawn.figure["layout"]["shapes"] if s["fillcolor"] == GUILTY]

    assert "service risk" in drawn.title
    assert len(filled) == 1
    assert not [t for t in drawn.figure["data"] if t.get("line", {}).get("color") == GUILTY]


def test_call_graph_without_a_culprit_names_what_changed_most(edge, alone):
    import dataclasses

    unsure = dataclasses.replace(edge, verdict=dataclasses.replace(edge.verdict, verdict="undetermined"))

    assert ui.call_graph(unsure).title.startswith(
        "No cause is charged; payment → risk changed most, its calls took"
    )
    assert ui.call_graph(alone).title == "What the payment calls call; there is no baseline to compare with"


def test_call_graph_draws_a_cycle_dotted(edge):
    import dataclasses

    edges = edge.diagnosis.edges
    import pandas as pd

    back = edges.head(1).assign(caller="risk", callee="payment")
    both = dataclasses.replace(edge.diagnosis, edges=pd.concat([edges, back], ignore_index=True))
    drawn = ui.call_graph(dataclasses.replace(edge, diagnosis=both))

    assert [t["line"]["dash"] for t in drawn.figure["data"] if "line" in t].count("dot") == 1


def test_call_graph_without_edges_says_so(edge):
    import dataclasses

    lonely = dataclasses.replace(
        edge, diagnosis=dataclasses.replace(edge.diagnosis, edges=edge.diagnosis.edges.head(0))
    )

    assert ui.call_graph(lonely).title == "payment calls nobody"


def test_traces_stand_on_one_scale_unless_lengths_differ_too_much(healthy, edge):
    near, far = ui.trace_comparison(healthy), ui.trace_comparison(edge)

    assert near.figure["layout"]["xaxis"]["range"] == near.figure["layout"]["xaxis2"]["range"]
    assert far.figure["layout"]["xaxis"]["range"] != far.figure["layout"]["xaxis2"]["range"]
    assert "a scale of its own" in far.figure["layout"]["xaxis"]["title"]["text"]


def test_trace_draws_the_critical_path_solid_waits_hatched_and_logs_as_ticks(edge):
    drawn = ui.trace_comparison(edge)
    whole, path, logs = drawn.figure["data"][:3]
    slow = drawn.table[drawn.table["call"] == "slow"]

    assert whole["marker"]["color"].startswith("rgba")
    assert GUILTY in path["marker"]["color"]
    assert "/" in path["marker"]["pattern"]["shape"]
    assert math.isclose(sum(path["x"]), slow["took, ms"].max(), rel_tol=1e-3), (
        "the path covers the whole call"
    )
    assert len(logs["x"]) == 1
    assert "charged card" in logs["hovertext"][0]


def test_a_trace_of_many_spans_keeps_those_on_the_path(edge):
    import dataclasses

    import pandas as pd

    slow, _ = edge.slow_and_normal()
    spans = edge.spans[edge.spans["trace_id"] == slow]
    root = spans.iloc[0]
    extra = pd.DataFrame(
        [
            {**root, "span_id": f"{900_000 + i:016x}", "parent_span_id": root["span_id"], "name": f"step {i}",
             "end_time_unix_nano": root["start_time_unix_nano"] + 1, "kind": "INTERNAL"}
            for i in range(60)
        ]
    )  # fmt: skip
    many = dataclasses.replace(edge, spans=pd.concat([edge.spans, extra], ignore_index=True))
    drawn = ui.trace_comparison(many)
    rows = drawn.table[drawn.table["call"] == "slow"]

    assert len(rows) == 24
    assert set(rows["service"]) == {"storefront", "payment", "risk"}
    assert "spans with less time are not drawn" in drawn.words


@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: f.__name__)
def test_a_window_without_calls_is_drawn_sensibly(draw, make_investigation):
    drawn = draw(make_investigation("edge", incident=False, onset=False))

    drawn.plotly()
    assert "nan" not in drawn.words.lower()
    assert "from" not in drawn.title


def test_nothing_at_all_is_drawn_sensibly(make_investigation):
    nothing = make_investigation("edge", incident=False, baseline=False, onset=False)
    titles = [draw(nothing).title for draw in FIGURES]

    assert titles[0] == titles[1] == "No calls of payment in these windows"
    assert titles[3] == "No time budget for payment"
    assert titles[5] == "No trace to show"


def test_a_figure_shows_itself_and_its_words_in_a_notebook(edge, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda *data, **how: shown.append((data, how)))
    ui.budget_waterfall(edge)._ipython_display_()

    figure, below = (data[0] for data, _ in shown)
    assert set(figure) == {"application/vnd.plotly.v1+json", "text/plain"}
    assert "<details>" in below["text/html"]
    assert "SEGMENT" in below["text/plain"]
