"""HTTP server side of a service: the span starts when the request is read, the handler works on a pool thread.

A failed request is logged once per service, with the exception's type and the trace's ids. `/healthz` and `/readyz`
leave no telemetry.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opslib.lab.shop.client import UpstreamError
from opslib.lab.shop.telemetry import Telemetry

Handler = Callable[[dict[str, Any]], dict[str, Any]]
_PROBES = ("/healthz", "/readyz")
_MAX_BODY = 64 * 1024
_LONGEST_KEY = 200


def application(routes: Mapping[str, Handler], telemetry: Telemetry) -> ASGIApp:
    """Return the ASGI app of a service; `routes` maps `METHOD /path` to a handler of the decoded JSON body."""
    table = [_route(name, handler, telemetry) for name, handler in routes.items()]
    probes = [Route(path, probe, methods=["GET"]) for path in _PROBES]
    return ServerSpans(Starlette(routes=[*table, *probes]), telemetry)


async def probe(_: Request) -> Response:
    """Answer a probe on the event loop, so that it answers when every pool thread is busy too."""
    return PlainTextResponse("ok")


def _route(name: str, handler: Handler, telemetry: Telemetry) -> Route:
    method, _, path = name.partition(" ")

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if len(body) > _MAX_BODY:
            return JSONResponse({"error": "body too large"}, 413)
        try:
            values = json.loads(body or b"{}")
        except ValueError:
            return JSONResponse({"error": "body is no JSON"}, 400)
        key = request.headers.get("idempotency-key", "")
        if key and isinstance(values, dict):
            values["idempotency_key"] = key[:_LONGEST_KEY]
        return await run_in_threadpool(_answer, handler, values, telemetry)

    return Route(path, endpoint, methods=[method])


def _answer(handler: Handler, values: Any, telemetry: Telemetry) -> Response:
    if isinstance(values, dict) and "tenant" in values:
        get_current_span().set_attribute("tenant.id", str(values["tenant"]))
    try:
        return JSONResponse(handler(values))
    except UpstreamError as error:
        telemetry.error(str(error), error)
        return JSONResponse({"error": str(error)}, 502)
    except Exception as error:  # noqa: BLE001 - a server answers 500 whatever its handler raised
        telemetry.error(f"unhandled {type(error).__name__}: {error}", error)
        return JSONResponse({"error": "internal error"}, 500)


class ServerSpans:
    """Wraps an app: one SERVER span and one sample of http.server.request.duration per request."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._tracer = telemetry.tracer
        self._propagator = TraceContextTextMapPropagator()
        self._duration = telemetry.duration_histogram(
            "http.server.request.duration", "Duration of HTTP server requests"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        begin_s = time.perf_counter()
        attributes = {"http.request.method": scope["method"], "http.route": scope["path"]}
        with self._tracer.start_as_current_span(
            f"{scope['method']} {scope['path']}",
            context=self._parent(scope),
            kind=SpanKind.SERVER,
            attributes={**attributes, "url.path": scope["path"], "url.scheme": "http"},
            end_on_exit=False,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def done(status: int) -> None:
                if span.is_recording():
                    _end(span, status)
                    taken_s = time.perf_counter() - begin_s
                    self._duration.record(taken_s, {**attributes, "http.response.status_code": status})

            await self._served(scope, receive, send, done)

    async def _served(self, scope: Scope, receive: Receive, send: Send, done: Callable[[int], None]) -> None:
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                # Before the last byte leaves: whoever waits for it cannot be done before this span is.
                done(status)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            done(status)

    def _parent(self, scope: Scope) -> Context:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return self._propagator.extract(headers, Context())


def _end(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", str(status))
    span.end()
