"""What the reports take from a verdict's JSON. It came over the wire from a notebook, so every field may be absent or
of another type; then it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.windows import rfc3339

MAX_REASONS = 4


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One line of the budget; `part` is its share of the largest change, -1 to 1, for a bar."""

    segment: str
    baseline_ns: int
    incident_ns: int
    delta_ns: int
    part: float
    total: bool = False


def because(verdict: Mapping[str, Any]) -> list[str]:
    """Return the statements that back the first candidate, at most four."""
    candidates = _list(verdict.get("candidates"))
    first = candidates[0] if candidates and isinstance(candidates[0], Mapping) else {}
    found = [item.get("statement") for item in _list(first.get("evidence")) if isinstance(item, Mapping)]
    return [statement for statement in found if isinstance(statement, str)][:MAX_REASONS]


def missing(verdict: Mapping[str, Any]) -> list[str]:
    """Return what would settle it."""
    return [item for item in _list(verdict.get("missing")) if isinstance(item, str)]


def warnings(verdict: Mapping[str, Any]) -> list[str]:
    """Return what is known to be wanting in the evidence."""
    completeness = verdict.get("completeness")
    found = _list(completeness.get("warnings")) if isinstance(completeness, Mapping) else []
    return [item for item in found if isinstance(item, str)]


def budget_rows(verdict: Mapping[str, Any], name: str = "budget") -> list[BudgetRow]:
    """Return the budget's lines as they stand, the total last; nothing where a number is no integer."""
    budget = verdict.get(name)
    if not isinstance(budget, Mapping) or not isinstance(budget.get("total"), Mapping):
        return []
    lines = [*_list(budget.get("segments")), {**budget["total"], "segment": "total"}]
    columns = ("baseline_ns", "incident_ns", "delta_ns")
    for line in lines:
        if not isinstance(line, Mapping) or not all(type(line.get(column)) is int for column in columns):
            return []
    largest = max((abs(line["delta_ns"]) for line in lines[:-1]), default=0) or 1
    rows = [_row(line, line["delta_ns"] / largest, total=False) for line in lines[:-1]]
    return [*rows, _row(lines[-1], 0.0, total=True)] if rows else []


def _row(line: Mapping[str, Any], part: float, *, total: bool) -> BudgetRow:
    numbers = line["baseline_ns"], line["incident_ns"], line["delta_ns"]
    return BudgetRow(str(line.get("segment", "")), *numbers, part, total)


def windows_line(verdict: Mapping[str, Any]) -> str:
    """Return both windows in words, or an empty text."""
    windows = verdict.get("windows")
    if not isinstance(windows, Mapping):
        return ""
    parts = [
        f"{name} {_window(windows.get(name))}"
        for name in ("incident", "baseline")
        if _window(windows.get(name))
    ]
    return ", ".join(parts)


def _window(pair: Any) -> str:
    ok = isinstance(pair, list) and len(pair) == 2 and all(type(t) is int for t in pair)
    return f"{rfc3339(pair[0])} to {rfc3339(pair[1])}" if ok else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
