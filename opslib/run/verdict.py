"""What the reports take from a verdict's JSON. It came over the wire from a notebook, so every field may be absent or
of another type; then it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.windows import rfc3339
from opslib.core.words import for_whom

MAX_REASONS = 4
_MOSTLY = 0.5  # of the slow calls: whose they are stands in the headline
_VISIBLE_NS = 1_000  # what a budget's rounding leaves is a few ns


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
    return [statement for first in _suspects(verdict)[:1] for statement in _statements(first)][:MAX_REASONS]


def headline(verdict: Mapping[str, Any]) -> str:
    """Return the answer in a few words: where, of which version or for whom most slow calls are, how sure; or nothing."""
    word, (first, *_) = verdict.get("verdict"), (*_suspects(verdict), {})
    if word in ("no_anomaly", "undetermined"):
        return ", for want of ".join((word.replace("_", " "), *missing(verdict)[:1]))
    if not isinstance(word, str) or word != first.get("kind") or not first.get("service"):
        return ""
    mostly = [
        f", {'' if word == 'release' else 'for '}{item.get('attribute')} {item.get('value')}"
        for item, slow, _ in _shares(verdict)[:1]
        if word == "release" or slow >= _MOSTLY
    ]
    return f"{_place(first)}{''.join(mostly)} (confidence {first.get('confidence')})"


def beside(verdict: Mapping[str, Any]) -> list[str]:
    """Return who else is suspected with more than low confidence, and why."""
    return [
        f"{_place(one)} (confidence {one['confidence']}): {statement}"
        for one in _suspects(verdict)[1:]
        if one.get("confidence") in ("high", "medium")
        for statement in _statements(one)[:1]
    ][:MAX_REASONS]


def scope(verdict: Mapping[str, Any]) -> list[str]:
    """Return for whom calls are slow, what sets them apart most first."""
    return [
        for_whom(str(item.get("attribute")), str(item.get("value")), slow, normal)
        for item, slow, normal in _shares(verdict)[:MAX_REASONS]
    ]


def _shares(verdict: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], float, float]]:
    found = []
    for item in _list(verdict.get("scope")):
        slow, normal = (
            (item.get("share_slow"), item.get("share_normal")) if isinstance(item, Mapping) else (None, None)
        )
        if isinstance(slow, int | float) and isinstance(normal, int | float):
            found.append((item, float(slow), float(normal)))
    return found


def _suspects(verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in _list(verdict.get("candidates")) if isinstance(item, Mapping)]


def _place(candidate: Mapping[str, Any]) -> str:
    edge = _list(candidate.get("edge"))
    if candidate.get("kind") == "edge" and len(edge) == 2:
        return f"edge {edge[0]} → {edge[1]}"
    return f"{candidate.get('kind')} {candidate.get('service')}"


def _statements(candidate: Mapping[str, Any]) -> list[str]:
    found = [item.get("statement") for item in _list(candidate.get("evidence")) if isinstance(item, Mapping)]
    return [statement for statement in found if isinstance(statement, str)]


def because_head(verdict: Mapping[str, Any]) -> str:
    """Return what to write above `because`: where nothing is charged, what was seen is no reason for a charge."""
    return "Seen, but not beyond noise" if verdict.get("verdict") == "no_anomaly" else "Because"


def missing(verdict: Mapping[str, Any]) -> list[str]:
    """Return what would settle it."""
    return [item for item in _list(verdict.get("missing")) if isinstance(item, str)]


def warnings(verdict: Mapping[str, Any]) -> list[str]:
    """Return what is known to be wanting in the evidence."""
    completeness = verdict.get("completeness")
    found = _list(completeness.get("warnings")) if isinstance(completeness, Mapping) else []
    return [item for item in found if isinstance(item, str)]


def budget_rows(verdict: Mapping[str, Any], name: str = "budget") -> list[BudgetRow]:
    """Return the budget's lines, the total last, those that would read as zero left out; nothing where a number is no integer."""
    budget = verdict.get(name)
    if not isinstance(budget, Mapping) or not isinstance(budget.get("total"), Mapping):
        return []
    lines = [*_list(budget.get("segments")), {**budget["total"], "segment": "total"}]
    columns = ("baseline_ns", "incident_ns", "delta_ns")
    for line in lines:
        if not isinstance(line, Mapping) or not all(type(line.get(column)) is int for column in columns):
            return []
    largest = max((abs(line["delta_ns"]) for line in lines[:-1]), default=0) or 1
    shown = [line for line in lines[:-1] if max(abs(line[c]) for c in columns) >= _VISIBLE_NS]
    rows = [_row(line, line["delta_ns"] / largest, total=False) for line in shown]
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
