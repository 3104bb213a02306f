"""For whom calls are slow: what slow calls bear more often than normal ones, biggest difference first.

The shares are the verdict's own: of a sample of slow and of normal calls, tested over all values seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.model import ScopeItem
from opslib.core.words import figures
from opslib.core.words import for_whom as said
from opslib.ui.drawing import Drawing, axis, empty, figure, rows_axis
from opslib.ui.facts import NO_CAUSE
from opslib.ui.palette import INCIDENT, NORMAL
from opslib.ui.text import label, short

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "for_whom"
_MOST = 5


def for_whom(inv: Investigation) -> Drawing:
    """Draw the shares of slow and of normal calls that bear each value which sets slow calls apart."""
    verdict = inv.verdict
    service = short(verdict.service)
    if not verdict.scope:
        if verdict.verdict in NO_CAUSE:
            return empty(
                _NAME, f"Slow calls of {service} were not compared", "There is no cause to narrow down."
            )
        return empty(
            _NAME,
            f"Slow calls of {service} have nothing in common that the others lack",
            "No operation, version, tenant, zone, pod or other attribute sets them apart: all are met alike.",
        )
    items = verdict.scope[:_MOST]
    first = items[0]
    title = (
        f"{_name(first)} has {figures(100 * first.share_slow, 2)} % of the slow {service} calls "
        f"and {figures(100 * first.share_normal, 2)} % of the others"
    )
    words = (
        f"{title}. "
        + "; ".join(said(i.attribute, i.value, i.share_slow, i.share_normal) for i in items)
        + "."
    )
    return Drawing(_NAME, title, words, _figure(title, words, items), _table(verdict.scope))


def _name(item: ScopeItem) -> str:
    return f"{short(item.attribute)} {short(item.value)}"


def _figure(title: str, words: str, items: tuple[ScopeItem, ...]) -> dict[str, Any]:
    bars = [
        _bars(items, "others", [i.share_normal for i in items], NORMAL, "/"),
        _bars(items, "slow or failing", [i.share_slow for i in items], INCIDENT, ""),
    ]
    return figure(
        title,
        words,
        bars,
        56 + 52 * len(items),
        xaxis=axis("share of calls, %", range=[0, 128], tickvals=[0, 25, 50, 75, 100]),
        yaxis=rows_axis([label(_name(item), 44) for item in items]),
        barmode="group",
        bargap=0.3,
    )


def _bars(
    items: tuple[ScopeItem, ...], name: str, shares: list[float], colour: str, hatch: str
) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": list(range(len(items))),
        "x": [round(100 * share, 2) for share in shares],
        "marker": {"color": colour, "pattern": {"shape": hatch, "size": 5, "solidity": 0.3}},
        "text": [f"{figures(100 * share, 2)} % of {name}" for share in shares],
        "textposition": "outside",
        "constraintext": "none",
        "cliponaxis": False,
        "hoverinfo": "text",
        "hovertext": [label(said(i.attribute, i.value, i.share_slow, i.share_normal), 200) for i in items],
    }


def _table(items: tuple[ScopeItem, ...]) -> pd.DataFrame:
    columns = ["attribute", "value", "of slow calls, %", "of the others, %"]
    rows = [(i.attribute, i.value, 100 * i.share_slow, 100 * i.share_normal) for i in items]
    return pd.DataFrame(rows, columns=columns)
