"""The ranked candidates and the evidence for each, as tables; what a source said is shown with where to ask it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from opslib.core.errors import UsageError
from opslib.core.model import Candidate, Finding, Verdict
from opslib.core.words import figures, quantity
from opslib.ui.facts import culprit, place
from opslib.ui.links import anchors, of_finding
from opslib.ui.palette import GUILTY, NORMAL
from opslib.ui.tables import Table, bar, details, table
from opslib.ui.text import Html, html, join, short

if TYPE_CHECKING:
    from opslib.investigate import Investigation


def candidates(inv: Investigation) -> Table:
    """List the suspects, most suspicious first, each with its evidence one click away."""
    verdict = inv.verdict
    words = _words(verdict)
    if not verdict.candidates:
        return Table("candidates", Html(f"<p>{html(words)}</p>"), words, _frame(verdict))
    heads = ("score", "suspect", "confidence", "because", "evidence")
    charged = culprit(verdict)
    rows = [_row(inv, candidate, charged) for candidate in verdict.candidates]
    body = table(heads, rows, caption=html(words))
    return Table("candidates", body, words, _frame(verdict))


def evidence(inv: Investigation, rank: int = 1) -> Table:
    """Show all evidence for the candidate of this rank. Raises UsageError where there is none of this rank."""
    found = next((c for c in inv.verdict.candidates if c.rank == rank), None)
    if found is None:
        if not inv.verdict.candidates and rank == 1:
            words = f"No evidence against anybody: {inv.verdict.summary}"
            return Table("evidence", Html(f"<p>{html(words, 600)}</p>"), words)
        ranks = ", ".join(str(c.rank) for c in inv.verdict.candidates[:20]) or "none"
        raise UsageError(f"there is no candidate of rank {rank}", hint=f"ranks there are: {ranks}")
    words = f"Evidence for {place(found)}, rank {found.rank}, confidence {found.confidence}"
    return Table("evidence", evidence_of(inv, found, html(words)), words, _findings_frame(found.evidence))


def evidence_of(inv: Investigation, candidate: Candidate, caption: Html) -> Html:
    """Return a candidate's evidence as a table; each piece opens where the environment's links lead."""
    heads = ("what was seen", "value", "baseline", "signal", "ask again")
    windows = inv.verdict.windows
    rows = [
        _finding_row(finding, anchors(of_finding(inv.environment, finding, candidate.service, windows)))
        for finding in candidate.evidence
    ]
    if not rows:
        return Html(f"<p>{caption}: nothing was recorded.</p>")
    return table(heads, rows, caption=caption, numbers=frozenset({1, 2}))


def _row(inv: Investigation, candidate: Candidate, charged: Candidate | None) -> tuple[Html, ...]:
    mark = Html(" <b>◀ cause</b>") if candidate is charged else Html("")
    colour = GUILTY if candidate is charged else NORMAL
    first = candidate.evidence[0].statement if candidate.evidence else "nothing recorded"
    operation = f", operation {short(candidate.operation, 60)}" if candidate.operation else ""
    count = len(candidate.evidence)
    opened = details(
        f"{count} piece{'' if count == 1 else 's'}", evidence_of(inv, candidate, html(place(candidate)))
    )
    return (
        join((bar(candidate.score, colour), html(figures(candidate.score, 2)))),
        join((html(place(candidate) + operation), mark)),
        html(candidate.confidence),
        html(first),
        opened,
    )


def _finding_row(finding: Finding, opened: Html) -> tuple[Html, ...]:
    baseline = "–" if finding.baseline is None else quantity(finding.baseline, finding.unit)
    where = html(finding.source, 120)
    query = Html(f"<br><code>{html(finding.query, 240)}</code>") if finding.query else Html("")
    return (
        html(finding.statement),
        html(quantity(finding.value, finding.unit)),
        html(baseline),
        html(finding.signal),
        join((where, query, Html(f"<br>Open {opened}") if opened else opened)),
    )


def _words(verdict: Verdict) -> str:
    if not verdict.candidates:
        return f"No service shows evidence of a cause. {verdict.summary}"
    first = verdict.candidates[0]
    count = len(verdict.candidates)
    head = f"{count} candidate{'' if count == 1 else 's'}; " if count > 1 else "One candidate: "
    lead = f"{place(first)} first (score {figures(first.score, 2)}, confidence {first.confidence})"
    return head + lead + ("" if culprit(verdict) else f"; the verdict is {verdict.verdict.replace('_', ' ')}")


def _frame(verdict: Verdict) -> pd.DataFrame:
    columns = ("rank", "score", "suspect", "confidence", "because")
    rows = [
        (c.rank, c.score, place(c), c.confidence, c.evidence[0].statement if c.evidence else "")
        for c in verdict.candidates
    ]
    return pd.DataFrame(rows, columns=columns)


def _findings_frame(findings: tuple[Finding, ...]) -> pd.DataFrame:
    columns = ("statement", "value", "baseline", "unit", "signal", "source", "query")
    rows = [tuple(getattr(finding, name) for name in columns) for finding in findings]
    return pd.DataFrame(rows, columns=columns)
