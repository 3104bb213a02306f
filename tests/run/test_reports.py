"""What a finished run leaves for people and machines: no markup of others, nothing wrong hidden, verdict first."""

from __future__ import annotations

import dataclasses
import html
import json
from html.parser import HTMLParser

import junitparser
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opslib.core.outcome import RESULT_MIME, Outcome
from opslib.core.redact import Redactor
from opslib.run.events import CellRecord
from opslib.run.guard import Stop
from opslib.run.junit import junit_xml
from opslib.run.kernel import ERROR_MIME
from opslib.run.outputs import PLOTLY_MIME, output_html, plain_text
from opslib.run.prose import prose
from opslib.run.record import Ended, started_record
from opslib.run.report import Drawing, report_html
from opslib.run.result import ended_completed, ended_failed, ended_stopped, result_of
from opslib.run.sanitise import sanitise
from opslib.run.saving import MAX_OUTPUT_CHARS, Saver, parameters_source
from opslib.run.summary import md, summary_md
from opslib.run.verdict import because, beside, budget_rows, headline, missing, warnings, windows_line
from opslib.run.verdict import scope as scope_said

HOSTILE = "<script>x</script> & \x1b[31m\u202e `a` | @here [l](http://x) \x00"


def segment(name: str, before: int, after: int) -> dict:
    return {"segment": name, "baseline_ns": before, "incident_ns": after, "delta_ns": after - before}


VERDICT = {
    "summary": f"risk is slow {HOSTILE}",
    "missing": ["server spans of risk"],
    "windows": {"incident": [1_769_868_772_000_000_000, 1_769_869_072_000_000_000], "baseline": None},
    "onset": {"time": 1_769_868_772_000_000_000, "uncertainty_s": 1.5},
    "candidates": [{"evidence": [{"statement": f"statement {i} {HOSTILE}"} for i in range(6)]}],
    "budget": {
        "n_incident": 30,
        "n_baseline": 31,
        "total": segment("", 5_000_000, 25_000_000),
        "segments": [
            segment(f"edge a->b {HOSTILE}", 1_000_000, 26_000_000),
            segment("unexplained", 4_000_000, -1_000_000),
        ],
    },
    "tail_budget": {"total": {}, "segments": []},
    "completeness": {"warnings": ["3 spans name a parent that is not there"]},
}


@pytest.fixture
def record():
    started = started_record(
        "20260131T000000Z-x-abc",
        "x.ipynb",
        {"a": HOSTILE, "n": None, "e": ""},
        "lab",
        "2026-01-31T00:00:00.123Z",
    )
    return started | {
        "ended": "2026-01-31T00:00:09Z",
        "exit_code": 1,
        "verdict": VERDICT,
        "status": "completed",
    }


def ended(outcome: Outcome = Outcome.FAIL, **more) -> Ended:
    return Ended("completed", outcome, 1, VERDICT["summary"], verdict=VERDICT, **more)


CELLS = [
    CellRecord(0, "look: fine", "ok", 1, 0.5),
    CellRecord(None, "parameters: as given", "ok", 1, 0.1),
    CellRecord(2, f"decide {HOSTILE}", "error", 1, 0.1, "ValueError", f"no \x1b[31mred\x1b[0m {HOSTILE}"),
    CellRecord(3, "later", "not_run"),
    CellRecord(4, "skipped", "skipped"),
    CellRecord(5, "late", "timed_out", 1, 9.0),
]


def test_junit_can_be_read_back_whatever_stands_in_it(record):
    suite = next(iter(junitparser.JUnitXml.fromstring(junit_xml(record, ended(), CELLS))))
    cases = list(suite)
    assert [case.name.split("]")[0] for case in cases] == ["[0", "[given", "[2", "[3", "[4", "[5", "verdict"]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 1, 2, 2)
    assert "red" in cases[2].result[0].message
    assert "\x1b" not in cases[2].result[0].message
    assert cases[5].result[0].message == "timed_out"


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(Outcome.PASS, []), (Outcome.PLANNED, []), (Outcome.FAIL, ["Failure"]), (Outcome.NO_DATA, ["Error"])],
)
def test_the_verdicts_case_tells_failure_and_error_apart(record, outcome, kind):
    *_, verdict = next(iter(junitparser.JUnitXml.fromstring(junit_xml(record, ended(outcome), []))))
    assert [type(result).__name__ for result in verdict.result] == kind


