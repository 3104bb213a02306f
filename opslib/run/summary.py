"""`summary.md`: what a chat channel or a CI step summary needs, in Markdown that foreign text cannot break."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from opslib.core.outcome import Outcome
from opslib.core.words import duration, printable
from opslib.run.events import CellRecord
from opslib.run.record import Ended
from opslib.run.verdict import (
    because,
    because_head,
    beside,
    budget_rows,
    headline,
    missing,
    scope,
    windows_line,
)

BADGE = {
    Outcome.PASS: "PASS",
    Outcome.FAIL: "FAIL",
    Outcome.NO_DATA: "CANNOT SAY",
    Outcome.ERROR: "ERROR",
    Outcome.PLANNED: "PLANNED",
    Outcome.REFUSED: "REFUSED",
    Outcome.ROLLED_BACK: "ROLLED BACK",
    Outcome.ROLLBACK_FAILED: "ROLLBACK FAILED",
}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$])")


def md(text: object) -> str:
    """Return foreign text as literal Markdown: no markup, no mention, no link, no line break."""
    return _SPECIAL.sub(r"\\\1", printable(str(text), 400))


def summary_md(record: Mapping[str, Any], end: Ended, cells: Iterable[CellRecord]) -> str:
    """Return the Markdown of a finished run; `record` is run.json."""
    verdict = end.verdict or {}
    answer = headline(verdict)
    lines = [f"### {BADGE[end.outcome]}: {md(answer or end.sentence)}", ""]
    lines += [md(end.sentence), ""] if answer else []
    lines += _list(because_head(verdict), [md(statement) for statement in because(verdict)])
    lines += _list("For whom", [md(item) for item in scope(verdict)])
    lines += _list("Suspected beside it", [md(item) for item in beside(verdict)])
    lines += _list("Missing", [md(item) for item in missing(verdict)])
    lines += [f"**Next**: {md(end.hint)}", ""] if end.hint else []
    lines += _budget(verdict)
    lines += _bad_cells(cells)
    lines += [_facts(record)]
    return "\n".join(lines) + "\n"


def _list(title: str, items: list[str]) -> list[str]:
    return [f"**{title}**", *(f"- {item}" for item in items), ""] if items else []


def _budget(verdict: Mapping[str, Any]) -> list[str]:
    rows = budget_rows(verdict)
    if not rows:
        return []
    head = ["| where the time goes | baseline | incident | change |", "|---|---:|---:|---:|"]
    body = [
        f"| {md(row.segment)} | {duration(row.baseline_ns)} | {duration(row.incident_ns)} | {signed(row.delta_ns)} |"
        for row in rows
    ]
    return [*head, *body, ""]


def signed(ns: int) -> str:
    """Return a change with its sign."""
    return ("+" if ns > 0 else "") + duration(ns)


def _bad_cells(cells: Iterable[CellRecord]) -> list[str]:
    bad = [cell for cell in cells if cell.status in {"error", "interrupted", "timed_out", "kernel_died"}]
    return _list(
        "Where it ended", [f"{md(c.title)}: {c.status.replace('_', ' ')} {md(c.ename)}" for c in bad]
    )


def _facts(record: Mapping[str, Any]) -> str:
    given = ", ".join(
        f"{md(k)} = {md(v)}" for k, v in record["parameters"].items() if v not in ("", None, [])
    )
    window = windows_line(record.get("verdict") or {})
    parts = [
        md(record["notebook"]),
        given,
        window,
        f"exit code {record['exit_code']}",
        f"run {md(record['id'])}",
    ]
    return " · ".join(part for part in parts if part)
