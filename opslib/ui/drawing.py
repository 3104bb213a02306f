"""A figure with what it says: plotly JSON, the finding as its title, the same in words, and its data as a table.

The JSON is plain data (no numpy, no NaN) of bounded size, transparent, with texts in the kit's font family, and carries
its text alternative in `layout.meta`, so that whoever draws it later can say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from opslib.core.words import printable
from opslib.ui.palette import CLEAR, FAINT, FONT, GRID, TEXT
from opslib.ui.tables import details, frame_table, plain, section
from opslib.ui.text import Html, html, wrapped

PLOTLY_MIME = "application/vnd.plotly.v1+json"
# Not `responsive`: JupyterLab resizes figures itself, and plotly's own way makes them 100 % of a box without a height.
CONFIG = {"displaylogo": False, "typesetMath": False}
_BUTTONS_AWAY = ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]
_MODEBAR = {
    "bgcolor": CLEAR,
    "color": FAINT,
    "activecolor": TEXT,
    "orientation": "v",
    "remove": _BUTTONS_AWAY,
}
_TITLE = {
    "x": 0,
    "xref": "container",
    "xanchor": "left",
    "y": 1,
    "yref": "container",
    "yanchor": "top",
    "font": {"size": 15},
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure. `title` is the finding, `words` the finding and its numbers, `table` the data drawn."""

    name: str
    title: str
    words: str
    figure: dict[str, Any]
    table: pd.DataFrame
    note: Html = field(default=Html(""))  # stands open under the figure

    @property
    def below(self) -> Html:
        """What stands under the figure: its note, then words and data one click away."""
        body = Html(f"<p>{html(self.words, 2000)}</p>{frame_table(self.table)}")
        return Html(f"{self.note}{details('The same in words and as a table', body)}")

    def plotly(self) -> Any:
        """Return the figure as `plotly.graph_objects.Figure`, to change or to export."""
        from plotly import graph_objects  # noqa: PLC0415 - a quarter of a second, and only for who asks

        return graph_objects.Figure(data=self.figure["data"], layout=self.figure["layout"])

    def bundle(self) -> dict[str, Any]:
        """Return the figure for front ends that draw plotly JSON, in words for all others."""
        return {PLOTLY_MIME: self.figure, "text/plain": printable(self.words, 2000)}

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - only where somebody looks

        display(self.bundle(), raw=True)
        display({"text/html": section(self.below), "text/plain": plain(self.table)}, raw=True)

    def __repr__(self) -> str:
        return printable(self.words, 2000)


def figure(
    title: str, words: str, data: Sequence[dict[str, Any]], height: int, **layout: Any
) -> dict[str, Any]:
    """Return plotly JSON with the kit's look; `title` and `words` are plain text and escaped here."""
    heading = wrapped(title)
    lines = heading.count("<br>") + 1
    top = 34 + 20 * lines
    base: dict[str, Any] = {
        # plotly anchors a title by its last line, so the others need room above it
        "title": _TITLE | {"text": heading, "pad": {"t": 8 + 20 * (lines - 1), "l": 8}},
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "height": height + top,
        "margin": {"l": 64, "r": 76, "t": top, "b": 48},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "namelength": -1},
        "modebar": _MODEBAR,
        "meta": {"opslib": {"title": printable(title, 300), "words": printable(words, 2000)}},
    }
    margin = {**base["margin"], **layout.pop("margin", {})}
    return {"data": list(data), "layout": base | layout | {"margin": margin}, "config": dict(CONFIG)}


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis in the kit's look; `title` is ours or already escaped."""
    look: dict[str, Any] = {"gridcolor": GRID, "linecolor": FAINT, "zerolinecolor": FAINT, "automargin": True}
    if title:
        look["title"] = {"text": title, "standoff": 8}
    return look | more


def rows_axis(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """Return a vertical axis with one row per name, the first on top; names are already escaped."""
    look: dict[str, Any] = {"showgrid": False, "zeroline": False, "range": [len(names) - 0.5, -0.5]}
    return axis(tickvals=list(range(len(names))), ticktext=list(names), **(look | more))


def note(text: str, x: float | str, y: float | str, **more: Any) -> dict[str, Any]:
    """Return a text annotation without an arrow; `text` is ours or already escaped."""
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": {"size": 12}} | more


def empty(name: str, title: str, why: str) -> Drawing:
    """Return a figure that shows nothing and says why."""
    words = f"{title}. {why}"
    hidden = {"visible": False, "range": [0, 1]}
    drawn = figure(
        title,
        words,
        [{"type": "scatter", "x": [], "y": []}],
        90,
        xaxis=hidden,
        yaxis=hidden,
        annotations=[note(wrapped(why, 100), 0.5, 0.5, xref="paper", yref="paper")],
    )
    return Drawing(name, title, words, drawn, pd.DataFrame({"why": [why]}))
