"""The three signals that ask a run to stop; handled only while it runs, and only from the main thread."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

STOP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_signals(stop: Callable[[int], None]) -> Iterator[None]:
    """Call `stop(signum)` at each signal instead of what would happen otherwise.

    A SIGHUP that is ignored already (`nohup`) stays ignored. Elsewhere than in the main thread nothing can be
    installed, and nothing is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [s for s in STOP_SIGNALS if not (s is signal.SIGHUP and signal.getsignal(s) is signal.SIG_IGN)]
    before = {signum: signal.signal(signum, lambda number, _frame: stop(number)) for signum in taken}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler or signal.SIG_DFL)
