"""The checks made before anything is asked: a badge, a sentence, and what to do where one did not pass."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from opslib.core.checks import Check, worst
from opslib.core.outcome import Outcome
from opslib.ui.tables import Table, badge, table
from opslib.ui.text import Html, html, join

_ORDER = (Outcome.ERROR, Outcome.REFUSED, Outcome.FAIL, Outcome.NO_DATA, Outcome.PASS)


def preflight_table(checks: Iterable[Check]) -> Table:
    """Show checks, those that need attention first."""
    found = tuple(checks)
    ordered = sorted(found, key=lambda check: _ORDER.index(check.outcome) if check.outcome in _ORDER else 0)
    words = _words(found)
    rows = [
        (
            badge(str(check.outcome)),
            html(check.name, 80),
            join((html(check.statement), _hint(check))),
        )
        for check in ordered
    ]
    frame = pd.DataFrame(
        [check.to_dict() for check in ordered], columns=["name", "outcome", "statement", "hint"]
    )
    body = table(("", "check", "what was found"), rows, caption=html(words), row_heads=False)
    return Table("preflight", body, words, frame)


def _hint(check: Check) -> Html:
    if check.outcome is Outcome.PASS or not check.hint:
        return Html("")
    return Html(f'<div class="hint">What to do: {html(check.hint)}</div>')


def _words(checks: tuple[Check, ...]) -> str:
    if not checks:
        return "Nothing was checked"
    passed = sum(check.outcome is Outcome.PASS for check in checks)
    if passed == len(checks):
        return f"Ready: {passed} of {len(checks)} checks passed"
    blocked = (
        "the investigation cannot run"
        if worst(checks) in (Outcome.ERROR, Outcome.REFUSED)
        else "read on with care"
    )
    return f"{passed} of {len(checks)} checks passed; {blocked}"
