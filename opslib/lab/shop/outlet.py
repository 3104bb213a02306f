"""Where a service's finished spans leave it: by the clock of its host, and not at all while it is not instrumented.

Knob `clock_offset_ms`: how far the host's clock is ahead. Knob `spans` 0: no span leaves; the context goes on.
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from opslib.lab.shop.knobs import Knobs

_NS_PER_MS = 1_000_000


def clock_offset_ns(knobs: Knobs) -> int:
    """Return how far the clock of this host is ahead."""
    return round(knobs.get("clock_offset_ms", 0.0) * _NS_PER_MS)


class Outlet(SpanProcessor):
    """Hands finished spans on to another processor."""

    def __init__(self, following: SpanProcessor, knobs: Knobs) -> None:
        self._following, self._knobs = following, knobs

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._following.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if not self._knobs.get("spans", 1.0):
            return
        offset_ns = clock_offset_ns(self._knobs)
        self._following.on_end(_at(span, offset_ns) if offset_ns else span)

    def shutdown(self) -> None:
        self._following.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._following.force_flush(timeout_millis)


def _at(span: ReadableSpan, offset_ns: int) -> ReadableSpan:
    """Return the span as a clock that is `offset_ns` ahead times it."""
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        span.attributes,
        span.events,
        span.links,
        span.kind,
        status=span.status,
        start_time=(span.start_time or 0) + offset_ns,
        end_time=(span.end_time or 0) + offset_ns,
        instrumentation_scope=span.instrumentation_scope,
    )
