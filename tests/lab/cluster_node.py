"""A node for tests in one event loop: the API in memory, kubelet and network on this machine's loopback, no server."""

import asyncio
import dataclasses
import inspect
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opslib.core.clock import SystemClock
from opslib.lab.cluster.api import Api, DeleteOptions, WriteOptions
from opslib.lab.cluster.kubelet.addresses import Addresses
from opslib.lab.cluster.kubelet.images import Image, Images
from opslib.lab.cluster.kubelet.kubelet import Kubelet
from opslib.lab.cluster.kubelet.node import NODE, Facts
from opslib.lab.cluster.network import Network
from opslib.lab.cluster.options import LogOptions
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Store

USER = WriteOptions("test")
NAMESPACE = "default"


class NodeWorld:
    """The parts, and what tests do with them."""

    def __init__(self, api: Api, kubelet: Kubelet, network: Network, addresses: Addresses) -> None:
        self.api, self.kubelet, self.network, self.addresses = api, kubelet, network, addresses
        self.events: list[tuple[str, str, str]] = []
        self.statuses: dict[str, list[dict]] = {}
        api.subscribe(self._note)

    def _note(self, event) -> None:
        if event.resource == "pods":
            self.statuses.setdefault(event.object["metadata"]["name"], []).append(
                event.object.get("status") or {}
            )

    def record(self, obj, kind, reason, message, field_path) -> None:
        self.events.append((obj["metadata"]["name"], reason, message))

    def reasons(self, pod: str) -> list[str]:
        return [reason for name, reason, _ in self.events if name == pod]

    def messages(self, reason: str) -> list[str]:
        return [message for _, told, message in self.events if told == reason]

    def create(self, resource: str, obj: dict) -> dict:
        return self.api.create(resource, NAMESPACE, obj, USER)

    def run(self, name: str, code: str = "", *, spec: dict | None = None, **container: Any) -> dict:
        """Make a pod on the node that runs Python code."""
        made = {"name": "c", "image": "python", "args": ["-c", code], **container}
        body = {"nodeName": NODE, "containers": [made], **(spec or {})}
        return self.create("pods", {"metadata": {"name": name, "labels": {"app": name}}, "spec": body})

    def pod(self, name: str) -> dict | None:
        try:
            return self.api.get("pods", NAMESPACE, name)
        except StatusError:
            return None

    def container(self, name: str) -> dict:
        pod = self.pod(name)
        return ((pod or {}).get("status", {}).get("containerStatuses") or [{}])[0]

    def delete(self, name: str, **options: Any) -> None:
        self.api.delete("pods", NAMESPACE, name, DeleteOptions(**options))

    async def until(self, condition: Callable[[], Any], within_s: float = 30) -> Any:
        """Wait for a condition; it may be a coroutine function."""
        async with asyncio.timeout(within_s):
            while True:
                value = condition()
                value = await value if inspect.isawaitable(value) else value
                if value:
                    return value
                await asyncio.sleep(0.02)

    async def ready(self, name: str, within_s: float = 30) -> dict:
        await self.until(lambda: self.container(name).get("ready"), within_s)
        return self.pod(name)

    async def log(self, name: str, **options: Any) -> str:
        lines = await self.kubelet.logs.read(NAMESPACE, name, LogOptions(**options))
        return b"".join([line async for line in lines]).decode()

    def service(self, name: str, port: int, target: int, *pods: str) -> dict:
        """Make a Service and the EndpointSlice that its controller would make of these pods."""
        made = self.create(
            "services",
            {"metadata": {"name": name}, "spec": {"ports": [{"port": port, "targetPort": target}]}},
        )
        self.endpoints(name, target, *pods)
        return made

    def endpoints(self, name: str, target: int, *pods: str, **conditions: bool) -> None:
        endpoints = [
            {"addresses": [self.pod(pod)["status"]["podIP"]], "conditions": {"ready": True, **conditions}}
            for pod in pods
        ]
        self.slice(name, target, endpoints)

    def slice(self, name: str, target: int, endpoints: list[dict]) -> None:
        """Make or replace the EndpointSlice of a Service."""
        resource = "endpointslices.discovery.k8s.io"
        body = {
            "metadata": {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"port": target, "protocol": "TCP", "name": ""}],
            "endpoints": endpoints,
        }
        try:
            self.api.update(resource, NAMESPACE, body["metadata"]["name"], body, USER)
        except StatusError:
            self.create(resource, body)


@asynccontextmanager
async def node_world(
    state: Path,
    *,
    backoff_scale: float = 0.1,
    store: Store | None = None,
    shared: bool = False,
    sync_s: float = 0,
) -> AsyncIterator[NodeWorld]:
    """A running node; `store` is the API's from before; `shared`: as where there is only 127.0.0.1."""
    state.mkdir(exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    clock, kept = SystemClock(), store or Store()
    api, addresses = Api(kept, clock), Addresses(95, None) if shared else Addresses.claim(state)
    network = Network(api, addresses, sync_s)
    await network.start()
    images = Images.load(state)
    images.register("python", Image((sys.executable, "-u")))
    told: list = []
    kubelet = Kubelet(
        api,
        state,
        clock,
        images=images,
        addresses=addresses,
        facts=Facts("127.0.0.1", 6443, lambda pod: f"token of {pod['metadata']['name']}", network.proxy_url),
        record=lambda *event: told[0](*event),  # noqa: PLW0108 - it is there only later
        backoff_scale=backoff_scale,
    )
    # As if it had run for long: else it would hold probes back by chance.
    kubelet._node = dataclasses.replace(kubelet._node, started_s=-1e6)
    world = NodeWorld(api, kubelet, network, addresses)
    told.append(world.record)
    if store is None:
        api.create("namespaces", "", {"metadata": {"name": NAMESPACE}}, USER)
        account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
        world.create("serviceaccounts", account)
    await kubelet.start()
    try:
        yield world
    finally:
        await kubelet.stop()
        await network.stop()
        addresses.close()
        if store is None:
            kept.close()
