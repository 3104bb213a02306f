"""HTTP client side of a service: one CLIENT span per attempt, named peer, W3C context, connections kept alive.

What broke off is tried again only where that cannot count twice: a GET, or a call that carries an idempotency key.
"""

from __future__ import annotations

import random
import time
from typing import Any

import httpx2
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from opslib.lab.shop.knobs import Knobs
from opslib.lab.shop.telemetry import Telemetry

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_BROKEN = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.ReadError,
    httpx2.WriteError,
    httpx2.RemoteProtocolError,
)


class UpstreamError(Exception):
    """A service that this one needs answered with an error, late or not at all."""


class BrokenError(UpstreamError):
    """Nobody answered: the connection was refused or broke off, or nobody was there to take the call."""


class Peer:
    """A service to call; safe to use from many threads. `proxy` resolves names where the system does not."""

    def __init__(
        self,
        name: str,
        url: str,
        telemetry: Telemetry,
        *,
        timeout_s: float = 10.0,
        attempts: int = 1,
        proxy: str | None = None,
    ) -> None:
        address = httpx2.URL(url)
        self._attributes: dict[str, str | int] = {
            "peer.service": name,
            "server.address": address.host,
            "server.port": address.port or 80,
        }
        self._name, self._attempts = name, attempts
        self._tracer = telemetry.tracer
        self._propagator = TraceContextTextMapPropagator()
        self._client = httpx2.Client(
            base_url=address,
            timeout=timeout_s,
            trust_env=False,
            proxy=proxy,
            limits=httpx2.Limits(max_keepalive_connections=32, max_connections=128, keepalive_expiry=30),
        )

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._client.close()

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> dict[str, Any]:
        """Call the peer and return its JSON. Raises UpstreamError for 5xx, time-outs and broken connections."""
        for attempt in range(1, self._attempts if key or method == "GET" else 1):
            try:
                return self._once(method, path, body, key)
            except BrokenError:
                time.sleep(pause_s(attempt))
        return self._once(method, path, body, key)

    def _once(self, method: str, path: str, body: dict[str, Any] | None, key: str) -> dict[str, Any]:
        with self._tracer.start_as_current_span(
            f"{method} {path}",
            kind=SpanKind.CLIENT,
            attributes={**self._attributes, "http.request.method": method, "url.path": path},
            record_exception=False,
        ) as span:
            headers = {"Idempotency-Key": key} if key else {}
            self._propagator.inject(headers)
            try:
                answer = self._client.request(method, path, json=body, headers=headers)
            except httpx2.HTTPError as error:
                span.set_attribute("error.type", type(error).__name__)
                kind = BrokenError if isinstance(error, _BROKEN) else UpstreamError
                raise kind(f"{self._name}: {type(error).__name__}") from error
            return self._checked(answer, span)

    def _checked(self, answer: httpx2.Response, span: Span) -> dict[str, Any]:
        span.set_attribute("http.response.status_code", answer.status_code)
        if answer.status_code >= 500:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", str(answer.status_code))
            kind = BrokenError if answer.status_code == 503 else UpstreamError
            raise kind(f"{self._name} answered {answer.status_code}")
        return dict(answer.json())


def pause_s(attempt: int) -> float:
    """Return how long to wait after a broken attempt: 50 ms, doubled each time up to 1 s, up to half of it more."""
    return float(min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S) * random.uniform(1, 1.5))


class Split:
    """Two releases of one service: knob `canary_share` of the calls goes to the newer one, as a mesh routes them."""

    def __init__(self, stable: Peer, canary: Peer, knobs: Knobs) -> None:
        self._stable, self._canary, self._knobs = stable, canary, knobs

    def close(self) -> None:
        """Close the connections to both."""
        self._stable.close()
        self._canary.close()

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> dict[str, Any]:
        """Call one of the two, as `Peer.call`."""
        newer = random.random() < self._knobs.get("canary_share", 0.0)
        return (self._canary if newer else self._stable).call(method, path, body, key=key)
