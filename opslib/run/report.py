"""`report.html`: one file that opens offline, on a phone and in print, with the verdict first and every figure drawn.

Two walls stand between foreign text and the reader: everything is escaped or passed through an allow-list, and the
page's own policy forbids every load and every script but the few that this module wrote (each bears the page's nonce).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opslib.core.outcome import Outcome
from opslib.core.windows import rfc3339
from opslib.core.words import duration, printable, quantity
from opslib.run.cells import INJECTED_TAG, PARAMETERS_TAG, source_of, tags_of
from opslib.run.events import CellRecord
from opslib.run.outputs import PLOTLY_MIME, FigureHtml, output_html
from opslib.run.prose import prose
from opslib.run.record import Ended
from opslib.run.summary import BADGE, signed
from opslib.run.verdict import because, because_head, beside, budget_rows, headline, missing, scope, warnings

_COLOUR = {
    Outcome.PASS: "good",
    Outcome.FAIL: "bad",
    Outcome.ERROR: "bad",
    Outcome.ROLLBACK_FAILED: "bad",
    Outcome.PLANNED: "calm",
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """How figures become HTML; given by `ui`, which alone knows plotly."""

    figure_html: FigureHtml
    plotly_js: Callable[[], str]
    style: str = ""


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell as the template shows it; `html` and `outputs` are safe as they stand."""

    kind: str
    title: str = ""
    html: str = ""
    source: str = ""
    outputs: tuple[str, ...] = ()
    status: str = ""
    took: str = ""


def report_html(
    record: Mapping[str, Any],
    end: Ended,
    cells: Sequence[Mapping[str, Any]],
    records: Mapping[int, CellRecord],
    drawing: Drawing,
) -> str:
    """Return the report of a finished run; `record` is run.json, `cells` those of the redacted notebook."""
    nonce = secrets.token_urlsafe(12)
    drawn = any(PLOTLY_MIME in o.get("data", {}) for cell in cells for o in cell.get("outputs", []))
    verdict = end.verdict or {}
    page: str = _template().render(
        record=record,
        end=end,
        badge=BADGE[end.outcome],
        colour=_COLOUR.get(end.outcome, "hold"),
        headline=headline(verdict),
        because=because(verdict),
        because_head=because_head(verdict),
        scope=scope(verdict),
        beside=beside(verdict),
        missing=missing(verdict),
        warnings=warnings(verdict),
        budget=budget_rows(verdict),
        tail=budget_rows(verdict, "tail_budget"),
        facts=list(_facts(record, verdict)),
        cells=[_view(index, cell, records, drawing, nonce) for index, cell in enumerate(cells)],
        nonce=nonce,
        style=drawing.style,
        plotly_js=_safe_script(drawing.plotly_js()) if drawn else "",
    )
    return page


def _template() -> Any:
    import jinja2  # noqa: PLC0415 - only a finished run draws a report

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("opslib.run"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"duration": duration, "signed": signed, "printable": printable, "moment": moment}
    return environment.get_template("report.html.j2")


def _view(
    index: int, cell: Mapping[str, Any], records: Mapping[int, CellRecord], drawing: Drawing, nonce: str
) -> CellView:
    if cell["cell_type"] == "markdown":
        return CellView("markdown", html=prose(source_of(cell)))
    record = records.get(index)
    if record is None:
        return CellView("empty")

    def drawn(figure: dict[str, Any]) -> str:
        return drawing.figure_html(figure).replace("<script", f'<script nonce="{nonce}"')

    outputs = (output_html(output, drawn) for output in cell.get("outputs", []))
    quiet = bool({INJECTED_TAG, PARAMETERS_TAG} & set(tags_of(cell)))
    return CellView(
        "quiet" if quiet else "code",
        record.title,
        source=printable_source(source_of(cell)),
        outputs=tuple(html for html in outputs if html),
        status=record.status,
        took=duration(record.duration_s * 1e9) if record.started_ns else "",
    )


def printable_source(source: str) -> str:
    """Return a cell's source with each line printable and bounded."""
    return "\n".join(printable(line, 500) for line in source.expandtabs(4).splitlines()[:400])


def _facts(record: Mapping[str, Any], verdict: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the head's facts in reading order: name and text."""
    windows = verdict.get("windows")
    for name in ("incident", "baseline"):
        pair = windows.get(name) if isinstance(windows, Mapping) else None
        if isinstance(pair, list) and len(pair) == 2 and all(type(time) is int for time in pair):
            yield name, f"{moment(rfc3339(pair[0]))} · {duration(pair[1] - pair[0])}"
    onset = verdict.get("onset")
    if isinstance(onset, Mapping) and type(onset.get("time")) is int:
        yield "since", _onset(onset)
    budget = verdict.get("budget")
    if isinstance(budget, Mapping):
        yield "calls", f"{budget.get('n_incident')} in the incident, {budget.get('n_baseline')} before"
    yield "environment", str(record["environment"] or "–")
    yield "notebook", str(record["notebook"])
    yield "started", moment(str(record["started"]))
    yield (
        "ended",
        f"{moment(str(record['ended']))} · {record['status'].replace('_', ' ')}, exit code {record['exit_code']}",
    )
    yield "run", str(record["id"])


def _onset(onset: Mapping[str, Any]) -> str:
    off = onset.get("uncertainty_s")
    about = f" ± {quantity(off, 's')}" if isinstance(off, int | float) and off else ""
    return moment(rfc3339(onset["time"])) + about


def moment(text: str) -> str:
    """Return an RFC 3339 time to the second."""
    return re.sub(r"\.\d+", "", text)


def _safe_script(source: str) -> str:
    """Return a script's text so that no literal in it can end the element, or look like a link of the page.

    plotly.js holds links of map providers in its texts; a backslash before a slash changes nothing in such a text, and
    whoever searches the file for what it loads finds nothing.
    """
    held = source.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return re.sub(r"=(\\?[\"'])(https?:)//", r"=\1\2\\/\\/", held)
