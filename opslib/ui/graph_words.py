"""What the call graph says in words: its finding, what its edges bear, and its table."""

from __future__ import annotations

import math

import pandas as pd

from opslib.core.model import Candidate
from opslib.core.words import duration, figures, share
from opslib.ui.facts import place
from opslib.ui.fold import Link
from opslib.ui.text import ARROW, label, short

_WORTH_SAYING = 0.1  # what moved by less is called unchanged


def finding(service: str, links: list[Link], guilty: Candidate | None, folded: int) -> str:
    """Name the culprit and what became of the calls into it, or the edge that changed most."""
    name, note_ = short(service), f" ({folded} nodes folded)" if folded else ""
    if guilty:
        exact = (link for link in links if is_guilty_edge(link, guilty))
        link = next(exact, next((link for link in links if link.callee == guilty.service), None))
        moved = f"; calls of {short(link.callee)} {_moved(link)}" if link else ""
        return f"The cause inside the {name} calls is {place(guilty)}{moved}{note_}"
    if not any(link.calls_incident for link in links):
        return f"The incident window holds no calls inside {name}{note_}"
    if not any(link.calls_baseline for link in links):
        return f"What the {name} calls call; there is no baseline to compare with{note_}"
    most = max(links, key=lambda link: (abs(link.change_ns), link.caller, link.callee))
    ends = f"{short(most.caller)} {ARROW} {short(most.callee)}"
    if abs(most.change_ns) < _WORTH_SAYING * most.was_ns or not most.change_ns:
        return f"Inside the {name} calls no edge changed much{note_}"
    return f"No cause is charged; {ends} changed most, its calls {_moved(most)}{note_}"


def _moved(link: Link) -> str:
    if _more_errors(link):
        return f"fail now: {share(link.errors_incident, link.calls_incident)}"
    if math.isnan(link.was_ns) or math.isnan(link.now_ns):
        return f"were {link.calls_baseline:,}, now {link.calls_incident:,}"
    return f"took {duration(link.was_ns)} before and {duration(link.now_ns)} now ({link.statistic})"


def _more_errors(link: Link) -> bool:
    """Tell whether the share of failing calls rose by more than one in a hundred."""
    before = link.errors_baseline / max(link.calls_baseline, 1)
    return link.errors_incident / max(link.calls_incident, 1) > before + 0.01


def is_guilty_edge(link: Link, guilty: Candidate) -> bool:
    """Tell whether this very edge is charged."""
    return guilty.kind == "edge" and (link.caller, link.callee) == guilty.edge


def longest_ns(links: list[Link]) -> float:
    """Return the longest time of the graph, by each edge's statistic."""
    return max((time for k in links for time in (k.was_ns, k.now_ns) if not math.isnan(time)), default=0)


def change(link: Link, longest: float) -> str:
    """Say how calls moved; `longest`, the longest time of the graph, tells what is nothing beside it."""
    if math.isnan(link.was_ns) or math.isnan(link.now_ns):
        return f"{link.calls_baseline:,} → {link.calls_incident:,} calls"
    if abs(link.change_ns) < max(0.02 * link.was_ns, 0.002 * longest):
        return "± 0"
    named = " mean" if link.statistic == "mean" else ""
    return f"{'+' if link.change_ns > 0 else ''}{duration(link.change_ns)}{named}"


def errors_said(link: Link) -> str:
    """Say the share of failing calls where it rose, nothing where it did not."""
    part = 100 * link.errors_incident / max(link.calls_incident, 1)
    return f"errors {figures(part, 2)} %" if _more_errors(link) else ""


def edge_hover(link: Link) -> str:
    """Say what an edge bore in both windows, for the mouse."""
    before = _window_said(
        "baseline", link.calls_baseline, link.p50_baseline_ns, link.mean_baseline_ns, link.errors_baseline
    )
    during = _window_said(
        "incident", link.calls_incident, link.p50_incident_ns, link.mean_incident_ns, link.errors_incident
    )
    kind = " (dependency)" if link.dependency else ""
    return f"{label(link.caller, 60)} → {label(link.callee, 60)}{kind}<br>{before}<br>{during}"


def _window_said(window: str, calls: int, p50_ns: float, mean_ns: float, errors: int) -> str:
    times = f"p50 {_time(p50_ns)}, mean {_time(mean_ns)}"
    return f"{window}: {calls:,} calls, {times}, errors {share(errors, calls)}"


def _time(ns: float) -> str:
    return "–" if math.isnan(ns) else duration(ns)


def in_words(title: str, links: list[Link]) -> str:
    """Say the graph for who cannot see it."""
    parts = [f"{short(k.caller)} → {short(k.callee)} {change(k, longest_ns(links))}" for k in links[:12]]
    more = f" and {len(links) - 12} more edges" if len(links) > 12 else ""
    return (
        f"{title}. Change of the median, or of the mean where it says so, by edge: {', '.join(parts)}{more}."
    )


def table(links: list[Link]) -> pd.DataFrame:
    """Return the graph's numbers, a row per edge."""
    return pd.DataFrame(
        [
            {
                "caller": k.caller,
                "callee": k.callee,
                "calls before": k.calls_baseline,
                "calls now": k.calls_incident,
                "errors before": k.errors_baseline,
                "errors now": k.errors_incident,
                "p50 before, ms": k.p50_baseline_ns / 1e6,
                "p50 now, ms": k.p50_incident_ns / 1e6,
                "mean before, ms": k.mean_baseline_ns / 1e6,
                "mean now, ms": k.mean_incident_ns / 1e6,
            }
            for k in links
        ]
    )
