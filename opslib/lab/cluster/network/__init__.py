"""The cluster's network on loopback: Services forwarded as by kube-proxy, their names by a proxy, and an Ingress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from opslib.lab.cluster.api import Api
from opslib.lab.cluster.kubelet.addresses import Addresses
from opslib.lab.cluster.network.ingress import controller
from opslib.lab.cluster.network.names import proxy
from opslib.lab.cluster.network.relay import Policy, Relay
from opslib.lab.cluster.network.services import Key, Services
from opslib.lab.cluster.options import Object, WriteOptions
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Event

_NAMES_PORT, _INGRESS_PORT = 3128, 80
_INGRESSES = "ingresses.networking.k8s.io"


class Network:
    """All of the network of one cluster; belongs to one event loop."""

    def __init__(self, api: Api, addresses: Addresses) -> None:
        self._api, self._addresses = api, addresses
        self._services = Services(api, addresses)
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Serve Services, names and Ingresses."""
        self._services.start()
        await self._serve(_NAMES_PORT, proxy(self._services))
        await self._serve(_INGRESS_PORT, controller(self._api))
        self._unsubscribe = self._api.subscribe(self._hear)
        for ingress in self._api.list(_INGRESSES):
            self._give_address(ingress)

    async def stop(self) -> None:
        self._unsubscribe()
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._services.stop()

    def proxy_url(self, namespace: str) -> str:
        """Return the names proxy as the pods of a namespace are to use it."""
        host, port = self._addresses.reach(self._addresses.node, _NAMES_PORT)
        return f"http://{namespace}:@{host}:{port}"

    @property
    def front_door(self) -> tuple[str, int]:
        """Return where Ingresses are served, on this machine."""
        return self._addresses.reach(self._addresses.node, _INGRESS_PORT)

    def set_delays(self, seconds: Mapping[Key, float]) -> None:
        """Hold requests to these Services back on their way, and to no others."""
        self._services.delays_s = dict(seconds)

    async def _serve(self, port: int, policy: Policy) -> None:
        relay = Relay(self._services, policy)

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(relay.serve(reader, writer))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

        handle = self._addresses.listen(self._addresses.node, port)
        self._servers.append(await asyncio.start_server(accepted, sock=handle, limit=32 * 1024))

    def _hear(self, event: Event) -> None:
        if event.resource == _INGRESSES and event.type == "ADDED":
            self._give_address(event.object)

    def _give_address(self, ingress: Object) -> None:
        """Write the address of this controller into the status, as a usual one does."""
        host, port = self._addresses.reach(self._addresses.node, _INGRESS_PORT)
        given = {"ip": host, "ports": [{"port": port, "protocol": "TCP"}]}
        metadata, status = ingress["metadata"], {"loadBalancer": {"ingress": [given]}}
        if ingress.get("status") != status:
            with suppress(StatusError):  # gone or changed meanwhile
                self._api.update(
                    _INGRESSES,
                    metadata["namespace"],
                    metadata["name"],
                    {**ingress, "status": status},
                    WriteOptions("ingress-controller"),
                    subresource="status",
                )
