"""Tables that a screen reader can read: a caption, column heads with a scope, ten rows open and the rest folded.

Cells are `Html`, so nothing reaches a table unescaped. A table shows what it is given in the order given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from opslib.core.words import figures, printable
from opslib.ui.palette import BADGES, NORMAL, STYLE
from opslib.ui.text import Html, html, identifier, join

OPEN_ROWS = 10
MAX_ROWS = 500
NOTHING = Html("")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that shows itself in a notebook; `frame` holds its rows as data, `words` what it says in one sentence."""

    caption: str
    body: Html
    words: str
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)

    def _repr_html_(self) -> str:
        return section(self.body)

    def __repr__(self) -> str:
        lines = [printable(self.words, 2000)]
        if len(self.frame):
            lines.append(plain(self.frame))
        return "\n".join(lines)


def section(body: Html) -> str:
    """Wrap markup of ours with the style that every output of the kit carries."""
    return f'{STYLE}<div class="opslib">{body}</div>'


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Html]],
    *,
    caption: Html = NOTHING,
    numbers: frozenset[int] = frozenset(),
    row_heads: bool = True,
) -> Html:
    """Lay out rows under heads; columns in `numbers` are aligned right; rows after the tenth are folded."""
    shown, folded = rows[:OPEN_ROWS], rows[OPEN_ROWS:MAX_ROWS]
    body = _grid(heads, shown, caption, numbers, row_heads)
    if not folded:
        return body
    left = len(rows) - OPEN_ROWS - len(folded)
    more = f"{len(folded)} more" + (f" ({left:,} beyond them are not shown)" if left else "")
    return Html(
        f"{body}<details><summary>{more}</summary>{_grid(heads, folded, Html(''), numbers, row_heads)}</details>"
    )


def _grid(
    heads: Sequence[str],
    rows: Sequence[Sequence[Html]],
    caption: Html,
    numbers: frozenset[int],
    row_heads: bool,  # noqa: FBT001 - inner helper, always passed on
) -> Html:
    def kind(column: int) -> str:
        return ' class="num"' if column in numbers else ""

    top = "".join(f'<th scope="col"{kind(i)}>{html(head)}</th>' for i, head in enumerate(heads))
    lines = []
    for row in rows:
        cells = [
            f'<th scope="row"{kind(i)} style="font-weight:400">{cell}</th>'
            if row_heads and i == 0
            else f"<td{kind(i)}>{cell}</td>"
            for i, cell in enumerate(row)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<caption>{caption}</caption>" if caption else ""
    return Html(
        f'<div class="scroll"><table>{title}<thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def frame_table(frame: pd.DataFrame, *, caption: str = "") -> Html:
    """Lay out a frame; numbers with their own digits, texts as identifiers."""
    numbers = frozenset(
        i for i, name in enumerate(frame.columns) if pd.api.types.is_numeric_dtype(frame[name].dtype)
    )
    rows = [
        [_cell(value) for value in row] for row in frame.head(MAX_ROWS).itertuples(index=False, name=None)
    ]
    cut = len(frame) - len(rows)
    note = Html(f"<p>{cut:,} more rows are not shown.</p>") if cut > 0 else Html("")
    return join((table(list(frame.columns), rows, caption=html(caption), numbers=numbers), note))


def _cell(value: Any) -> Html:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN
        return Html("–")
    if isinstance(value, float):
        return html(figures(value, 4))
    if isinstance(value, int):
        return Html(f"{value:,}")
    return identifier(str(value), 60)


def plain(frame: pd.DataFrame, rows: int = OPEN_ROWS) -> str:
    """Lay out the first rows of a frame for a terminal, foreign text made printable."""
    cells = [[printable(str(name), 40).upper() for name in frame.columns]]
    cells += [
        ["-" if value is None else _plain(value) for value in row]
        for row in frame.head(rows).itertuples(index=False, name=None)
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(frame.columns))]
    lines = ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*lines, f"({len(frame) - rows} more)"] if len(frame) > rows else lines)


def _plain(value: Any) -> str:
    return figures(value, 4) if isinstance(value, float) else printable(str(value), 60)


def badge(word: str) -> Html:
    """Return a word on its colour; the word alone says all."""
    colour = BADGES.get(word.replace("_", " "), NORMAL)
    return Html(
        f'<span class="badge" style="background:{colour};color:#000">{html(word.replace("_", " "))}</span>'
    )


def bar(share: float, colour: str = NORMAL) -> Html:
    """Return a bar in a cell, `share` 0 to 1 of four ems wide."""
    width = 4 * min(1.0, max(0.0, share))
    return Html(
        f'<span class="bar" aria-hidden="true" style="width:{width:.2f}em;background:{colour}"></span>'
    )


def details(summary: str, body: Html) -> Html:
    """Fold a body under a line that opens it, by click or key."""
    return Html(f"<details><summary>{html(summary)}</summary>{body}</details>")
