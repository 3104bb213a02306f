"""Who calls whom inside the calls of a service, left to right, with the guilty element marked.

A node is as wide as it has calls, an edge says how its median changed. Guilt is said by colour, by a thicker line and
by the word `cause`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.model import Candidate
from opslib.core.words import duration, figures, share
from opslib.ui.drawing import Drawing, empty, figure, note
from opslib.ui.facts import culprit, place
from opslib.ui.fold import Link, fold, links_of
from opslib.ui.layers import Layout, layered
from opslib.ui.palette import FAINT, GUILTY, NORMAL, TEXT, faded
from opslib.ui.text import ARROW, label, short

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "call_graph"
_WORTH_SAYING = 0.1  # a median that moved by less is called unchanged
_HALF_HEIGHT = 0.15
_WIDEST, _NARROWEST = 0.22, 0.05  # half a node's width, as a share of the distance between layers


def call_graph(inv: Investigation) -> Drawing:
    """Draw the calls inside the calls of the service."""
    verdict = inv.verdict
    links, folded = fold(links_of(inv.diagnosis.edges), verdict.service, culprit(verdict))
    if not links:
        why = "Inside these calls no service calls another, as far as the spans tell."
        return empty(_NAME, f"{short(verdict.service)} calls nobody", why)
    guilty = culprit(verdict)
    layout = layered(
        {n for link in links for n in (link.caller, link.callee)}, [(k.caller, k.callee) for k in links]
    )
    widths = _widths(links, verdict.service)
    title = finding(verdict.service, links, guilty, folded)
    words = _words(title, links)
    return Drawing(
        _NAME,
        title,
        words,
        figure(
            title,
            words,
            [*_lines(links, layout, widths, guilty), _hover(layout, links)],
            _height(layout),
            **_layout(links, layout, widths, guilty),
        ),
        _table(links),
    )


def finding(service: str, links: list[Link], guilty: Candidate | None, folded: int) -> str:
    """Name the culprit and what became of the calls into it, or the edge that changed most."""
    name, note_ = short(service), f" ({folded} nodes folded)" if folded else ""
    if guilty:
        exact = (link for link in links if _is_guilty_edge(link, guilty))
        link = next(exact, next((link for link in links if link.callee == guilty.service), None))
        moved = f"; calls of {short(link.callee)} {_moved(link)}" if link else ""
        return f"The cause inside the {name} calls is {place(guilty)}{moved}{note_}"
    if not any(link.calls_incident for link in links):
        return f"The incident window holds no calls inside {name}{note_}"
    if not any(link.calls_baseline for link in links):
        return f"What the {name} calls call; there is no baseline to compare with{note_}"
    most = max(links, key=lambda link: (abs(link.change_ns), link.caller, link.callee))
    ends = f"{short(most.caller)} {ARROW} {short(most.callee)}"
    if abs(most.change_ns) < _WORTH_SAYING * most.p50_baseline_ns or not most.change_ns:
        return f"Inside the {name} calls no edge changed much{note_}"
    return f"No cause is charged; {ends} changed most, its calls {_moved(most)}{note_}"


def _moved(link: Link) -> str:
    if _more_errors(link):
        return f"fail now: {share(link.errors_incident, link.calls_incident)}"
    if math.isnan(link.p50_baseline_ns) or math.isnan(link.p50_incident_ns):
        return f"were {link.calls_baseline:,}, now {link.calls_incident:,}"
    was, now = duration(link.p50_baseline_ns), duration(link.p50_incident_ns)
    return f"took {was} before and {now} now (p50)"


def _more_errors(link: Link) -> bool:
    """Tell whether the share of failing calls rose by more than one in a hundred."""
    before = link.errors_baseline / max(link.calls_baseline, 1)
    return link.errors_incident / max(link.calls_incident, 1) > before + 0.01


def _is_guilty_edge(link: Link, guilty: Candidate) -> bool:
    return guilty.kind == "edge" and (link.caller, link.callee) == guilty.edge


def _is_guilty_node(name: str, guilty: Candidate | None) -> bool:
    return guilty is not None and guilty.kind != "edge" and name == guilty.service


def _widths(links: list[Link], service: str) -> dict[str, float]:
    """Return half of each node's width: by the calls into it, for a root by those out of it."""
    calls: dict[str, int] = {}
    for link in links:
        calls[link.callee] = calls.get(link.callee, 0) + link.calls_incident
    for link in links:
        if link.caller not in calls:
            calls[link.caller] = max(k.calls_incident for k in links if k.caller == link.caller)
    most = max(1, *calls.values())
    return {n: max(_NARROWEST, _WIDEST * math.sqrt(count / most)) for n, count in calls.items()} | (
        {} if service in calls else {service: _NARROWEST}
    )


