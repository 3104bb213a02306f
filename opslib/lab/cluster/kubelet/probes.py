"""Runs the probes of one container, each a task of its own, by the schedule of `prober_schedule`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.cluster.kubelet.handlers import Outcome
from opslib.lab.cluster.kubelet.prober_schedule import Kind, Result, Seen, Ticker, Timing, Worker, learn, wake

_ATTEMPTS = 3  # of a probe that cannot be made
KINDS: Mapping[Kind, str] = {
    "startup": "startupProbe",
    "readiness": "readinessProbe",
    "liveness": "livenessProbe",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """What probes need of their container, and whom they tell: what happened, and that a result has changed."""

    seen: Callable[[], Seen]
    act: Callable[[Mapping[str, Any], float], Awaitable[Outcome]]
    tell: Callable[[str, str], None]  # reason and message of a Warning
    changed: Callable[[Kind, Result], None]


class Probe:
    """One probe of one container, through all its restarts. `delay_s` holds it back where the kubelet is young."""

    def __init__(self, kind: Kind, spec: Mapping[str, Any], watched: Watched, delay_s: float) -> None:
        self._worker = Worker(kind, Timing.of(spec))
        self._spec, self._watched, self._delay_s = spec, watched, delay_s
        self._asked = asyncio.Event()

    def result(self, container_id: str) -> Result:
        """Return what is known of a container; of one not yet looked at, nothing."""
        return self._worker.result if self._worker.container_id == container_id else "unknown"

    def trigger(self) -> None:
        """Have it run now; its period begins anew then."""
        self._asked.set()

    async def run(self) -> None:
        """Probe until the container is done for good."""
        loop, timing = asyncio.get_running_loop(), self._worker.timing
        await asyncio.sleep(self._delay_s)
        ticker = Ticker(loop.time(), timing.period_s)
        while await self._once():
            try:
                async with asyncio.timeout_at(ticker.due_s):
                    await self._asked.wait()
                ticker = Ticker(loop.time(), timing.period_s)
            except TimeoutError:
                ticker = ticker.take(loop.time())
            self._asked.clear()

    async def _once(self) -> bool:
        before = self._worker
        self._worker, step = wake(before, self._watched.seen())
        if step == "probe":
            outcome = await self._attempted()
            self._worker = learn(self._worker, success=outcome.success)
        after = self._worker
        if (before.container_id, before.result) != (after.container_id, after.result):
            self._watched.changed(after.kind, after.result)
        return step != "end"

    async def _attempted(self) -> Outcome:
        kind, timing = self._worker.kind, self._worker.timing
        for _ in range(_ATTEMPTS):
            outcome = await self._watched.act(self._spec, timing.timeout_s)
            if outcome.success is not None:
                break
        title = kind.capitalize()
        if outcome.success is None:
            text = f"{title} probe errored and resulted in unknown state: {outcome.text}"
            self._watched.tell("Unhealthy", text)
        elif not outcome.success:
            self._watched.tell("Unhealthy", f"{title} probe failed: {outcome.text}")
        return outcome
