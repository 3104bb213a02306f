"""What every service of the shop does alike: start telemetry, serve on its port, listen for control calls, end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from opslib.lab.control import Address, ControlServer
from opslib.lab.ports import listen
from opslib.lab.shop.client import Peer, Split
from opslib.lab.shop.knobs import Knobs
from opslib.lab.shop.server import Handler, application
from opslib.lab.shop.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service is made of; `peers` are the services that it calls, by name."""

    telemetry: Telemetry
    knobs: Knobs
    peers: Mapping[str, Peer | Split]
    ledger: Path
    history_rows: int = 0


def serve(settings: dict[str, Any], routes: Callable[[Parts], Mapping[str, Handler]]) -> None:
    """Be the service until SIGTERM; what telemetry is left is sent before the process ends."""
    knobs = Knobs()
    knobs.replace(settings.get("knobs", {}))
    telemetry = Telemetry.start(settings["resource"], settings["collector_url"], knobs)
    peers = _peers(settings, telemetry, knobs)
    parts = Parts(telemetry, knobs, peers, Path(settings["ledger"]), settings["history_rows"])
    server = http_server(application(routes(parts), telemetry))
    ControlServer(
        Address(settings["control_port"], settings["token"]),
        {"ready": lambda _: {"ready": server.started}, "knobs": parts.knobs.replace},
    )
    run_server(server, settings["port"])
    for peer in peers.values():
        peer.close()
    telemetry.close()


def _peers(settings: dict[str, Any], telemetry: Telemetry, knobs: Knobs) -> dict[str, Peer | Split]:
    peers: dict[str, Peer | Split] = {}
    for name, url in settings["peers"].items():
        peer = Peer(name, url, telemetry)
        canary = settings["canaries"].get(name)
        peers[name] = Split(peer, Peer(name, canary, telemetry), knobs) if canary else peer
    return peers


def run_server(server: uvicorn.Server, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then return."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal again once it has served
    with listen(port) as handle:
        server.run(sockets=[handle])


def http_server(app: Any) -> uvicorn.Server:
    """Return a uvicorn server with quiet logs and connections that outlive the pauses of its callers."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        lifespan="off",
        ws="none",
    )
    return uvicorn.Server(config)