def _height(layout: Layout) -> int:
    rows = [row for _, row in layout.nodes.values()]
    return round(105 + 84 * (max(rows) - min(rows)))


def _path(link: Link, layout: Layout, widths: dict[str, float]) -> list[tuple[float, float]]:
    """Return the points of an edge from the side of its caller to the side of its callee."""
    ends = (link.caller, link.callee)
    if ends not in layout.routes:
        return []
    points = [(float(x), y) for x, y in layout.routes[ends]]
    towards = 1 if points[-1][0] > points[0][0] else -1
    points[0] = (points[0][0] + towards * widths[link.caller], points[0][1])
    points[-1] = (points[-1][0] - towards * widths[link.callee], points[-1][1])
    return points


def _lines(
    links: list[Link], layout: Layout, widths: dict[str, float], guilty: Candidate | None
) -> list[dict[str, Any]]:
    drawn = []
    for link in links:
        points = _path(link, layout, widths)
        charged = guilty is not None and _is_guilty_edge(link, guilty)
        backward = (link.caller, link.callee) in layout.backward
        colour = GUILTY if charged else NORMAL
        drawn.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [x for x, _ in points],
                "y": [y for _, y in points],
                "line": {
                    "color": colour,
                    "width": 5 if charged else 1.5,
                    "dash": "dot" if backward else "solid",
                },
                "marker": {
                    "symbol": "triangle-left" if backward else "triangle-right",
                    "size": 11 if charged else 8,
                    "color": colour,
                    "opacity": [0] * (len(points) - 1) + [1] if points else [],
                },
                "hovertext": _edge_hover(link),
                "hoverinfo": "text",
            }
        )
    return drawn


def _edge_hover(link: Link) -> str:
    before = _window_said("baseline", link.calls_baseline, link.p50_baseline_ns, link.errors_baseline)
    during = _window_said("incident", link.calls_incident, link.p50_incident_ns, link.errors_incident)
    kind = " (dependency)" if link.dependency else ""
    return f"{label(link.caller, 60)} → {label(link.callee, 60)}{kind}<br>{before}<br>{during}"


def _window_said(window: str, calls: int, p50_ns: float, errors: int) -> str:
    return f"{window}: {calls:,} calls, p50 {_time(p50_ns)}, errors {share(errors, calls)}"


def _time(ns: float) -> str:
    return "–" if math.isnan(ns) else duration(ns)


def _hover(layout: Layout, links: list[Link]) -> dict[str, Any]:
    """Return unseen points on the nodes that answer the mouse."""
    into = {n: sum(k.calls_incident for k in links if k.callee == n) for n in layout.nodes}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _ in layout.nodes.values()],
        "y": [y for _, y in layout.nodes.values()],
        "marker": {"size": 26, "opacity": 0, "color": NORMAL},
        "hovertext": [f"{label(n, 80)}<br>{into[n]:,} calls in the incident window" for n in layout.nodes],
        "hoverinfo": "text",
    }


