"""Progress of anything that takes longer than two seconds: one display, updated in place, and gone to one line at the end.

Work that is quicker leaves no trace. The work itself stays in its own thread; only the display is moved from another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opslib.core.clock import Clock, SystemClock
from opslib.core.words import duration
from opslib.ui.errors import in_ipython
from opslib.ui.tables import section
from opslib.ui.text import Html, html

PATIENCE_S = 2.0
TICK_S = 1.0

Show = Callable[[str], None]


@contextmanager
def progress(
    label: str,
    *,
    expected_s: float = 0,
    show: Show | None = None,
    clock: Clock | None = None,
    patience_s: float = PATIENCE_S,
    tick_s: float = TICK_S,
) -> Iterator[None]:
    """Say that `label` is under way once it has taken `patience_s`, then every `tick_s`, and how long it took.

    `show` takes each line; by default one output of the notebook cell, elsewhere nothing.
    """
    say, time = show or live_line(), clock or SystemClock()
    began, over, shown = time.monotonic_s(), threading.Event(), threading.Event()

    def watch() -> None:
        wait = patience_s
        while not over.wait(wait):
            shown.set()
            wait = tick_s
            say(_line(label, time.monotonic_s() - began, expected_s))

    watcher = threading.Thread(target=watch, name="opslib-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        if shown.is_set():
            say(f"{label}: took {duration((time.monotonic_s() - began) * 1e9)}")


def _line(label: str, elapsed_s: float, expected_s: float) -> str:
    about = f" of about {expected_s:.0f} s" if expected_s else ""
    return f"{label}: {elapsed_s:.0f} s{about} …"


def live_line() -> Show:
    """Return what shows a line in the place of the one before: one output of this cell, made at the first line."""
    if not in_ipython():
        return lambda _: None
    from IPython.display import display  # noqa: PLC0415 - only where somebody looks

    handles: list[Any] = []

    def show(line: str) -> None:
        bundle = {"text/html": section(Html(f"<p>{html(line)}</p>")), "text/plain": line}
        if handles:
            handles[0].update(bundle, raw=True)
        else:
            handles.append(display(bundle, raw=True, display_id=True))

    return show
