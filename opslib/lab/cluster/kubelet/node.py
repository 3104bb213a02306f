"""What all pods of the node share, and what a container needs of its pod."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from opslib.core.clock import Clock
from opslib.core.settings import environ_of_containers
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.kubelet.addresses import Addresses
from opslib.lab.cluster.kubelet.env import Sources
from opslib.lab.cluster.kubelet.images import Images
from opslib.lab.cluster.kubelet.volumes import Volumes
from opslib.lab.cluster.options import Object

NODE = "practice"

Record = Callable[[Object, str, str, str, str], None]  # object, type, reason, message, fieldPath


@dataclass(frozen=True, slots=True)
class Facts:
    """Where pods find the API and the cluster's names; `mint` makes the token of a pod."""

    api_host: str
    api_port: int
    mint: Callable[[Object], str]
    proxy_url: Callable[[str], str]  # of a namespace


@dataclass(frozen=True, slots=True)
class Node:
    """`started_s`: when the kubelet started, by the loop's clock; `backoff_scale` shortens back-offs for teaching."""

    api: Api
    clock: Clock
    images: Images
    addresses: Addresses
    facts: Facts
    record: Record
    state: Path
    started_s: float
    backoff_scale: float

    @property
    def logs(self) -> Path:
        return self.state / "pod-logs"

    def base_env(self, pod: Object, container: Object) -> dict[str, str]:
        """Return what every container has in its environment; `POD_LISTEN_PORT` says where to listen for a port."""
        metadata, facts = pod["metadata"], self.facts
        proxy = facts.proxy_url(metadata["namespace"])
        ip = (pod.get("status") or {}).get("podIP", "")
        placed = {
            port["containerPort"]: self.addresses.place(ip, port["containerPort"])
            for port in container.get("ports") or []
        }
        return {
            **environ_of_containers(),
            **{f"POD_LISTEN_{port}": f"{host}:{actual}" for port, (host, actual) in placed.items()},
            "HOSTNAME": metadata["name"],
            "KUBERNETES_SERVICE_HOST": facts.api_host,
            "KUBERNETES_SERVICE_PORT": str(facts.api_port),
            "HTTP_PROXY": proxy,
            "http_proxy": proxy,
            "NO_PROXY": f"localhost,127.0.0.1,{facts.api_host}",
            "no_proxy": f"localhost,127.0.0.1,{facts.api_host}",
        }


def report(task: asyncio.Task[None]) -> None:
    """Log what a task of the kubelet ended with, where it should not have: a done callback."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logging.getLogger(__name__).error("%s failed", task.get_name(), exc_info=error)


class Home(Protocol):
    """A container's pod."""

    node: Node
    pod: Object
    ip: str

    @property
    def volumes(self) -> Volumes: ...

    @property
    def has_inits(self) -> bool: ...

    @property
    def grace_s(self) -> float: ...

    @property
    def sources(self) -> Sources: ...

    def pull_secrets(self) -> list[Object]: ...

    def changed(self) -> None: ...
