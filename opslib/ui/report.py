"""Figures in a page that opens offline: plotly.js once, and each figure as a piece of HTML that needs nothing else.

A piece holds no URL, no identifier that could be met twice, and its JSON cannot end its script. It draws when the page
has plotly.js, and says its finding in words where scripts do not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opslib.ui.drawing import CONFIG
from opslib.ui.text import html

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_DRAW = (
    "(function(s){var f=JSON.parse(s.previousElementSibling.textContent),"
    "d=s.previousElementSibling.previousElementSibling;"
    "if(!window.Plotly)return;d.textContent='';"
    # on a phone the title's lines are longer than the figure is wide; as text of the page they break where they must
    "var l=f.layout,m=l.meta&&l.meta.opslib;if(m&&l.title&&l.margin&&d.clientWidth<600){"
    "var c=document.createElement('figcaption');c.textContent=m.title;d.before(c);"
    "l.height-=l.margin.t-34;l.margin.t=34;l.title.text='';d.style.height=l.height+'px'}"
    "Plotly.newPlot(d,f.data,l,f.config)})(document.currentScript)"
)


def plotly_js() -> str:
    """Return plotly.js itself, 4.7 MB, to be put into a page once, before the first figure."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - only a report needs it

    text: str = get_plotlyjs()
    return text.replace("</script", "<\\/script")


def figure_html(figure_json: Mapping[str, Any]) -> str:
    """Return a figure as HTML: a labelled box, its data, and the script that draws it with the page's plotly.js."""
    layout = figure_json.get("layout") or {}
    content = {
        "data": figure_json.get("data") or [],
        "layout": layout,
        "config": CONFIG | {"responsive": True},
    }
    title, words = _said(layout)
    height = layout.get("height")
    room = f' style="height:{int(height)}px"' if isinstance(height, int | float) and 0 < height < 5000 else ""
    return (
        f'<figure class="opslib-figure" role="group" aria-label="{html(title, 300)}" style="margin:0 0 8px">'
        f'<div role="img" aria-label="{html(words, 2000)}"{room}>{html(words, 2000)}</div>'
        f'<script type="application/json">{_json(content)}</script><script>{_DRAW}</script></figure>'
    )


def _said(layout: Mapping[str, Any]) -> tuple[str, str]:
    """Return title and text alternative; a figure of others is known by its title alone."""
    meta = layout.get("meta")
    ours = meta.get("opslib") if isinstance(meta, Mapping) else None
    if isinstance(ours, Mapping):
        return str(ours.get("title", "")), str(ours.get("words", ""))
    title = layout.get("title")
    text = title.get("text") if isinstance(title, Mapping) else title
    said = str(text or "a figure without a title")
    return said, said


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return "".join(_ESCAPES.get(character, character) for character in text)
