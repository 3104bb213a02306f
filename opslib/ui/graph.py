"""Who calls whom inside the calls of a service, left to right, with the guilty element marked.

A node is as wide as it has calls, an edge says how its median changed. Guilt is said by colour, by a thicker line and
by the word `cause`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from opslib.core.model import Candidate
from opslib.ui.drawing import Drawing, empty, figure, note
from opslib.ui.facts import culprit
from opslib.ui.fold import Link, fold, links_of
from opslib.ui.graph_words import (
    change,
    edge_hover,
    errors_said,
    finding,
    in_words,
    is_guilty_edge,
    longest_ns,
    table,
)
from opslib.ui.layers import Layout, layered
from opslib.ui.palette import FAINT, GUILTY, NORMAL, TEXT, faded
from opslib.ui.text import label, short

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "call_graph"
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
    words = in_words(title, links)
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
        table(links),
    )


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
        charged = guilty is not None and is_guilty_edge(link, guilty)
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
                "hovertext": edge_hover(link),
                "hoverinfo": "text",
            }
        )
    return drawn


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
                _edge_label(link, points, guilty, longest_ns(links))
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
    link: Link, points: list[tuple[float, float]], guilty: Candidate | None, longest: float
) -> dict[str, Any]:
    (x0, y0), (x1, y1) = points[-2], points[-1]
    text = "<br>".join(line for line in (change(link, longest), errors_said(link)) if line)
    if guilty is not None and is_guilty_edge(link, guilty):
        text = f"<b>{text}</b><br>▼ cause"
    # nearer to the callee, where the edges of one caller have parted
    return note(text, x0 + 0.6 * (x1 - x0), y0 + 0.6 * (y1 - y0), yanchor="bottom", yshift=3)
