"""The load's process: sends each request when it is due, over connections of its own, and reports.

It makes no spans: the storefront is the root. It pauses by itself when nobody has told it to go on for its time.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

from opslib.core.windows import NS_PER_S
from opslib.lab.control import Address, ControlServer
from opslib.lab.load.client import HttpClient
from opslib.lab.load.report import Call, Report
from opslib.lab.load.schedule import ROUTES, Arrival, arrivals, basket

_MAX_IN_FLIGHT = 1000  # more waiting than this are counted as failed without being sent
_WARM_UP_CALLS = 10
# A parent that is not sampled: the services make no spans of what the warm-up does.
_UNSAMPLED = {"traceparent": f"00-{'5e' * 16}-{'5e' * 8}-00"}


class Load:
    """Drives the front door of one shop; all state belongs to one event loop."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._client = HttpClient(*settings["front_door"])
        self._report = Report()
        self._start_ns = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._begin = asyncio.Event()
        self._until_ns = 0

    def summary(self) -> dict[str, Any]:
        """Return the report; empty before the start."""
        return self._report.summary(time.monotonic_ns(), self._start_ns) if self._start_ns else {}

    async def go_on(self) -> dict[str, Any]:
        """Let the load begin, or go on, for its whole time from now."""
        self._until_ns = time.monotonic_ns() + round(self._settings["duration_s"] * NS_PER_S)
        self._begin.set()
        return {"going": True}

    async def warm_up(self) -> dict[str, Any]:
        """Call every route a few times, side by side, and leave no span; return how many calls failed."""
        failed = 0
        for number in range(_WARM_UP_CALLS):
            calls = [self._send(Arrival(0, route, -number - 1), _UNSAMPLED) for route in ROUTES]
            failed += sum(not ok for ok in await asyncio.gather(*calls))
        return {"failed": failed}

    async def run(self) -> None:
        """Wait for the start, then send until the time is over."""
        await self._begin.wait()
        self._start_ns = time.monotonic_ns()
        for arrival in arrivals(self._settings["rates"], self._settings["seed"]):
            due_ns = self._start_ns + arrival.due_ns
            if due_ns > self._until_ns:
                return
            wait_s = (due_ns - time.monotonic_ns()) / NS_PER_S
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._report.offered(arrival.route, due_ns)
            self._launch(arrival, due_ns)

    async def drained(self) -> None:
        """Wait until every request that was sent has ended, and close."""
        await asyncio.gather(*self._in_flight)
        self._client.close()

    def _launch(self, arrival: Arrival, due_ns: int) -> None:
        if len(self._in_flight) >= _MAX_IN_FLIGHT:
            self._report.ended(Call(arrival.route, due_ns, time.monotonic_ns(), ok=False))
            return
        task = asyncio.get_running_loop().create_task(self._call(arrival, due_ns))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _call(self, arrival: Arrival, due_ns: int) -> None:
        ok = await self._send(arrival, {})
        self._report.ended(Call(arrival.route, due_ns, time.monotonic_ns(), ok))

    async def _send(self, arrival: Arrival, headers: dict[str, str]) -> bool:
        route = ROUTES[arrival.route]
        body = b""
        if route.method == "POST":
            body = json.dumps(basket(self._settings["seed"], arrival.number)).encode()
        with suppress(OSError, EOFError, ValueError, IndexError):
            return await self._client.request(route.method, route.path, body, headers) < 500
        return False


def main(settings: dict[str, Any]) -> None:
    """Be the load until its time is over or it is ended."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(settings))


async def _main(settings: dict[str, Any]) -> None:
    load = Load(settings)
    loop = asyncio.get_running_loop()

    def on_loop(command: Any) -> dict[str, Any]:
        return dict(asyncio.run_coroutine_threadsafe(command(), loop).result(timeout=30))

    ControlServer(
        Address(settings["control_port"], settings["token"]),
        {
            "ready": lambda _: {"ready": True},
            "warm_up": lambda _: on_loop(load.warm_up),
            "go_on": lambda _: on_loop(load.go_on),
            "report": lambda _: load.summary(),
        },
    )
    await load.run()
    await load.drained()
    await asyncio.Event().wait()  # the report stays to be asked for
