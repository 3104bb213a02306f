"""Which processes a lab consists of, and what each is told: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.collector.gate import NEVER_NS
from opslib.lab.state import Folder
from opslib.lab.supervisor.addresses import Addresses

VERSION = "1.4.0"  # of the shop's services; a release of one of them has another
SERVICES = ("storefront", "order", "payment", "risk")
# In this order they are stopped: first who calls, last who records.
PROCESSES = ("load", *SERVICES, "proxy", "collector")
SERVING = (*SERVICES, "proxy", "collector")  # have a port beside the one for control calls
# service -> who it calls -> the process that answers there
PEERS: Mapping[str, Mapping[str, str]] = {
    "storefront": {"order": "order"},
    "order": {"payment": "payment"},
    "payment": {"risk": "proxy"},
    "risk": {},
}
GROUPS: Mapping[str, str] = {
    **dict.fromkeys((*SERVICES, "proxy"), "shop"),
    "load": "load",
    "collector": "collector",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a lab is started with."""

    rates: Mapping[str, float]
    seed: int
    ttl_s: float
    ports: Mapping[str, int]  # fixed ports by process; all others are free ones


def settings_of(name: str, addresses: Addresses, folder: Folder, options: Options) -> dict[str, Any]:
    """Return what a process is told at its start."""
    control = addresses.control(name)
    common = {
        "name": name,
        "port": addresses.serving(name),
        "control_port": control.port,
        "token": control.token,
    }
    if name in SERVICES:
        return {
            **common,
            "version": VERSION,
            "collector_url": addresses.url("collector"),
            "peers": {peer: addresses.url(at) for peer, at in PEERS[name].items()},
            "ledger": str(folder.ledger),
        }
    if name == "proxy":
        return {**common, "target_port": addresses.serving("risk")}
    if name == "collector":
        return {**common, "capture": str(folder.capture), "begin_ns": NEVER_NS}
    return {
        **common,
        "storefront_port": addresses.serving("storefront"),
        "rates": dict(options.rates),
        "seed": options.seed,
        "duration_s": options.ttl_s,
    }


def environment_toml() -> str:
    """Return the environment file that makes a running lab an ordinary environment."""
    source = '{kind = "capture", path = "capture", live = true}'
    lines = ["# Written by the running lab; gone when it is down.", "[environments.lab]"]
    lines += [f"{signal} = {source}" for signal in ("traces", "logs", "metrics", "changes")]
    for service in SERVICES:
        lines += ["", f"[environments.lab.services.{service}]", f'traces = "{service}"']
        if service == "payment":
            lines.append("slo = {availability_pct = 99.5, p95_ms = 100}")
    return "\n".join(lines) + "\n"
