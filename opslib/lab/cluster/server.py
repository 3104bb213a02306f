"""A whole cluster in one process: the API over TLS, the controllers, the kubelet and the network, on one event loop.

The state folder is all that lasts: started again with it, the cluster is the same one, at the same address.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import uvicorn

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import LabError
from opslib.lab import ports
from opslib.lab.cluster import discovery
from opslib.lab.cluster.access import Rules, Tokens
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import NodeFacts, Recorder, evict, run_controllers
from opslib.lab.cluster.faults import Faults
from opslib.lab.cluster.handlers import Handlers
from opslib.lab.cluster.http import Server
from opslib.lab.cluster.kubeconfig import Identity, kubeconfig, write_private
from opslib.lab.cluster.kubelet.addresses import Addresses
from opslib.lab.cluster.kubelet.images import Images
from opslib.lab.cluster.kubelet.kubelet import Kubelet
from opslib.lab.cluster.kubelet.node import NODE, Facts
from opslib.lab.cluster.network import Network
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.store import Store
from opslib.lab.cluster.tls import Certificates, certificates
from opslib.lab.cluster.watches import Watches
from opslib.lab.control import Address, ControlServer
from opslib.lab.state import Folder

_FIRST_BLOCK, _SERVICE_BLOCK = 16, 96  # of pods, and of Services: a quarter of 127.96.0.0/16 and so on for each


@dataclass(frozen=True, slots=True)
class Options:
    """`port` 0: the one that the cluster had before, else a free one. `backoff_scale` shortens the kubelet's back-offs."""

    state: Path
    port: int = 0
    backoff_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that runs."""

    api: Api
    watches: Watches
    kubeconfig: Path
    url: str


async def serve(options: Options, clock: Clock, ready: Callable[[Cluster], None]) -> None:
    """Be a cluster until SIGTERM or SIGINT; then end all pods and return. Raises LabError where it cannot start."""
    async with AsyncExitStack() as stack:
        cluster, server = await build_cluster(options, clock, stack)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        serving = asyncio.create_task(server.serve(), name="http")
        stack.push_async_callback(_finish, server, serving, cluster.watches)
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        ready(cluster)
        await asyncio.wait({serving, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)


async def build_cluster(
    options: Options, clock: Clock, stack: AsyncExitStack
) -> tuple[Cluster, _HttpServer]:
    """Put a cluster together and start all but its HTTP server; what is to be ended is on the stack."""
    folder = Folder(options.state)
    folder.create()
    lock = folder.locked("cluster", f"another process is the cluster of {options.state}")
    stack.enter_context(lock)
    identity = Identity.of(options.state / "cluster.json")
    handle = _listen(options.port, identity.port)
    stack.callback(handle.close)
    port = ports.number(handle)
    identity.write(options.state / "cluster.json", port)
    addresses = Addresses.claim(options.state)
    stack.callback(addresses.close)
    store = Store(options.state / "cluster.db")
    stack.callback(store.close)
    api = Api(store, clock, service_network=_service_network(addresses))
    files = certificates(options.state / "pki", (ports.LOOPBACK, addresses.node), clock)
    tokens = Tokens(store, clock, admin=identity.admin_token, key=identity.key)
    kubelet = await _start_node(api, tokens, addresses, port, options, clock, stack)
    _start_controllers(api, kubelet, addresses, files, clock, stack)
    watches, rules = Watches(store), Rules(store)
    handlers = Handlers(api, tokens, rules, watches, evict, kubelet.logs, kubelet.usage)
    app = Server(api, tokens, rules, watches, Faults(), handlers, page())
    url = f"https://{ports.LOOPBACK}:{port}"
    path = options.state / "kubeconfig"
    write_private(path, kubeconfig(url, files.authority.read_bytes(), identity.admin_token))
    return Cluster(api, watches, path, url), _HttpServer(app, files, handle)


async def _start_node(
    api: Api,
    tokens: Tokens,
    addresses: Addresses,
    port: int,
    options: Options,
    clock: Clock,
    stack: AsyncExitStack,
) -> Kubelet:
    network = Network(api, addresses)
    await network.start()
    stack.push_async_callback(network.stop)

    def mint(pod: Object) -> str:
        namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        return tokens.issue(namespace, api.get("serviceaccounts", namespace, account), pod=pod)

    kubelet = Kubelet(
        api,
        options.state,
        clock,
        images=Images.load(options.state),
        addresses=addresses,
        facts=Facts(ports.LOOPBACK, port, mint, network.proxy_url),
        record=Recorder(api, clock, "kubelet", host=NODE).record,
        backoff_scale=options.backoff_scale,
    )
    await kubelet.start()
    stack.push_async_callback(kubelet.stop)
    return kubelet


def _start_controllers(
    api: Api, kubelet: Kubelet, addresses: Addresses, files: Certificates, clock: Clock, stack: AsyncExitStack
) -> None:
    node = NodeFacts.of_machine(NODE, addresses.node, discovery.GIT_VERSION)
    authority = files.authority.read_text(encoding="ascii")
    loop = asyncio.get_running_loop()
    controllers = run_controllers(api, clock, loop, usage=kubelet.usage, node=node, ca_pem=authority)
    stack.callback(controllers.stop)


class _HttpServer(uvicorn.Server):
    """Serves on a socket that listens already; signals are left to the process."""

    def __init__(self, app: Server, files: Certificates, handle: Any) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="error",
            lifespan="off",
            ws="none",
            ssl_certfile=files.server,
            ssl_keyfile=files.key,
            timeout_keep_alive=120,  # longer than the pauses of clients
            timeout_graceful_shutdown=2,
        )
        super().__init__(config)
        self._handle = handle

    async def serve(self, sockets: Any = None) -> None:
        await super().serve(sockets or [self._handle])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _finish(server: _HttpServer, serving: asyncio.Task[None], watches: Watches) -> None:
    server.should_exit = True
    watches.shutdown()
    await serving


def _listen(wanted: int, before: int) -> Any:
    if not wanted and before:
        try:
            return _listening(before)
        except LabError:  # taken by another program meanwhile
            return _listening(0)
    return _listening(wanted)


def _listening(port: int) -> Any:
    handle = ports.reserve(port)
    handle.listen(256)
    return handle


def _service_network(addresses: Addresses) -> IPv4Network:
    """Return the network of cluster IPs: as the block of pods belongs to one cluster, so does this quarter."""
    block = int(addresses.node.split(".")[1]) - _FIRST_BLOCK
    return IPv4Network(f"127.{_SERVICE_BLOCK + block // 4}.{block % 4 * 64}.0/18")


def page() -> str:
    """Return the page that says what the cluster imitates and what it does not."""
    return (resources.files("opslib.lab.cluster") / "practice-cluster.md").read_text(encoding="utf-8")


def main(settings: dict[str, Any]) -> None:
    """Be the lab's cluster until SIGTERM; answers the control call `ready`."""
    known: dict[str, str] = {}
    ControlServer(
        Address(settings["control_port"], settings["token"]),
        {"ready": lambda _: {"ready": bool(known), **known}},
    )

    def ready(cluster: Cluster) -> None:
        known.update(kubeconfig=str(cluster.kubeconfig), url=cluster.url)

    options = Options(
        Path(settings["state"]), settings.get("port", 0), settings.get("backoff_scale", 1.0)
    )
    asyncio.run(serve(options, SystemClock(), ready))
