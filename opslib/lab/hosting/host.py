"""The lab's cluster as a child of its supervisor: what is asked of it, and what it tells the collector by itself.

Control calls come on threads; all of the cluster belongs to one event loop, so each is answered there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslib.core.clock import SystemClock
from opslib.lab.cluster.server import Cluster, Options, serve
from opslib.lab.control import Address, ControlServer
from opslib.lab.hosting.events import Reporter
from opslib.lab.hosting.pods import containers

_ANSWER_S = 10.0
_DELAY = "delay_ms."


@dataclass(slots=True)
class _Host:
    """The cluster once it runs; until then there is nothing to ask."""

    namespace: str
    collector: Address
    otlp_port: int
    cluster: Cluster | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def begin(self, cluster: Cluster) -> None:
        """Answer from now on, and tell the collector what happens in the namespace. On the cluster's loop."""
        Reporter(cluster, self.namespace, self.collector, self.otlp_port).start()
        self.loop, self.cluster = asyncio.get_running_loop(), cluster

    def ready(self, _: dict[str, Any]) -> dict[str, Any]:
        """Say where the cluster and its Ingresses are; `{"ready": False}` before that."""
        if self.cluster is None:
            return {"ready": False}
        return {
            "ready": True,
            "kubeconfig": str(self.cluster.kubeconfig),
            "port": int(self.cluster.url.rpartition(":")[2]),
            "front_door": self.cluster.network.front_door,
        }

    def pods(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return the containers of the shop, see `opslib.lab.hosting.pods`."""
        return {"containers": self._asked(lambda cluster: containers(cluster, self.namespace))}

    def knobs(self, values: dict[str, Any]) -> dict[str, Any]:
        """Set the network's knobs: `delay_ms.SERVICE` holds every request to a Service back; no others."""
        delays = {
            (self.namespace, name.removeprefix(_DELAY)): float(value) / 1e3
            for name, value in values.items()
            if name.startswith(_DELAY)
        }
        self._asked(lambda cluster: cluster.network.set_delays(delays))
        return {"knobs": values}

    def _asked(self, question: Callable[[Cluster], Any]) -> Any:
        assert self.loop is not None  # the supervisor waits until it is ready
        assert self.cluster is not None
        cluster = self.cluster

        async def answer() -> Any:
            return question(cluster)

        return asyncio.run_coroutine_threadsafe(answer(), self.loop).result(_ANSWER_S)


def main(settings: dict[str, Any]) -> None:
    """Be the lab's cluster until SIGTERM; then end its pods."""
    collector = Address(settings["collector_control_port"], settings["token"])
    host = _Host(settings["namespace"], collector, settings["otlp_port"])
    ControlServer(
        Address(settings["control_port"], settings["token"]),
        {"ready": host.ready, "pods": host.pods, "knobs": host.knobs},
    )
    options = Options(Path(settings["state"]), settings["port"])
    asyncio.run(serve(options, SystemClock(), host.begin))