def _layout(
    links: list[Link], layout: Layout, widths: dict[str, float], guilty: Candidate | None
) -> dict[str, Any]:
    depth = max(x for x, _ in layout.nodes.values())
    rows = [y for points in layout.routes.values() for _, y in points] + [y for _, y in layout.nodes.values()]
    hidden: dict[str, Any] = {"visible": False, "fixedrange": True}
    return {
        "xaxis": hidden | {"range": [-0.5, depth + 0.5]},
        "yaxis": hidden | {"range": [max(rows) + 0.65, min(rows) - 0.55]},
        "shapes": [_node(name, layout, widths, guilty) for name in layout.nodes],
        "annotations": [
            *(_node_label(name, layout, guilty, depth) for name in layout.nodes),
            *(
                _edge_label(link, points, guilty, _scale(links))
                for link in links
                if (points := _path(link, layout, widths))
            ),
        ],
        "margin": {"l": 8, "r": 8, "b": 8},
    }


def _node(name: str, layout: Layout, widths: dict[str, float], guilty: Candidate | None) -> dict[str, Any]:
    x, y = layout.nodes[name]
    charged = _is_guilty_node(name, guilty)
    return {
        "type": "rect",
        "x0": x - widths[name],
        "x1": x + widths[name],
        "y0": y - _HALF_HEIGHT,
        "y1": y + _HALF_HEIGHT,
        "fillcolor": GUILTY if charged else faded(NORMAL, 0.55),
        "line": {"color": TEXT if charged else FAINT, "width": 3 if charged else 1},
    }


def _node_label(name: str, layout: Layout, guilty: Candidate | None, depth: int) -> dict[str, Any]:
    x, y = layout.nodes[name]
    text = label(name, max(8, int(110 / (depth + 1))))
    if _is_guilty_node(name, guilty):
        text = f"<b>{text}</b> ▲ cause"
    return note(text, x, y + _HALF_HEIGHT, yanchor="top", yshift=-2)


def _edge_label(
    link: Link, points: list[tuple[float, float]], guilty: Candidate | None, scale_ns: float
) -> dict[str, Any]:
    (x0, y0), (x1, y1) = points[-2], points[-1]
    text = "<br>".join(line for line in (_change(link, scale_ns), _errors_said(link)) if line)
    if guilty is not None and _is_guilty_edge(link, guilty):
        text = f"<b>{text}</b><br>▼ cause"
    # nearer to the callee, where the edges of one caller have parted
    return note(text, x0 + 0.6 * (x1 - x0), y0 + 0.6 * (y1 - y0), yanchor="bottom", yshift=3)


def _scale(links: list[Link]) -> float:
    return max(
        (p for k in links for p in (k.p50_baseline_ns, k.p50_incident_ns) if not math.isnan(p)), default=0
    )


def _change(link: Link, scale_ns: float) -> str:
    """Say how a median moved; `scale_ns`, the longest median of the graph, tells what is nothing beside it."""
    if math.isnan(link.p50_baseline_ns) or math.isnan(link.p50_incident_ns):
        return f"{link.calls_baseline:,} → {link.calls_incident:,} calls"
    if abs(link.change_ns) < max(0.02 * link.p50_baseline_ns, 0.002 * scale_ns):
        return "± 0"
    return f"{'+' if link.change_ns > 0 else ''}{duration(link.change_ns)}"


def _errors_said(link: Link) -> str:
    part = 100 * link.errors_incident / max(link.calls_incident, 1)
    return f"errors {figures(part, 2)} %" if _more_errors(link) else ""


def _words(title: str, links: list[Link]) -> str:
    parts = [f"{short(k.caller)} → {short(k.callee)} p50 {_change(k, _scale(links))}" for k in links[:12]]
    more = f" and {len(links) - 12} more edges" if len(links) > 12 else ""
    return f"{title}. Change of the median by edge: {', '.join(parts)}{more}."


def _table(links: list[Link]) -> pd.DataFrame:
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
            }
            for k in links
        ]
    )
