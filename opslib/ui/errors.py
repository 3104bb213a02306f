"""In a notebook an error of the kit is a few lines with what to do next, not a traceback; the cell fails all the same.

IPython asks an exception for `_render_traceback_`; what it returns takes the traceback's place, while `ename` and
`evalue` stay, so runners still see which error ended the cell. Errors of others keep their traceback.
"""

from __future__ import annotations

import sys

from opslib.core.errors import OpslibError
from opslib.core.settings import Settings
from opslib.core.words import printable

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def install(settings: Settings | None = None) -> bool:
    """Show errors of the kit as boxes from now on; not where OPSLIB_DEBUG asks for tracebacks. Tells whether it does."""
    if (settings or Settings.from_environ()).debug:
        if "_render_traceback_" in vars(OpslibError):
            delattr(OpslibError, "_render_traceback_")
        return False
    setattr(OpslibError, "_render_traceback_", box_lines)  # noqa: B010 - IPython's protocol, none of the class's own
    return True


def box_lines(error: OpslibError) -> list[str]:
    """Return what is shown for an error: its message, the next step, and its kind."""
    lines = [f"{_BOLD}{printable(str(error), 2000)}{_PLAIN}"]
    if error.hint:
        lines.append(f"What to do: {printable(error.hint, 2000)}")
    return [*lines, f"({type(error).__name__})"]


def in_ipython() -> bool:
    """Tell whether IPython runs, without loading it."""
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None
