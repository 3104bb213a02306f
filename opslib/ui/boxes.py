"""A message in a box: what went wrong and what to do next. No traceback; what is unforeseen names only its kind."""

from __future__ import annotations

from opslib.core.errors import OpslibError
from opslib.ui.text import Html, html


def error_box(error: Exception) -> Html:
    """Return an error as a box with its hint."""
    if isinstance(error, OpslibError):
        message, hint = str(error), error.hint
    else:
        message = f"{type(error).__name__}: {error}"
        hint = "this was not foreseen; with OPSLIB_DEBUG=1 the notebook's cells show where it happened"
    return message_box(message, hint)


def message_box(message: str, hint: str = "") -> Html:
    """Return a message and a hint as a box that a screen reader announces."""
    more = f'<div class="hint">What to do: {html(hint, 1000)}</div>' if hint else ""
    return Html(f'<div class="box" role="alert"><b>{html(message, 2000)}</b>{more}</div>')
