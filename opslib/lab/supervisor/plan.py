"""Which processes a lab consists of, and what each is told: one table. The shop itself runs on the cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opslib.lab.collector.gate import NEVER_NS
from opslib.lab.state import Folder
from opslib.lab.supervisor.addresses import Addresses

NAMESPACE = "shop"
SERVICES = ("storefront", "order", "payment", "risk")
NETWORK = "network"  # takes knobs as a service does; the cluster is told them
# In this order they are stopped: first who calls, last who records.
PROCESSES = ("load", "cluster", "collector")
SERVING = ("collector",)  # have a port that the lab holds, beside the one for control calls


@dataclass(frozen=True, slots=True)
class Options:
    """What a lab is started with."""

    rates: Mapping[str, float]
    seed: int
    ttl_s: float
    ports: Mapping[str, int]  # fixed ports by process; all others are free ones
    servers: Mapping[str, str] = field(
        default_factory=dict
    )  # see `opslib.lab.servers`; empty: the capture alone


def settings_of(name: str, addresses: Addresses, folder: Folder, options: Options) -> dict[str, Any]:
    """Return what a process is told at its start; the load is told where the shop is once that is known."""
    control = addresses.control(name)
    common = {"name": name, "control_port": control.port, "token": control.token}
    if name == "cluster":
        return {
            **common,
            "port": 0,
            "state": str(folder.cluster),
            "namespace": NAMESPACE,
            "collector_control_port": addresses.control("collector").port,
            "otlp_port": addresses.serving("collector"),
        }
    if name == "collector":
        return {
            **common,
            "port": addresses.serving(name),
            "capture": str(folder.capture),
            "begin_ns": NEVER_NS,
            "namespace": NAMESPACE,
            "servers": dict(options.servers),
        }
    return {**common, "rates": dict(options.rates), "seed": options.seed, "duration_s": options.ttl_s}


def shop_config(addresses: Addresses) -> dict[str, str]:
    """Return what the lab adds to the shop's ConfigMap."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": addresses.url("collector"),
        "PAYMENT_CANARY_URL": "http://payment-canary",
    }


def environment_toml(kubeconfig: Path, servers: Mapping[str, str]) -> str:
    """Return the environment file that makes a running lab an ordinary environment, seen through its servers another."""
    capture = '{kind = "capture", path = "capture", live = true}'
    environments = {"lab": dict.fromkeys(("traces", "logs", "metrics", "changes"), capture)}
    if any(servers.values()):
        environments["lab-servers"] = {**_of_servers(servers), "changes": capture}
    lines = ["# Written by the running lab; gone when it is down."]
    for name, sources in environments.items():
        lines += [f"[environments.{name}]", f'kubeconfig = "{kubeconfig.relative_to(kubeconfig.parents[1])}"']
        lines += [
            f'namespace = "{NAMESPACE}"',
            *(f"{signal} = {source}" for signal, source in sources.items()),
        ]
        for service in SERVICES:
            lines += ["", f"[environments.{name}.services.{service}]", f'traces = "{service}"']
            lines.append(f'workload = "deploy/{service}"')
            if service == "payment":
                lines.append("slo = {availability_pct = 99.5, p95_ms = 50}")
        lines.append("")
    return "\n".join(lines)


def _of_servers(servers: Mapping[str, str]) -> dict[str, str]:
    kinds = {
        "traces": ("jaeger", ""),
        "logs": ("elasticsearch", ', index = "filebeat-*"'),
        "metrics": ("prometheus", ""),
    }
    return {
        signal: f'{{kind = "{kind}", url = {json.dumps(servers[kind])}{more}}}'
        for signal, (kind, more) in kinds.items()
        if servers.get(kind)
    }
