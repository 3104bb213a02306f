"""Services as kube-proxy serves them: a cluster IP and port, each connection forwarded to one ready endpoint in turn.

What changes of endpoints is known here a moment later, as on every node: who ends at once meanwhile is called in vain.
A connection stays with its endpoint until either side ends it, also when the endpoint is on its way out; new ones go to
endpoints that are ready, or where all are terminating to those that still serve. Without any it is refused.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from opslib.lab.cluster.api import Api
from opslib.lab.cluster.kubelet.addresses import Addresses
from opslib.lab.cluster.network.streams import Connection, join
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.store import Event

_CONNECT_S = 5.0
Endpoint = tuple[str, int]
Key = tuple[str, str]  # namespace and name of a Service


class NoEndpointError(ConnectionError):
    """A Service, or a port of it, that is not there or has no endpoint."""


class Services:
    """All Services of the cluster; belongs to one event loop."""

    def __init__(self, api: Api, addresses: Addresses, sync_s: float) -> None:
        self._api, self._addresses, self._sync_s = api, addresses, sync_s
        self._services: dict[Key, Object] = {}
        self._slices: dict[Key, dict[str, Object]] = {}
        self._heard: list[Event] = []  # of endpoints, and not taken yet
        self._turns: dict[tuple[Key, str], Iterator[int]] = {}
        self._accepting: dict[Endpoint, asyncio.Task[None]] = {}
        self._open: set[asyncio.Task[None]] = set()
        self.delays_s: dict[Key, float] = {}  # of requests on their way to a Service, by name
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Serve what is there, and follow the changes."""
        self._unsubscribe = self._api.subscribe(self._hear)
        for resource in ("services", "endpointslices.discovery.k8s.io"):
            for obj in self._api.list(resource):
                self._take(resource, obj)

    async def stop(self) -> None:
        self._unsubscribe()
        for task in (*self._open, *self._accepting.values()):
            task.cancel()
        await asyncio.gather(*self._open, *self._accepting.values(), return_exceptions=True)

    def ready(self, key: Key, port: str | int) -> list[Endpoint]:
        """Return the endpoints of a Service's port, given by number or name. Raises NoEndpointError."""
        service = self._services.get(key)
        if service is None:
            raise NoEndpointError(f"there is no Service {key[1]!r} in namespace {key[0]!r}")
        for entry in service["spec"].get("ports") or []:
            if port in {entry["port"], entry.get("name")}:
                return self._endpoints(key, entry.get("name") or "")
        raise NoEndpointError(f"Service {key[1]!r} has no port {port}")

    def pick(self, key: Key, port: str | int) -> Endpoint:
        """Return the endpoint whose turn it is. Raises NoEndpointError."""
        ready = self.ready(key, port)
        if not ready:
            raise NoEndpointError(f"Service {key[1]!r} has no ready endpoint")
        turns = self._turns.setdefault((key, str(port)), itertools.count())
        return ready[next(turns) % len(ready)]

    async def connect(self, endpoint: Endpoint) -> Connection:
        """Connect to an endpoint. Raises OSError."""
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(*self._addresses.reach(*endpoint)), _CONNECT_S
        )
        return Connection(reader, writer)

    def _endpoints(self, key: Key, port_name: str) -> list[Endpoint]:
        ready, leaving = [], []
        for name in sorted(self._slices.get(key, {})):
            found = self._slices[key][name]
            ports = [p["port"] for p in found.get("ports") or [] if (p.get("name") or "") == port_name]
            for endpoint in found.get("endpoints") or [] if ports else []:
                conditions = endpoint.get("conditions") or {}
                address = (endpoint["addresses"][0], ports[0])
                if conditions.get("ready") is not False:
                    ready.append(address)
                elif conditions.get("serving") and conditions.get("terminating"):
                    leaving.append(address)
        return ready or leaving

    def _hear(self, event: Event) -> None:
        if event.resource == "services":
            self._take(event.resource, event.object, gone=event.type == "DELETED")
        elif event.resource == "endpointslices.discovery.k8s.io":
            self._heard.append(event)
            if not self._sync_s:
                self._sync()
            elif len(self._heard) == 1:
                asyncio.get_running_loop().call_later(self._sync_s, self._sync)

    def _sync(self) -> None:
        heard, self._heard = self._heard, []
        for event in heard:
            self._take(event.resource, event.object, gone=event.type == "DELETED")

    def _take(self, resource: str, obj: Object, *, gone: bool = False) -> None:
        metadata = obj["metadata"]
        if resource != "services":
            service = (metadata.get("labels") or {}).get("kubernetes.io/service-name", "")
            key = (metadata["namespace"], service)
            rest = {n: each for n, each in self._slices.pop(key, {}).items() if n != metadata["name"]}
            if slices := rest if gone else {**rest, metadata["name"]: obj}:
                self._slices[key] = slices
            return
        key = (metadata["namespace"], metadata["name"])
        before, after = self._services.pop(key, None), None if gone else obj
        if after is not None:
            self._services[key] = after
        else:
            self._turns = {turn: count for turn, count in self._turns.items() if turn[0] != key}
        for address in _addresses(before) - _addresses(after):
            self._accepting.pop(address).cancel()
        for address in _addresses(after) - _addresses(before):
            handle = self._addresses.listen(*address)
            task = self._accepting[address] = asyncio.create_task(self._accept(key, address[1], handle))
            task.add_done_callback(partial(_close, handle))

    async def _accept(self, key: Key, port: int, handle: socket.socket) -> None:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._forward(key, port, Connection(reader, writer)))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

        server = await asyncio.start_server(accepted, sock=handle)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    async def _forward(self, key: Key, port: int, client: Connection) -> None:
        with suppress(OSError):  # the client is refused as by kube-proxy: its connection is cut
            try:
                endpoint = await self.connect(self.pick(key, port))
            except OSError:
                client.abort()
                raise
            await join(client, endpoint)


def _close(handle: socket.socket, _: asyncio.Task[None]) -> None:
    handle.close()  # also where the task ended before its first step


def _addresses(service: Object | None) -> set[Endpoint]:
    spec = service["spec"] if service else {}
    ip = spec.get("clusterIP") or "None"
    return {(ip, port["port"]) for port in spec.get("ports") or []} if ip != "None" else set()
