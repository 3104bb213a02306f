"""What a person sees while a run goes on: one line that updates on a terminal, one line per cell elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
from typing import Protocol, TextIO

from opslib.core.clock import Clock, SystemClock
from opslib.core.words import duration, printable

_QUIET_S = 30  # headless: how long a cell may run before a line says that it still does
_FRAME_S = 0.5


class LiveLine(Protocol):
    """Told by the runner; `tick` may come from another thread, so an implementation locks."""

    def cell_started(self, step: int, steps: int, title: str) -> None: ...

    def cell_ended(self, status: str, duration_s: float) -> None: ...

    def note(self, text: str) -> None: ...

    def tick(self) -> None: ...


class PlainLine:
    """Writes `[3/9] look: latency over time … 2.1 s` to a stream; `updating` redraws the line while a cell runs."""

    def __init__(self, stream: TextIO, clock: Clock, *, updating: bool, width: int = 100) -> None:
        self._stream, self._clock, self._updating, self._width = stream, clock, updating, width
        self._lock = threading.Lock()
        self._cell = ""
        self._since_s = self._drawn_s = 0.0

    def cell_started(self, step: int, steps: int, title: str) -> None:
        with self._lock:
            self._cell = f"[{step}/{steps}] {printable(title, 72)}"
            self._since_s = self._drawn_s = self._clock.monotonic_s()
            if self._updating:
                self._draw(f"{self._cell} …")

    def cell_ended(self, status: str, duration_s: float) -> None:
        with self._lock:
            end = "" if status == "ok" else f"  {status.replace('_', ' ')}"
            self._line(f"{self._cell} … {duration(duration_s * 1e9)}{end}")
            self._cell = ""

    def note(self, text: str) -> None:
        with self._lock:
            self._line(printable(text, 400))

    def tick(self) -> None:
        with self._lock:
            if not self._cell:
                return
            now_s = self._clock.monotonic_s()
            if now_s - self._drawn_s < (_FRAME_S if self._updating else _QUIET_S):
                return
            self._drawn_s = now_s
            text = f"{self._cell} … {duration((now_s - self._since_s) * 1e9)}"
            if self._updating:
                self._draw(text)
            else:
                self._line(f"{text}, still running")

    def _draw(self, text: str) -> None:
        self._stream.write(f"\r\033[K{text[: self._width]}")
        self._stream.flush()

    def _line(self, text: str) -> None:
        self._stream.write(f"\r\033[K{text}\n" if self._updating else f"{text}\n")
        self._stream.flush()


def stderr_line() -> PlainLine:
    """Return the live line on standard error, where progress belongs: updating where that is a terminal."""
    width = shutil.get_terminal_size().columns - 1
    return PlainLine(sys.stderr, SystemClock(), updating=sys.stderr.isatty(), width=width)
