"""How a service ends in a container: it goes on serving until no call is left, then closes.

Told to end, it is not ready any more, answers what still comes, and says at each answer that the connection ends with
it. It closes when nothing has been in flight for a moment, or its time is over. Now and then a healthy service ends a
connection too, so that callers with long connections find replicas that are new.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_QUIET_S = 0.3
_CALLS_PER_CONNECTION = 32


class Drain:
    """Wraps an app; `begin` once, then ask `is_done`."""

    def __init__(self, app: ASGIApp, longest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._longest_s, self._clock = app, longest_s, clock
        self._in_flight = 0
        self._quiet_since_s = clock()
        self._until_s: float | None = None

    def begin(self) -> None:
        self._until_s = self._clock() + self._longest_s
        self._quiet_since_s = self._clock()

    @property
    def has_begun(self) -> bool:
        return self._until_s is not None

    def is_done(self) -> bool:
        """Whether it is time to close."""
        if self._until_s is None:
            return False
        quiet = not self._in_flight and self._clock() - self._quiet_since_s >= _QUIET_S
        return quiet or self._clock() >= self._until_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return
        if self.has_begun and scope["path"] == "/readyz":
            await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return

        async def marked(message: Message) -> None:
            last = self.has_begun or random.random() * _CALLS_PER_CONNECTION < 1
            if message["type"] == "http.response.start" and last:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        self._in_flight += 1
        try:
            await self._app(scope, receive, marked)
        finally:
            self._in_flight -= 1
            self._quiet_since_s = self._clock()


class DrainingServer(uvicorn.Server):
    """A server that ends by its drain when it is told to end; told twice, at once."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._drain.has_begun:
            self._drain.begin()
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> Any:
        if self._drain.is_done():
            self.should_exit = True
        return await super().on_tick(counter)
