"""HTTP client side of a service: one CLIENT span per call, named peer, W3C context, connections kept alive."""

from __future__ import annotations

import random
from typing import Any

import httpx2
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from opslib.lab.shop.knobs import Knobs
from opslib.lab.shop.telemetry import Telemetry


class UpstreamError(Exception):
    """A service that this one needs answered with an error, late or not at all."""


class Peer:
    """A service to call; safe to use from many threads."""

    def __init__(self, name: str, url: str, telemetry: Telemetry, timeout_s: float = 10.0) -> None:
        address = httpx2.URL(url)
        self._attributes: dict[str, str | int] = {
            "peer.service": name,
            "server.address": address.host,
            "server.port": address.port or 80,
        }
        self._name = name
        self._tracer = telemetry.tracer
        self._propagator = TraceContextTextMapPropagator()
        self._client = httpx2.Client(
            base_url=address,
            timeout=timeout_s,
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=32, max_connections=128, keepalive_expiry=30),
        )

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._client.close()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the peer and return its JSON. Raises UpstreamError for 5xx, time-outs and broken connections."""
        with self._tracer.start_as_current_span(
            f"{method} {path}",
            kind=SpanKind.CLIENT,
            attributes={**self._attributes, "http.request.method": method, "url.path": path},
            record_exception=False,
        ) as span:
            headers: dict[str, str] = {}
            self._propagator.inject(headers)
            try:
                answer = self._client.request(method, path, json=body, headers=headers)
            except httpx2.HTTPError as error:
                span.set_attribute("error.type", type(error).__name__)
                raise UpstreamError(f"{self._name}: {type(error).__name__}") from error
            return self._checked(answer, span)

    def _checked(self, answer: httpx2.Response, span: Span) -> dict[str, Any]:
        span.set_attribute("http.response.status_code", answer.status_code)
        if answer.status_code >= 500:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", str(answer.status_code))
            raise UpstreamError(f"{self._name} answered {answer.status_code}")
        return dict(answer.json())


class Split:
    """Two releases of one service: knob `canary_share` of the calls goes to the newer one, as a mesh routes them."""

    def __init__(self, stable: Peer, canary: Peer, knobs: Knobs) -> None:
        self._stable, self._canary, self._knobs = stable, canary, knobs

    def close(self) -> None:
        """Close the connections to both."""
        self._stable.close()
        self._canary.close()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call one of the two, as `Peer.call`."""
        newer = random.random() < self._knobs.get("canary_share", 0.0)
        return (self._canary if newer else self._stable).call(method, path, body)
