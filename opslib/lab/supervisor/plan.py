"""Which processes a lab consists of, and what each is told: one table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.collector.gate import NEVER_NS
from opslib.lab.state import Folder
from opslib.lab.supervisor.addresses import Addresses

NAMESPACE = "shop"
VERSION = "1.4.0"  # of the shop's services; a release of one of them has another
SERVICES = ("storefront", "order", "payment", "risk")
# In this order they are stopped: first who calls, last who records.
PROCESSES = ("load", *SERVICES, "proxy", "collector")
SERVING = (*SERVICES, "proxy", "collector")  # have a port beside the one for control calls
HISTORY_ROWS = 400_000  # of the ledger: to read all of them takes some 40 ms
CANARY = "canary"  # ports kept for a second release of payment, which is there only while it is rolled out
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
            "resource": _resource(name, VERSION),
            "collector_url": addresses.url("collector"),
            "peers": {peer: addresses.url(at) for peer, at in PEERS[name].items()},
            "canaries": {"payment": addresses.url(CANARY)} if "payment" in PEERS[name] else {},
            "ledger": str(folder.ledger),
            "history_rows": HISTORY_ROWS if name == "payment" else 0,
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


def canary_settings(
    version: str, knobs: Mapping[str, float], addresses: Addresses, folder: Folder, options: Options
) -> dict[str, Any]:
    """Return what a second release of payment is told at its start."""
    control = addresses.control(CANARY)
    return {
        **settings_of("payment", addresses, folder, options),
        "port": addresses.serving(CANARY),
        "control_port": control.port,
        "resource": _resource("payment", version),
        "knobs": dict(knobs),
    }


def pod_name(service: str, version: str) -> str:
    """Return a name such as a ReplicaSet gives its pod: the same for the same release."""
    digest = hashlib.sha256(f"{service} {version}".encode()).hexdigest()
    return f"{service}-{digest[:9]}-{digest[9:14]}"


def _resource(service: str, version: str) -> dict[str, str]:
    host = SERVICES.index(service) + 1 if version == VERSION else len(SERVICES) + 1
    return {
        "service.name": service,
        "service.version": version,
        "k8s.pod.name": pod_name(service, version),
        "k8s.namespace.name": NAMESPACE,
        "host.name": f"node-{host}",
    }


def environment_toml() -> str:
    """Return the environment file that makes a running lab an ordinary environment."""
    source = '{kind = "capture", path = "capture", live = true}'
    lines = ["# Written by the running lab; gone when it is down.", "[environments.lab]"]
    lines += [f"{signal} = {source}" for signal in ("traces", "logs", "metrics", "changes")]
    for service in SERVICES:
        lines += ["", f"[environments.lab.services.{service}]", f'traces = "{service}"']
        if service == "payment":
            lines.append("slo = {availability_pct = 99.5, p95_ms = 50}")
    return "\n".join(lines) + "\n"
