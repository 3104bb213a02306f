"""The shop on the lab's cluster as the supervisor handles it: brought up, told knobs, given a second release.

A container is told what is in effect once for each of its lives: one that was restarted is told again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opslib.lab.control import Address, call
from opslib.lab.hosting.manifests import (
    LAB_MANAGER,
    Client,
    Document,
    additions,
    second_release,
    shop_documents,
)
from opslib.lab.supervisor.plan import NAMESPACE

_log = logging.getLogger("supervisor")
Knobs = Mapping[str, Mapping[str, float]]  # by application


@dataclass(slots=True)
class Shop:
    """The shop of one cluster; `cluster` is where the cluster takes control calls, `token` opens the services'."""

    cluster: Address
    token: str
    documents: list[Document] = field(default_factory=list)
    release: list[Document] = field(default_factory=list)  # objects of a second release
    knobs: Knobs = field(default_factory=dict)
    _client: Client | None = None
    _told: dict[str, Mapping[str, float]] = field(default_factory=dict)  # instance -> knobs

    def bring_up(self, kubeconfig: Path, config: Mapping[str, str]) -> None:
        """Apply the shop's manifests. Raises LabError."""
        self._client = Client(kubeconfig)
        self.documents = shop_documents()
        own = additions(NAMESPACE, config, self.token)
        spaces = [document for document in self.documents if document["kind"] == "Namespace"]
        self._client.apply(spaces)
        self._client.apply(own, LAB_MANAGER)  # before the pods, which read it when they start
        self._client.apply(self.documents)

    def containers(self) -> list[dict[str, Any]]:
        """Return the containers that there are, see `opslib.lab.hosting.pods`. Raises LabError."""
        return list(call(self.cluster, "pods")["containers"])

    def is_ready(self) -> bool:
        """Tell whether all replicas that are wanted are ready, and the second release where there is one."""
        wanted: dict[str, int] = {}
        for document in (*self.documents, *self.release):
            if document["kind"] == "Deployment":
                wanted[document["metadata"]["name"]] = document["spec"]["replicas"]
        ready = [container["app"] for container in self.containers() if container["ready"]]
        return all(ready.count(app) >= number for app, number in wanted.items())

    def not_ready(self) -> str:
        """Name the containers that are not ready, and why."""
        waiting = [f"{c['name']} ({c['state']})" for c in self.containers() if not c["ready"]]
        return ", ".join(waiting) or "no pod of the shop"

    def pids(self, app: str) -> list[int]:
        """Return the processes of an application's containers."""
        return [c["pid"] for c in self.containers() if c["app"] == app and c["pid"] is not None]

    def tell(self) -> None:
        """Bring the knobs of every container in line with what is in effect. Raises LabError where one cannot be told."""
        containers = [c for c in self.containers() if c["pid"] is not None and c["state"] != "terminating"]
        self._told = {c["instance"]: self._told.get(c["instance"], {}) for c in containers}
        for container in containers:
            wanted = self.knobs.get(container["app"], {})
            if container["app"] in self._own and self._told[container["instance"]] != wanted:
                host, port = container["control"]
                call(Address(port, self.token, host), "knobs", timeout_s=2, **wanted)
                self._told[container["instance"]] = wanted

    @property
    def _own(self) -> set[str]:
        return {d["metadata"]["name"] for d in self.documents if d["kind"] == "Deployment"}

    def begin_release(self, service: str, version: str, knobs: Mapping[str, float]) -> None:
        """Have another version of a service beside it. Raises LabError."""
        self.release = second_release(self.documents, service, version, knobs)
        self._connected.apply(self.release)

    def end_release(self) -> None:
        """Take the other version away. Raises LabError."""
        if self.release:
            self._connected.delete(self.release)
            self.release = []

    @property
    def _connected(self) -> Client:
        assert self._client is not None  # nothing is asked for before the shop is up
        return self._client
