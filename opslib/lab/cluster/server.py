"""A whole cluster in one process: the API over TLS, the controllers, the kubelet and the network, on one event loop.

The state folder is all that lasts: started again with it, the cluster is the same one, at the same address.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import uvicorn

from opslib.core.clock import Clock
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
from opslib.lab.state import Folder

_FIRST_BLOCK, _SERVICE_BLOCK = (
    16,
    96,
)  # of pods, and of Services: a quarter of 127.96.0.0/16 and so on for each


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
    kubelet: Kubelet
    network: Network
    addresses: Addresses
    kubeconfig: Path
    url: str


async def serve(options: Options, clock: Clock, ready: Callable[[Cluster], None]) -> None:
    """Be a cluster until SIGTERM or SIGINT; then end all pods and return. Raises LabError where it cannot start."""
    async with AsyncExitStack() as stack:
        cluster, server = await build_cluster(options, clock, stack)
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        serving = asyncio.create_task(server.serve(), name="http")
        stack.push_async_callback(_finish, server, serving, cluster.watches)
        await server.up.wait()
        ready(cluster)
        await ended.wait()


async def build_cluster(options: Options, clock: Clock, stack: AsyncExitStack) -> tuple[Cluster, _HttpServer]:
    """Put a cluster together and start all but its HTTP server; what is to be ended is on the stack."""
    folder = Folder(options.state)
    folder.create()
    stack.enter_context(folder.locked("cluster", f"another process is the cluster of {options.state}"))
    identity = Identity.of(options.state / "cluster.json")
    handle = _listen(options.port, identity.port)
    stack.callback(handle.close)
    identity.write(options.state / "cluster.json", ports.number(handle))
    addresses = Addresses.claim(options.state)
    stack.callback(addresses.close)
    store = _store(options.state / "cluster.db")
    stack.callback(store.close)
    api = Api(store, clock, service_network=_service_network(addresses))
    files = certificates(options.state / "pki", (ports.LOOPBACK, addresses.node), clock)
    tokens = Tokens(store, clock, admin=identity.admin_token, key=identity.key)
    node = _Node(api, tokens, addresses, options, clock)
    network, kubelet = await node.start(
        ports.number(handle), files.authority.read_text(encoding="ascii"), stack
    )
    watches, rules = Watches(store), Rules(store)
    handlers = Handlers(api, tokens, rules, watches, evict, kubelet.logs, kubelet.usage)
    app = Server(api, tokens, rules, watches, Faults(), handlers, page())
    url = f"https://{ports.LOOPBACK}:{ports.number(handle)}"
    path = options.state / "kubeconfig"
    write_private(path, kubeconfig(url, files.authority.read_bytes(), identity.admin_token))
    cluster = Cluster(api, watches, kubelet, network, addresses, path, url)
    return cluster, _HttpServer(app, files, handle)


@dataclass(frozen=True, slots=True)
class _Node:
    """What works behind the API: network, kubelet and controllers."""

    api: Api
    tokens: Tokens
    addresses: Addresses
    options: Options
    clock: Clock

    async def start(self, port: int, authority_pem: str, stack: AsyncExitStack) -> tuple[Network, Kubelet]:
        network = Network(self.api, self.addresses)
        await network.start()
        stack.push_async_callback(network.stop)
        kubelet = Kubelet(
            self.api,
            self.options.state,
            self.clock,
            images=Images.load(self.options.state),
            addresses=self.addresses,
            facts=Facts(ports.LOOPBACK, port, self._mint, network.proxy_url),
            record=Recorder(self.api, self.clock, "kubelet", host=NODE).record,
            backoff_scale=self.options.backoff_scale,
        )
        await kubelet.start()
        stack.push_async_callback(kubelet.stop)
        facts = NodeFacts.of_machine(NODE, self.addresses.node, discovery.GIT_VERSION)
        timers = asyncio.get_running_loop()
        controllers = run_controllers(
            self.api, self.clock, timers, usage=kubelet.usage, node=facts, ca_pem=authority_pem
        )
        stack.callback(controllers.stop)
        return network, kubelet

    def _mint(self, pod: Object) -> str:
        """Return the token that a pod finds among its files."""
        namespace, name = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        return self.tokens.issue(namespace, self.api.get("serviceaccounts", namespace, name), pod=pod)


class _HttpServer(uvicorn.Server):
    """Serves on a socket that listens already; `up` is set once it does. Signals are left to the process."""

    def __init__(self, app: Server, files: Certificates, handle: socket.socket) -> None:
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
        self.up = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets or [self._handle])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _finish(server: _HttpServer, serving: asyncio.Task[None], watches: Watches) -> None:
    server.should_exit = True
    watches.shutdown()
    await serving


def _store(path: Path) -> Store:
    try:
        return Store(path)
    except sqlite3.Error as error:
        raise LabError(
            f"{path} cannot be read: {error}", hint="remove its folder to begin with a new cluster"
        ) from error


def _listen(wanted: int, before: int) -> socket.socket:
    if not wanted and before:
        try:
            return _listening(before)
        except LabError:  # taken by another program meanwhile
            return _listening(0)
    return _listening(wanted)


def _listening(port: int) -> socket.socket:
    handle = ports.reserve(port)
    handle.listen(256)
    return handle


def _service_network(addresses: Addresses) -> IPv4Network:
    """Return the network of cluster IPs: as the block of pods belongs to one cluster, so does this quarter."""
    block = int(addresses.node.split(".")[1]) - _FIRST_BLOCK
    return IPv4Network(f"127.{_SERVICE_BLOCK + block // 4}.{block % 4 * 64}.0/18")


def page() -> str:
    """Return the page that says what the cluster imitates and what it does not."""
    package = Path(__file__).parents[2]
    packed = package / "_docs"
    folder = packed if packed.is_dir() else package.parent / "docs"
    return (folder / "practice-cluster.md").read_text(encoding="utf-8")
