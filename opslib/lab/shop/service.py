"""What every service of the shop does alike: start telemetry, serve on its port, listen for control calls, end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from opslib.lab.control import Address, ControlServer
from opslib.lab.ports import LOOPBACK, listen
from opslib.lab.shop.client import Peer, Split
from opslib.lab.shop.drain import Drain, DrainingServer
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
    server = _server(application(routes(parts), telemetry), settings)
    if "control_port" in settings:
        ControlServer(
            Address(settings["control_port"], settings["token"], settings.get("host", LOOPBACK)),
            {"ready": lambda _: {"ready": server.started}, "knobs": parts.knobs.replace},
        )
    run_server(server, settings["port"], settings.get("host", LOOPBACK))
    for peer in peers.values():
        peer.close()
    telemetry.close()


def _server(app: ASGIApp, settings: dict[str, Any]) -> uvicorn.Server:
    """Return the service's server; one that has `drain_s` ends as a container does, the others at once."""
    if "drain_s" not in settings:
        return http_server(app)
    drain = Drain(app, settings["drain_s"])
    return DrainingServer(config(drain), drain)


def _peers(settings: dict[str, Any], telemetry: Telemetry, knobs: Knobs) -> dict[str, Peer | Split]:
    peers: dict[str, Peer | Split] = {}
    how = {"attempts": settings.get("attempts", 1), "proxy": settings.get("proxy")}
    for name, url in settings["peers"].items():
        peer = Peer(name, url, telemetry, **how)
        canary = settings["canaries"].get(name)
        peers[name] = Split(peer, Peer(name, canary, telemetry, **how), knobs) if canary else peer
    return peers


def run_server(server: uvicorn.Server, port: int, host: str = LOOPBACK) -> None:
    """Serve until SIGTERM or SIGINT, then return."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal again once it has served
    with listen(port, host) as handle:
        server.run(sockets=[handle])


def http_server(app: ASGIApp) -> uvicorn.Server:
    """Return a uvicorn server that ends soon when it is told to."""
    return uvicorn.Server(config(app))


def config(app: ASGIApp) -> uvicorn.Config:
    """Return a server's configuration: quiet logs, and connections that outlive the pauses of its callers."""
    return uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        lifespan="off",
        ws="none",
    )
