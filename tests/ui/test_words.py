"""Candidates, evidence, preflight and conclusion: what is said, in which order, and what a runner reads."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from opslib import ui
from opslib.core.checks import Check
from opslib.core.errors import UsageError
from opslib.core.model import Budget, Candidate, Completeness, Finding, Segment
from opslib.core.outcome import RESULT_MIME, Outcome
from opslib.core.settings import Environment
from opslib.ui.conclusion import conclusion, next_steps
from opslib.ui.facts import place, segment_of


def with_verdict(inv, **changes):
    return dataclasses.replace(inv, verdict=dataclasses.replace(inv.verdict, **changes))


def suspect(rank, kind="service", service="risk", **more):
    seen = Finding("metric", f"cpu of {service} rose", 0.93, 0.2, "", "capture", "process.cpu")
    return Candidate(rank, kind, service, round(1 / rank, 3), "medium", evidence=(seen,), **more)


def test_candidates_come_by_rank_with_the_cause_marked_and_the_rest_folded(edge):
    many = with_verdict(edge, candidates=(edge.verdict.candidates[0], *(suspect(i) for i in range(2, 15))))
    shown = ui.candidates(many)

    assert list(shown.frame["rank"]) == list(range(1, 15))
    assert shown.body.count("◀ cause") == 1
    assert "4 more" in shown.body
    assert shown.words.startswith("14 candidates; edge payment → risk first")
    assert "edge payment → risk" in repr(shown)


def test_the_conclusion_says_for_whom_and_who_else_is_suspected(release):
    doubted = with_verdict(release, candidates=(release.verdict.candidates[0], suspect(2, service="ledger")))
    said = conclusion(doubted)

    assert said.whom[0].startswith("version 2: ")
    assert said.beside == ("service ledger (confidence medium): cpu of ledger rose",)
    for text in (said._repr_html_(), str(said)):
        assert text.index("Because") < text.index("For whom") < text.index("Suspected beside it")


def test_no_candidate_is_said(edge):
    nobody = with_verdict(edge, candidates=(), verdict="no_anomaly")

    assert "No service shows evidence" in ui.candidates(nobody)._repr_html_()
    assert "No evidence against anybody" in repr(ui.evidence(nobody))


def test_evidence_shows_value_baseline_and_how_to_ask_again(edge):
    shown = ui.evidence(edge, 1)
    finding = edge.verdict.candidates[0].evidence[0]

    assert "347 ms" in shown.body
    assert "0.55 ms" in shown.body
    assert finding.source in shown.body
    assert "<code>" in shown.body
    assert shown.frame["value"].iloc[0] == finding.value
    bare = ui.evidence(with_verdict(edge, candidates=(dataclasses.replace(suspect(1), evidence=()),)))
    assert "nothing was recorded" in bare.body


def test_a_rank_that_is_not_there_is_a_usage_error(edge):
    with pytest.raises(UsageError, match="no candidate of rank 9") as caught:
        ui.evidence(edge, 9)
    assert caught.value.hint.startswith("ranks there are: 1")


def test_hostile_names_are_escaped_in_every_table(hostile):
    for shown in (ui.candidates(hostile), ui.evidence(hostile), conclusion(hostile)):
        markup = shown._repr_html_()
        assert "<script" not in markup
        assert "<a " not in markup
        assert "\u202e" not in markup + str(shown)


@pytest.mark.parametrize(
    ("candidate", "named", "segment"),
    [
        (suspect(1, "edge", "risk", edge=("payment", "risk")), "edge payment → risk", "edge payment->risk"),
        (suspect(1, "dependency", "ledger"), "dependency ledger", "dependency ledger"),
        (suspect(1, pod="risk-1"), "service risk (pod risk-1)", "service risk"),
        (suspect(1, "release", "payment"), "release payment", "service payment"),
    ],
)
def test_places_and_segments(candidate, named, segment):
    assert place(candidate) == named
    assert segment_of(candidate) == segment


@pytest.mark.parametrize(
    ("kind", "badge", "outcome"),
    [("edge", "fail", "fail"), ("no_anomaly", "pass", "pass"), ("undetermined", "undetermined", "no_data")],
)
def test_conclusion_is_badge_sentence_because_missing_next(edge, kind, badge, outcome):
    inv = with_verdict(edge, verdict=kind, missing=("logs of risk",))
    bundle = conclusion(inv).bundle()
    words = bundle["text/plain"]

    assert words.startswith(f"{badge.upper()}: {inv.verdict.summary}")
    assert words.index("Because") < words.index("What is missing") < words.index("What to do next")
    assert "logs of risk" in words
    assert bundle[RESULT_MIME] == {"outcome": outcome, "verdict": inv.verdict.to_dict()}
    json.dumps(bundle[RESULT_MIME], allow_nan=False)
    assert f">{badge}<" in bundle["text/html"]


def test_because_has_two_to_four_pieces(edge, healthy, alone):
    for inv in (edge, healthy):
        assert 2 <= len(conclusion(inv).because) <= 4
    assert "there is no baseline" in conclusion(alone).because[0]
    assert "largest change: edge payment → risk +" in conclusion(edge).because[-1]
    assert "largest change" not in conclusion(healthy).because[-1]


def test_gaps_of_the_evidence_are_named(edge):
    gaps = Completeness(
        spans=5000, truncated=True, orphans=7, skewed=1200, warnings=("clock of risk is off",)
    )
    missing = conclusion(with_verdict(edge, completeness=gaps)).missing

    assert missing == (
        "a limit was hit: not all evidence was read",
        "clock of risk is off",
        "of 5,000 spans: 7 orphaned, 1,200 skewed",
    )


@pytest.mark.parametrize(
    ("kind", "candidate", "words"),
    [
        ("edge", suspect(1, "edge", "risk", edge=("payment", "risk")), "Look between payment and risk"),
        ("dependency", suspect(1, "dependency", "ledger"), "Look at ledger itself"),
        ("release", suspect(1, "release", "payment"), "kubectl rollout history deployment/payment"),
        ("service", suspect(1), "Look inside service risk"),
        ("no_anomaly", suspect(1), "another window"),
        ("undetermined", suspect(1), "Supply what is missing"),
    ],
)
def test_next_steps_by_kind_of_verdict(edge, kind, candidate, words):
    steps = next_steps(with_verdict(edge, verdict=kind, candidates=(candidate,)))

    assert words in " ".join(f"{step.text} {step.command}" for step in steps)
    assert steps[-1].command == "opslib capture export --environment lab --out incident"


def test_commands_quote_names_for_the_shell(edge):
    name = "x; rm -rf /"
    steps = next_steps(with_verdict(edge, verdict="service", candidates=(suspect(1, service=name),)))

    assert shlex.split(steps[0].command)[4] == f"service={name}"


def test_a_capture_is_asked_again_as_a_capture(edge):
    inv = dataclasses.replace(edge, capture=Path("incident 42"))
    steps = next_steps(inv)

    assert "-p 'capture=incident 42'" in steps[1].command
    assert "environment" not in steps[1].command
    assert "export" not in steps[-1].command


def test_links_open_the_same_time_range(edge):
    links = {
        "grafana": "https://grafana.example/d/1?from={start_ms}&to={end_ms}&var-service={service}",
        "evil": "javascript:alert(1)",
        "docs": "https://docs.example",
    }
    inv = dataclasses.replace(edge, environment=Environment("prod", links=links))
    inv = with_verdict(inv, service="pay ment&x=1")
    markup = conclusion(inv)._repr_html_()
    window = inv.verdict.windows.incident

    start, end = window.start_ns // 10**6, window.end_ns // 10**6
    assert (
        f"https://grafana.example/d/1?from={start}&amp;to={end}&amp;var-service=pay%20ment%26x%3D1" in markup
    )
    assert 'href="https://docs.example"' in markup
    assert "javascript" not in markup


def test_conclude_prints_where_no_notebook_is(edge, capsys):
    ui.conclude(edge)

    assert capsys.readouterr().out.startswith("FAIL: payment")


def test_conclude_emits_the_result_in_a_notebook(edge, monkeypatch):
    import IPython.display

    from opslib.ui import errors

    shown = []
    monkeypatch.setattr(errors, "in_ipython", lambda: True)
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append((bundle, raw)))
    ui.conclude(edge)

    assert shown == [(conclusion(edge).bundle(), True)]


def test_a_budget_without_change_is_told_without_a_segment(edge):
    flat = Budget(5, 5, Segment("total", 100, 100), (Segment("service a", 100, 100),))

    assert "largest" not in conclusion(with_verdict(edge, budget=flat)).because[-1]


def test_preflight_shows_trouble_first_with_what_to_do():
    checks = (
        Check("traces", Outcome.PASS, "spans of 2 min", hint="never shown"),
        Check("logs", Outcome.NO_DATA, "0 rows <b>", hint="name a source"),
        Check("environment", Outcome.ERROR, "no lab", hint="opslib lab up"),
    )
    shown = ui.preflight_table(checks)

    assert list(shown.frame["name"]) == ["environment", "logs", "traces"]
    assert shown.words == "1 of 3 checks passed; the investigation cannot run"
    assert "What to do: name a source" in shown.body
    assert "never shown" not in shown.body
    assert "<b>" not in shown.body
    assert ui.preflight_table(checks[:1]).words == "Ready: 1 of 1 checks passed"
    assert ui.preflight_table(checks[:2]).words == "1 of 2 checks passed; read on with care"
    assert ui.preflight_table(()).words == "Nothing was checked"
