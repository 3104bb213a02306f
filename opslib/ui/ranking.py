"""The candidates as bars, to be clicked: as long as their score, the culprit in its colour and named so."""

from __future__ import annotations

from typing import Any

from opslib.core.model import Verdict
from opslib.core.words import figures
from opslib.ui.drawing import axis, figure, rows_axis
from opslib.ui.facts import culprit, place
from opslib.ui.palette import CLEAR, GUILTY, NORMAL
from opslib.ui.text import label

_NO_BUTTONS = ["toimage", "zoom", "pan", "select", "lasso", "zoomin", "zoomout", "autoscale", "resetscale"]


def ranking(verdict: Verdict) -> dict[str, Any]:
    """Return the figure; bar i is `verdict.candidates[i]`."""
    charged, ranked = culprit(verdict), verdict.candidates
    title = "Candidates by score: click one to open its evidence"
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(ranked))),
        "x": [c.score for c in ranked],
        "marker": {"color": [GUILTY if c is charged else NORMAL for c in ranked]},
        "text": [figures(c.score, 2) + ("  ◀ cause" if c is charged else "") for c in ranked],
        "textposition": "outside",
        "constraintext": "none",
        "textfont": {"size": 12},
        "cliponaxis": False,
        "hovertext": [f"{label(place(c), 100)}, confidence {c.confidence}" for c in ranked],
        "hoverinfo": "text",
    }
    return figure(
        title,
        title,
        [bars],
        44 + 28 * len(ranked),
        xaxis=axis("score", range=[0, max((c.score for c in ranked), default=1) * 1.25 or 1]),
        yaxis=rows_axis([f"{c.rank}. {label(place(c), 60)}" for c in ranked]),
        bargap=0.35,
        modebar={"remove": _NO_BUTTONS, "bgcolor": CLEAR},
    )