@settings(deadline=None)
@given(st.text())
def test_junit_holds_any_text(text):
    record = started_record("id", text, {}, None, "2026-01-31T00:00:00Z")
    cell = CellRecord(0, text, "error", 1, 0.1, "E", text)
    junitparser.JUnitXml.fromstring(junit_xml(record, Ended("failed", Outcome.ERROR, 4, text), [cell]))


def test_the_summary_leads_with_the_outcome_and_its_reasons(record):
    lines = summary_md(record, ended(hint="look at `b`"), CELLS).splitlines()
    assert lines[0].startswith("### FAIL: risk is slow")
    assert lines[2] == "**Because**"
    assert sum(line.startswith("- statement") for line in lines) == 4
    assert "- server spans of risk" in lines
    assert "**Next**: look at \\`b\\`" in lines
    assert any(
        line.startswith("| edge a-\\>b") and line.endswith("| 1 ms | 26 ms | +25 ms |") for line in lines
    )
    assert "| total | 5 ms | 25 ms | +20 ms |" in lines
    assert any("decide" in line and "error ValueError" in line for line in lines)
    assert "incident 2026-01-31T14:12:52Z to 2026-01-31T14:17:52Z" in lines[-1]


def answered(**changes):
    found = {"statement": "own work rose", "signal": "trace"}
    first = {"kind": "service", "service": "risk", "edge": None, "confidence": "high", "evidence": [found]}
    return {"verdict": "service", "candidates": [first]} | changes


TENANT = {"attribute": "tenant", "value": "acme", "share_slow": 0.9, "share_normal": 0.1}


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (answered(), "service risk (confidence high)"),
        (answered(scope=[TENANT]), "service risk, for tenant acme (confidence high)"),
        (answered(scope=[TENANT | {"share_slow": 0.3}]), "service risk (confidence high)"),
        (answered(verdict="undetermined"), "undetermined"),
        (answered(verdict="undetermined", missing=["spans of b"]), "undetermined, for want of spans of b"),
        (answered(verdict="no_anomaly"), "no anomaly"),
        (answered(verdict="edge"), ""),
        ({"verdict": "service", "candidates": [1], "scope": 4}, ""),
        ({}, ""),
    ],
)
def test_the_headline_is_the_answer_in_a_few_words(verdict, expected):
    assert headline(verdict) == expected


def test_what_was_seen_is_no_reason_where_nothing_is_charged(record):
    found = dataclasses.replace(ended(), verdict=answered(verdict="no_anomaly"))
    text = summary_md(record, found, [])
    assert "**Seen, but not beyond noise**\n- own work rose" in text
    assert "**Because**" not in text


def test_a_blamed_release_is_in_the_headline_with_its_version():
    first = answered()["candidates"][0] | {"kind": "release", "service": "payment"}
    scope = [{"attribute": "version", "value": "1.5.0", "share_slow": 0.4, "share_normal": 0.0}]
    found = answered(verdict="release", candidates=[first], scope=scope)
    assert headline(found) == "release payment, version 1.5.0 (confidence high)"


def test_the_report_says_for_whom_and_who_else_is_suspected(record):
    first = answered()["candidates"][0]
    other = first | {"kind": "edge", "service": "b", "edge": ["a", "b"], "confidence": "medium"}
    found = answered(scope=[TENANT], candidates=[first, other, first | {"confidence": "low"}])
    assert scope_said(found) == ["tenant acme: 90 % of the slow or failing calls, 10 % of the others"]
    assert beside(found) == ["edge a → b (confidence medium): own work rose"]

    lines = summary_md(record, dataclasses.replace(ended(), verdict=found), []).splitlines()
    assert lines[0] == "### FAIL: service risk, for tenant acme \\(confidence high\\)"
    assert lines[lines.index("**For whom**") + 1].startswith("- tenant acme: 90 %")
    assert lines[lines.index("**Suspected beside it**") + 1].startswith("- edge a → b")


