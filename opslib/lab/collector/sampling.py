"""Tail sampling: spans wait until their trace is whole, then the trace is kept or dropped as one."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from opslib.lab.collector.rows import Row

_WHOLE_S = 2.5  # after its first span a trace is taken for whole: services send twice a second
_TRACE, _PARENT, _START, _END, _STATUS = 0, 2, 5, 6, 7


class TailSampler:
    """Keeps traces whose root took longer than `slower_ms`, or in which a span failed."""

    def __init__(self, slower_ms: float) -> None:
        self.rule = f"tail-sampled: slower than {slower_ms:g} ms, or failed"
        self._slower_ns = round(slower_ms * 1e6)
        self._lock = threading.Lock()
        self._traces: dict[str, tuple[float, list[Row]]] = {}  # by id: since when, and its spans

    def add(self, rows: Iterable[Row], now_s: float) -> None:
        """Take spans, in the order of the columns."""
        with self._lock:
            for row in rows:
                self._traces.setdefault(str(row[_TRACE]), (now_s, []))[1].append(row)

    def decided(self, now_s: float) -> list[Row]:
        """Return the spans of the whole traces that are kept, and forget all whole traces."""
        with self._lock:
            whole = [name for name, (since_s, _) in self._traces.items() if now_s - since_s >= _WHOLE_S]
            traces = [self._traces.pop(name)[1] for name in whole]
        return [row for spans in traces if self._keeps(spans) for row in spans]

    def _keeps(self, spans: list[Row]) -> bool:
        slow = any(s[_PARENT] is None and s[_END] - s[_START] > self._slower_ns for s in spans)
        return slow or any(s[_STATUS] == "ERROR" for s in spans)
