"""Where the time of a mean call went: baseline total, what each segment added or took, incident total.

The numbers on the bars add up as printed: they are rounded together, the largest remainders giving way, while hover and table keep the exact nanoseconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.model import Budget, Segment
from opslib.core.words import figures
from opslib.ui.drawing import Drawing, axis, empty, figure, note, rows_axis
from opslib.ui.facts import culprit, others_suspected, segment_name, segment_of
from opslib.ui.palette import FAINT, GUILTY, INCIDENT, NORMAL
from opslib.ui.text import label, short

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "budget_waterfall"
_MAX_BARS = 7
_UNCHANGED = 0.05  # of the baseline's mean; a smaller change is called none
_TINY, _TINY_OF_ALL = 0.02, 0.005  # of the largest change, of the larger total; smaller changes are summed


@dataclass(frozen=True, slots=True)
class Step:
    """One bar: from `start_ns` to `end_ns`; totals start at zero."""

    name: str
    start_ns: int
    end_ns: int
    role: str  # "baseline" | "incident" | "guilty" | "suspected" | "change" | "other"
    text: str = ""  # the number printed on it


def budget_waterfall(inv: Investigation) -> Drawing:
    """Draw the budget of the verdict, largest change first."""
    verdict = inv.verdict
    if verdict.budget is None or not verdict.budget.n_incident:
        why = "; ".join(verdict.missing) or "the incident window holds no calls of this service"
        return empty(_NAME, f"No time budget for {short(verdict.service)}", f"Missing: {why}")
    guilty = culprit(verdict)
    suspected = {segment_of(candidate) for candidate in others_suspected(verdict)}
    drawn = steps(verdict.budget, segment_of(guilty) if guilty else "", suspected)
    title = finding(verdict.service, verdict.budget, drawn)
    words = _words(title, verdict.budget, drawn)
    height = 40 + 30 * len(drawn)
    return Drawing(
        _NAME,
        title,
        words,
        figure(title, words, [_bars(drawn)], height, **_layout(drawn)),
        _table(verdict.budget),
    )


def finding(service: str, budget: Budget, drawn: Sequence[Step]) -> str:
    """Say how much longer a mean call takes and which segment holds most of it, in the numbers that are on the bars."""
    total, unit = budget.total, _unit(budget.total)
    before, after = unit.round(total.baseline_ns), unit.round(total.incident_ns)
    mean = f"A mean {short(service)} call takes {unit.plain(after)}"
    if not budget.n_baseline:
        return f"{mean}; there is no baseline to compare with"
    if abs(total.delta_ns) <= _UNCHANGED * max(total.baseline_ns, 1):
        return f"{mean}, as before ({unit.plain(before)})"
    parts = [s for s in drawn if s.role not in ("baseline", "incident")]
    along = [s for s in parts if (s.end_ns - s.start_ns) * total.delta_ns > 0]
    first = max(along, key=lambda s: abs(s.end_ns - s.start_ns))
    part = figures(100 * (first.end_ns - first.start_ns) / total.delta_ns, 2)
    more = f"{unit.plain(abs(after - before))} {'more' if after >= before else 'less'} than before"
    return f"{mean}, {more}; {part} % of the change is {first.name} ({first.text})"


def steps(budget: Budget, guilty: str = "", suspected: Collection[str] = ()) -> tuple[Step, ...]:
    """Return the bars in order; their printed changes sum to the difference of the printed totals."""
    changed = sorted((s for s in budget.segments if s.delta_ns), key=lambda s: (-abs(s.delta_ns), s.segment))
    largest = abs(changed[0].delta_ns) if changed else 0
    tiny = max(_TINY * largest, _TINY_OF_ALL * max(budget.total.baseline_ns, budget.total.incident_ns))
    shown = [s for s in changed[:_MAX_BARS] if abs(s.delta_ns) >= tiny or s.segment == guilty]
    roles = dict.fromkeys(suspected, "suspected") | {guilty: "guilty"}
    rest = [s for s in changed if s not in shown]
    parts = [(segment_name(s.segment), s.delta_ns, roles.get(s.segment, "change")) for s in shown]
    if rest:
        parts.append((f"other ({len(rest)})", sum(s.delta_ns for s in rest), "other"))
    unit, total = _unit(budget.total), budget.total
    before, after = unit.round(total.baseline_ns), unit.round(total.incident_ns)
    printed = unit.shared([delta for _, delta, _ in parts], after - before)
    edges = list(itertools.accumulate((delta for _, delta, _ in parts), initial=total.baseline_ns))
    bars = [
        Step(name, edges[i], edges[i + 1], role, unit.signed(printed[i]))
        for i, (name, _, role) in enumerate(parts)
    ]
    first = (
        [Step("baseline", 0, total.baseline_ns, "baseline", unit.plain(before))] if budget.n_baseline else []
    )
    return (*first, *bars, Step("incident", 0, total.incident_ns, "incident", unit.plain(after)))


@dataclass(frozen=True, slots=True)
class _Unit:
    """The one unit of a waterfall: a step in ns that every printed number is a whole multiple of."""

    name: str
    unit_ns: int
    decimals: int

    @property
    def step_ns(self) -> int:
        return self.unit_ns // 10**self.decimals  # type: ignore[no-any-return]

    def round(self, value_ns: int) -> int:
        """Return whole steps, halves away from zero."""
        return (abs(value_ns) + self.step_ns // 2) // self.step_ns * (1 if value_ns >= 0 else -1)

    def shared(self, deltas_ns: Sequence[int], whole: int) -> list[int]:
        """Round deltas so that they sum to `whole` steps: the largest remainders give way first."""
        counts = [delta // self.step_ns for delta in deltas_ns]
        left = whole - sum(counts)
        order = sorted(range(len(counts)), key=lambda i: (-(deltas_ns[i] % self.step_ns), i))
        for turn in range(abs(left)):
            counts[order[turn % len(order)] if left > 0 else order[-1 - turn % len(order)]] += (
                1 if left > 0 else -1
            )
        return counts

    def plain(self, count: int) -> str:
        return f"{count / 10**self.decimals:,.{self.decimals}f} {self.name}"

    def signed(self, count: int) -> str:
        return ("+" if count > 0 else "±" if count == 0 else "") + self.plain(count)


def _unit(total: Segment) -> _Unit:
    """Three digits or more of the larger total: ms below 10 s, s above."""
    largest = max(total.baseline_ns, total.incident_ns)
    name, unit_ns = ("s", 1_000_000_000) if largest >= 10_000_000_000 else ("ms", 1_000_000)
    decimals = 3
    while decimals and largest >= 10 ** (3 - decimals) * unit_ns:
        decimals -= 1
    return _Unit(name, unit_ns, decimals)


_LOOK: dict[str, tuple[str, str]] = {  # colour, pattern: the same colour is told apart by hatching
    "baseline": (NORMAL, ""),
    "incident": (INCIDENT, ""),
    "guilty": (GUILTY, ""),
    "suspected": (GUILTY, "/"),
    "change": (INCIDENT, "/"),
    "other": (NORMAL, "."),
}


_MARK = {"guilty": "  ◀ cause", "suspected": "  ◀ suspected, too"}


def _bars(drawn: Sequence[Step]) -> dict[str, Any]:
    looks = [_LOOK["other"] if s.role == "change" and s.end_ns < s.start_ns else _LOOK[s.role] for s in drawn]
    return {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(drawn))),
        "base": [round(min(s.start_ns, s.end_ns) / 1e6, 6) for s in drawn],
        "x": [round(abs(s.end_ns - s.start_ns) / 1e6, 6) for s in drawn],
        "marker": {
            "color": [colour for colour, _ in looks],
            "pattern": {"shape": [shape for _, shape in looks], "fillmode": "overlay", "size": 6},
            "line": {"width": 0},
        },
        "hovertext": [f"{label(s.name, 44)}<br>{s.end_ns - s.start_ns:,} ns" for s in drawn],
        "hoverinfo": "text",
        "width": 0.62,
    }


def _layout(drawn: Sequence[Step]) -> dict[str, Any]:
    right = max(max(s.start_ns, s.end_ns) for s in drawn) / 1e6
    left = min(0.0, *(min(s.start_ns, s.end_ns) / 1e6 for s in drawn))
    joins = [
        {
            "type": "line",
            "x0": s.end_ns / 1e6,
            "x1": s.end_ns / 1e6,
            "y0": i + 0.31,
            "y1": i + 0.69,
            "line": {"color": FAINT, "width": 1},
        }
        for i, s in enumerate(drawn[:-1])
    ]
    texts = [
        note(
            s.text + _MARK.get(s.role, ""),
            max(s.start_ns, s.end_ns) / 1e6,
            i,
            xanchor="left",
            xshift=5,
        )
        for i, s in enumerate(drawn)
    ]
    return {
        "xaxis": axis("mean time of a call, ms", range=[left * 1.2, right * 1.24 or 1]),
        "yaxis": rows_axis([label(s.name, 44) for s in drawn]),
        "shapes": joins,
        "annotations": texts,
        "bargap": 0,
    }


def _words(title: str, budget: Budget, drawn: Sequence[Step]) -> str:
    parts = ", ".join(f"{short(s.name, 60)} {s.text}" for s in drawn)
    return f"{title}. {parts}. Means of {budget.n_baseline:,} calls before and {budget.n_incident:,} in the incident window."


def _table(budget: Budget) -> pd.DataFrame:
    ordered = sorted(budget.segments, key=lambda s: (-abs(s.delta_ns), s.segment))
    return pd.DataFrame(
        [
            {
                "segment": s.segment,
                "baseline, ns": s.baseline_ns,
                "incident, ns": s.incident_ns,
                "change, ns": s.delta_ns,
            }
            for s in (*ordered, budget.total)
        ]
    )