def test_foreign_text_is_no_markdown(record):
    text = summary_md(record, ended(), CELLS)
    for piece in ("<script>", "\x1b", "\u202e", "\x00", " @here", "[l](", " | @"):
        assert piece not in text
    assert "\n" not in md("a\nb")


def test_what_a_verdict_lacks_is_left_out():
    for broken in ({}, {"candidates": [1], "missing": "x", "budget": 3, "windows": [], "completeness": []}):
        assert because(broken) == missing(broken) == warnings(broken) == budget_rows(broken) == []
        assert windows_line(broken) == ""
    assert budget_rows({"budget": {"total": segment("", 1, 2), "segments": [{"delta_ns": 1.5}]}}) == []
    assert budget_rows({"budget": {"total": segment("", 1, 2), "segments": []}}) == []


def test_the_budgets_bars_are_shares_of_the_largest_change():
    rows = budget_rows(VERDICT)
    assert [(row.part, row.total) for row in rows] == [(1.0, False), (-0.2, False), (0.0, True)]


# The report


DRAWING = Drawing(
    lambda figure: f"<figure>{html.escape(json.dumps(figure))}</figure><script>draw()</script>",
    lambda: "var P='</script><!--'",
)


class Reader(HTMLParser):
    """Collects tags with attributes, and the text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(record, kit, *outputs, end=None, status="ok") -> str:
    cells = [
        kit.markdown("# Title\n\n<img src=x onerror=y>"),
        kit.code("code <b>") | {"outputs": list(outputs)},
        kit.code(""),
    ]
    return report_html(
        record, end or ended(hint="look"), cells, {1: CellRecord(1, "look", status, 1, 2.5)}, DRAWING
    )


def test_the_report_opens_with_verdict_reasons_and_budget(record, kit):
    text = Reader(page(record, kit)).text
    for earlier, later in [
        ("FAIL", "risk is slow"),
        ("risk is slow", "statement 0"),
        ("statement 3", "server spans of risk"),
        ("server spans of risk", "What to do next look"),
        ("What to do next look", "3 spans name a parent"),
        ("3 spans name a parent", "edge a->b"),
        ("edge a->b", "+25 ms"),
        ("total 5 ms 25 ms +20 ms", "2026-01-31T14:12:52Z · 5 min"),
        ("± 1.5 s", "30 in the incident, 31 before"),
        ("30 in the incident", "Title"),
        ("Title", "look · 2.5 s"),
    ]:
        assert 0 <= text.index(earlier) < text.index(later), (earlier, later)
    assert "statement 4" not in text
    assert "(empty)" in text
    assert "2026-01-31T00:00:00Z" in text


def test_the_report_has_no_markup_of_others(record, kit):
    foreign = [
        {"output_type": "stream", "name": "stderr", "text": HOSTILE},
        {"output_type": "error", "ename": "E", "evalue": HOSTILE, "traceback": []},
        {
            "output_type": "display_data",
            "data": {"text/html": f"<p onclick=x>{HOSTILE}<iframe src=//x></iframe>"},
        },
        {"output_type": "display_data", "data": {"image/svg+xml": "<svg onload=x>", "text/plain": HOSTILE}},
        {"output_type": "display_data", "data": {"image/png": '"><script>'}},
        {"output_type": "display_data", "data": {"application/javascript": "x"}},
    ]
    found = Reader(page(record, kit, *foreign))
    assert [tag for tag, _ in found.tags if tag in {"script", "img", "svg", "iframe"}] == []
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert "<img src=x onerror=y>" in found.text
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text


def test_only_the_reports_own_scripts_bear_its_nonce(record, kit):
    figure = {"output_type": "display_data", "data": {PLOTLY_MIME: {"data": [], "layout": {}}}}
    written = page(record, kit, figure)
    found = Reader(written)
    policy = next(attrs["content"] for tag, attrs in found.tags if attrs.get("http-equiv"))
    nonces = [attrs["nonce"] for tag, attrs in found.tags if tag == "script"]
    assert len(nonces) == 2
    assert {f"'nonce-{nonce}'" for nonce in nonces} == {policy.partition("script-src ")[2].partition(";")[0]}
    assert "default-src 'none'" in policy
    assert "var P='<\\/script><\\!--'" in written
    assert page(record, kit, figure) != written  # a nonce is used once


def test_plotly_is_left_out_where_nothing_is_drawn(record, kit):
    assert "var P" not in page(record, kit)


def test_a_cell_that_ended_the_run_stands_open(record, kit):
    found = Reader(page(record, kit, end=Ended("failed", Outcome.ERROR, 4, "E: x"), status="error"))
    assert ("details", {"open": None}) in found.tags
    assert "ERROR E: x" in found.text


def test_a_result_and_an_errors_hint_are_told_by_the_head_alone():
    result = {"output_type": "display_data", "data": {RESULT_MIME: {}, "text/plain": "{}"}}
    hint = {"output_type": "display_data", "data": {ERROR_MIME: {}, "text/plain": "x"}}
    with_html = {"output_type": "display_data", "data": {RESULT_MIME: {}, "text/html": "<b>said</b>"}}
    assert [output_html(output, str) for output in (result, hint)] == ["", ""]
    assert "<b>said</b>" in output_html(with_html, str)
    assert output_html({"output_type": "display_data", "data": None}, str) == ""


def test_json_that_is_no_figure_shows_as_its_text():
    def draw(figure):
        raise ValueError("NaN")

    output = {"output_type": "display_data", "data": {PLOTLY_MIME: {"data": 1}, "text/plain": "in words"}}
    assert output_html(output, draw) == "<pre>in words</pre>"


def test_a_picture_is_embedded():
    output = {"output_type": "display_data", "data": {"image/png": "iVBO\nRw0=\n"}}
    assert 'src="data:image/png;base64,iVBORw0="' in output_html(output, str)


def test_long_outputs_lose_their_middle():
    assert plain_text("\n".join(map(str, range(1000)))).count("\n") == 200
    assert "[800 lines left out]" in plain_text("\n".join(map(str, range(1000))))
    assert "characters left out" in plain_text("x" * 100_000)
    assert plain_text("\x1b[1;31mred\x1b[0m\x1b]0;title\x07\x08") == "red�"


ALLOWED = {
    "a",
    "b",
    "br",
    "code",
    "div",
    "p",
    "span",
    "table",
    "td",
    "th",
    "tr",
    "ul",
    "li",
    "details",
    "summary",
    "caption",
}


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("<p>a & b</p>", "<p>a &amp; b</p>"),
        ("<script>x()</script>a", "a"),
        ("<style>p{}</style>a", "a"),
        ("<svg><p>x</p></svg>a", "a"),
        ("<img src=x onerror=y>a", "a"),
        ("<p onclick=x id=y>a", "<p>a</p>"),
        ('<a href="javascript:x">a</a>', "<a>a</a>"),
        (
            '<a href="http://x/?a=1&b=2">a</a>',
            '<a href="http://x/?a=1&amp;b=2" rel="noreferrer noopener">a</a>',
        ),
        ('<a href="//x">a</a>', "<a>a</a>"),
        ('<div class="badge head mark">a</div>', '<div class="badge">a</div>'),
        (
            '<span style="width:2.5em;background:#999;position:fixed;color:url(x)">a</span>',
            '<span style="width:2.5em;background:#999">a</span>',
        ),
        (
            '<span style="background:rgba(1, 2, 3, .5)">a</span>',
            '<span style="background:rgba(1, 2, 3, .5)">a</span>',
        ),
        ('<th scope="row" colspan="2">a', '<th scope="row" colspan="2">a</th>'),
        ("<b>a<i>b</b>c</i>", "<b>a<i>b</i></b>c"),
        ("</div>a", "a"),
        ("a<br/>b<hr>", "a<br>b<hr>"),
        ("<!-- c --><?x?><![CDATA[y]]>a", "a"),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ('<span title="&quot;&gt;<b>">a</span>', '<span title="&quot;&gt;&lt;b&gt;">a</span>'),
        ("<details open><summary>s</summary>x</details>", '<details open=""><summary>s</summary>x</details>'),
        ("<title>a</title>b", "b"),
        ("<textarea><b>a</b></textarea>b", "b"),
    ],
)
def test_html_of_outputs_keeps_what_is_harmless(given_, kept):
    assert sanitise(given_) == kept


@settings(deadline=None)
@given(st.text(st.sampled_from("<>/ab=\"'!-sx& "), max_size=80) | st.text(max_size=50))
def test_whatever_goes_in_only_allowed_tags_come_out(text):
    found = Reader(sanitise(f"<p>{text}"))
    assert {tag for tag, _ in found.tags} <= ALLOWED | {"s"}
    assert sanitise(sanitise(text)) == sanitise(text)


def test_deep_nesting_is_cut():
    assert sanitise("<b>" * 10_000).count("<b>") == 60


@pytest.mark.parametrize(
    ("source", "html_"),
    [
        ("# One `x`", "<h2>One <code>x</code></h2>"),
        ("###### Six", "<h6>Six</h6>"),
        ("a\nb\n\nc", "<p>a b</p>\n<p>c</p>"),
        ("- a\n  more\n- **b**", "<ul><li>a more</li><li><strong>b</strong></li></ul>"),
        ("1. a\n2) b", "<ol><li>a</li><li>b</li></ol>"),
        ("> a\n> b", "<blockquote>a b</blockquote>"),
        ("```python\n<b> # x\n```\nafter", "<pre><code>&lt;b&gt; # x</code></pre>\n<p>after</p>"),
        ("```\nopen", "<pre><code>open</code></pre>"),
        ("a *b* _c_ snake_case_d 2*3*4", "<p>a <em>b</em> <em>c</em> snake_case_d 2*3*4</p>"),
        (
            "[t](https://x/a_b_c?d=1&e)",
            '<p><a href="https://x/a_b_c?d=1&amp;e" rel="noreferrer noopener">t</a></p>',
        ),
        ("[t](javascript:x)", "<p>[t](javascript:x)</p>"),
        ("`<b>` <b>x</b>", "<p><code>&lt;b&gt;</code> &lt;b&gt;x&lt;/b&gt;</p>"),
        (
            "| a | b |\n|---|:-:|\n| 1 | `2` |",
            '<div class="scroll"><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td><code>2</code></td></tr></tbody></table></div>',
        ),
        ("", ""),
    ],
)
def test_markdown_cells(source, html_):
    assert prose(source) == html_


@settings(deadline=None)
@example("|\n-")  # a rule without a bar is no table
@given(st.text(st.sampled_from("#*_`|-> \n[]()<>&1.abc~:/\"'"), max_size=120))
@example("|\n-")
def test_any_markdown_becomes_html_without_markup_of_its_own(source):
    allowed = {
        "p",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "pre",
        "code",
        "em",
        "strong",
        "blockquote",
        "div",
    }
    tags = {tag for tag, _ in Reader(prose(source)).tags}
    assert tags <= allowed | {"table", "thead", "tbody", "tr", "th", "td", "a"}


# What a run came to


def shown(*bundles: dict) -> list[dict]:
    return [{"outputs": [{"output_type": "display_data", "data": bundle} for bundle in bundles]}]


def test_the_last_result_counts_and_a_strange_one_does_not_pass():
    good, bad = (
        {RESULT_MIME: {"outcome": "pass"}},
        {RESULT_MIME: {"outcome": "fail", "verdict": {"summary": "x"}}},
    )
    assert result_of([]) is None
    assert result_of(shown(good, bad)) == (Outcome.FAIL, {"summary": "x"}, "x")
    change = {RESULT_MIME: {"outcome": "planned", "verdict": None, "summary": "3 change"}}
    assert result_of(shown(change)) == (Outcome.PLANNED, None, "3 change")
    for strange in (
        {"outcome": "PASS"},
        {"outcome": ["pass"]},
        {},
        [],
        "pass",
        {"outcome": "pass", "verdict": 1},
    ):
        assert isinstance(result_of(shown(bad, {RESULT_MIME: strange})), str)
        assert ended_completed(shown({RESULT_MIME: strange})).exit_code == 4


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("pass", 0),
        ("planned", 0),
        ("fail", 1),
        ("refused", 3),
        ("error", 4),
        ("rolled_back", 5),
        ("rollback_failed", 6),
        ("no_data", 7),
    ],
)
def test_an_outcome_has_its_exit_code(outcome, code):
    end = ended_completed(shown({RESULT_MIME: {"outcome": outcome}}))
    assert (end.exit_code, end.status) == (code, "completed")


@pytest.mark.parametrize("code", [0, 1, 5, 7, 143, "2", None, True])
def test_an_error_cannot_claim_a_success_or_another_ones_code(code):
    told = {ERROR_MIME: {"type": "E", "exit_code": code, "message": "m", "hint": "h"}}
    assert ended_failed(shown(told), CellRecord(0, "x", "error", ename="E")).exit_code == 4


def test_an_errors_word_counts_for_that_error_alone():
    told = {ERROR_MIME: {"type": "RefusedError", "exit_code": 3, "message": "m", "hint": "h"}}
    assert ended_failed(shown(told), CellRecord(0, "x", "error", ename="ValueError")).exit_code == 4
    assert ended_failed(shown(told), CellRecord(0, "x", "error", ename="RefusedError")).hint == "h"


def test_a_stop_is_told_with_its_cell_and_what_became_of_it():
    end = ended_stopped(Stop("run_timeout", 9, 0), killed=True, title="look")
    assert (
        end.sentence
        == "Stopped in `look`: the run took longer than 9 s. The cell did not end in time and its kernel was killed."
    )
    assert ended_stopped(Stop("signal", 15, 0), killed=False, title="").sentence == "Stopped by SIGTERM."


# The kept notebook


def test_the_kept_notebook_is_redacted_bounded_and_rewritten_only_where_it_changed(tmp_path, kit):
    secret = "correct-horse"
    nb = kit.notebook_of(
        kit.code("token = 1", "injected-parameters"),
        kit.code("x"),
        metadata={"papermill": {"parameters": {"p": secret}}, "widgets": {"state": {"value": secret}}},
    )
    nb["cells"][1]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": secret + "x" * (MAX_OUTPUT_CHARS + 10)},
        {"output_type": "display_data", "data": {"application/json": {"deep": [secret]}}, "metadata": {}},
    ]
    saver = Saver(tmp_path / "n.ipynb", Redactor([secret]), {"token": "[redacted]"})
    first = saver.save(nb, {"run": "id"})
    assert secret not in (tmp_path / "n.ipynb").read_text()
    assert first["cells"][0]["source"] == "# Parameters\ntoken = '[redacted]'\n"
    assert "[23 characters left out]" in first["cells"][1]["outputs"][0]["text"]
    assert first["metadata"] == {"widgets": {"state": {"value": "[redacted]"}}, "opslib": {"run": "id"}}

    again = saver.save(nb, {"run": "id"})
    assert again["cells"][1] is first["cells"][1]
    nb["cells"][1]["outputs"][1]["data"] = {"application/json": {"deep": "new"}}  # as an updated display does
    assert saver.save(nb, {})["cells"][1]["outputs"][1]["data"] == {"application/json": {"deep": "new"}}


def test_the_source_that_sets_parameters_is_plain_assignments():
    assert (
        parameters_source({"a": "x'y\n", "b": [1.5], "c": None})
        == '# Parameters\na = "x\'y\\n"\nb = [1.5]\nc = None\n'
    )
