"""Tail sampling: spans wait until their trace is whole, then the trace is kept or dropped as one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opslib.lab.collector.rows import Row

_WHOLE_S = 2.5  # after its first span a trace is taken for whole: services send twice a second
_TRACE, _PARENT, _START, _END, _STATUS = 0, 2, 5, 6, 7


@dataclass(slots=True)
class _Trace:
    since_s: float
    rows: list[Row] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)


class TailSampler:
    """Keeps traces whose root took longer than `slower_ms`, or in which a span failed."""

    def __init__(self, slower_ms: float) -> None:
        self.rule = f"tail-sampled: slower than {slower_ms:g} ms, or failed"
        self._slower_ns = round(slower_ms * 1e6)
        self._lock = threading.Lock()
        self._traces: dict[str, _Trace] = {}  # by id

    def add(self, rows: Iterable[Row], requests: Mapping[str, bytes], now_s: float) -> None:
        """Take spans, in the order of the columns, and by trace the requests that forward them."""
        with self._lock:
            for row in rows:
                self._traces.setdefault(str(row[_TRACE]), _Trace(now_s)).rows.append(row)
            for name, request in requests.items():
                self._traces[name].requests.append(request)

    def decided(self, now_s: float) -> list[_Trace]:
        """Return the whole traces that are kept, and forget all whole traces."""
        with self._lock:
            whole = [name for name, trace in self._traces.items() if now_s - trace.since_s >= _WHOLE_S]
            traces = [self._traces.pop(name) for name in whole]
        return [trace for trace in traces if self._keeps(trace.rows)]

    def _keeps(self, spans: list[Row]) -> bool:
        slow = any(s[_PARENT] is None and s[_END] - s[_START] > self._slower_ns for s in spans)
        return slow or any(s[_STATUS] == "ERROR" for s in spans)
