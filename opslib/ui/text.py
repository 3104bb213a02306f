"""Foreign text on its way to a reader: printable, bounded, escaped for the language it is written into.

`Html` is text that is safe as it stands; whatever is not Html must pass `html` or `identifier` first. Plotly reads a
small HTML of its own in every label (`<b>`, `<a href>`, entities) and TeX between dollar signs, so `label` escapes both;
foreign text is never put into a plotly template, where `%{...}` would be read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from html import escape
from typing import NewType

from opslib.core.words import printable

Html = NewType("Html", str)

ARROW = "→"


def html(text: object, limit: int = 400) -> Html:
    """Escape foreign text for HTML content and quoted attributes."""
    return Html(escape(printable(str(text), limit), quote=True))


def join(parts: Iterable[Html], between: str = "") -> Html:
    """Join safe pieces; `between` is markup of ours."""
    return Html(between.join(parts))


def short(text: str, limit: int = 32) -> str:
    """Shorten in the middle, where identifiers differ least, and keep it printable; not escaped."""
    return printable(text, limit)


def label(text: str, limit: int = 32) -> str:
    """Write foreign text as a plotly label: shortened, its markup and its TeX read as plain characters."""
    return escape(printable(text, limit), quote=False).replace("$", "&#36;")


def identifier(text: str, limit: int = 40) -> Html:
    """Show an identifier shortened in its middle; the whole stands in the hover, and copying copies the whole."""
    whole = printable(text, 400)
    if len(whole) <= limit:
        return Html(f'<span title="{escape(whole)}">{escape(whole)}</span>')
    keep = (limit - 1) // 2
    head, middle, tail = (escape(part) for part in (whole[:keep], whole[keep:-keep], whole[-keep:]))
    return Html(
        f'<span title="{escape(whole)}">{head}<span class="cut">{middle}</span>'
        f'<span class="dots" aria-hidden="true">…</span>{tail}</span>'
    )


def wrapped(text: str, width: int = 78, lines: int = 4) -> str:
    """Write plain text as a plotly label of several lines, broken at blanks; a longer rest ends in an ellipsis."""
    rows = textwrap.wrap(printable(text, 500), width, max_lines=lines, placeholder=" …") or [""]
    return "<br>".join(label(row, width) for row in rows)
