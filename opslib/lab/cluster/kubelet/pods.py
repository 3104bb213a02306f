"""One pod: its address, volumes and containers, its status in the API, and its end.

The status is written whenever something has changed, from what the containers are at that moment. A deleted pod is
ended within its grace, and only then leaves the API.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

from opslib.lab.cluster.kubelet.containers import Container
from opslib.lab.cluster.kubelet.env import ConfigError, Sources
from opslib.lab.cluster.kubelet.node import Node
from opslib.lab.cluster.kubelet.status import Facts, pod_status
from opslib.lab.cluster.kubelet.usage import Measured
from opslib.lab.cluster.kubelet.volumes import Volumes
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import DeleteOptions, Object, WriteOptions
from opslib.lab.cluster.statuses import StatusError

OPTIONS = WriteOptions("kubelet")
_RETRY_S = 2.0  # of volumes that cannot be filled yet


class PodWorker:
    """A pod on this node; `run` returns when nothing is left of it."""

    def __init__(self, node: Node, pod: Object) -> None:
        self.node, self.pod = node, pod
        status = pod.get("status") or {}
        self.ip = node.addresses.take(status.get("podIP", ""))
        self._start_time = status.get("startTime") or stamp(node.clock.now_ns())
        self._was_over = status.get("phase") in {"Succeeded", "Failed"}
        self._over = self._silent = False
        self._ending = asyncio.Event()
        self._tasks: dict[Container, asyncio.Task[None]] = {}
        spec = pod["spec"]
        befores = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
        before = {s["name"]: s for s in befores}
        inits, mains = spec.get("initContainers") or [], spec["containers"]
        self._inits = [Container(self, c, before.get(c["name"], {}), init=True) for c in inits]
        self._mains = [Container(self, c, before.get(c["name"], {})) for c in mains]

    # --- what containers ask (`node.Home`) ---------------------------------------------------------------------------

    @property
    def volumes(self) -> Volumes:
        node = self.node
        root = node.state / "pods" / self.pod["metadata"]["uid"]
        return Volumes(self.sources, root, node.state / "host", node.facts.mint)

    @property
    def sources(self) -> Sources:
        return Sources(self.pod, self._lookup)

    @property
    def has_inits(self) -> bool:
        return bool(self.pod["spec"].get("initContainers"))

    @property
    def grace_s(self) -> float:
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _lookup(self, resource: str, name: str) -> Object | None:
        try:
            return self.node.api.get(resource, self.pod["metadata"]["namespace"], name)
        except StatusError:
            return None

    def pull_secrets(self) -> list[Object]:
        spec = self.pod["spec"]
        account = self._lookup("serviceaccounts", spec.get("serviceAccountName") or "default") or {}
        named = [*(spec.get("imagePullSecrets") or []), *(account.get("imagePullSecrets") or [])]
        return [
            s for s in (self._lookup("secrets", reference["name"]) for reference in named) if s is not None
        ]

    def changed(self) -> None:
        """Write the status, and have readiness looked at where it is all that is missing."""
        self._publish()
        for container in self._mains:
            container.ask_readiness()

    # --- what the kubelet tells --------------------------------------------------------------------------------------

    def update(self, pod: Object) -> None:
        """Take the pod as it is now; a deletion begins its end, a shorter grace hurries it."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self.end()
            for container in self._containers:
                if container.running is not None:
                    container.running.hurry(self._deletion_grace_s)

    def end(self) -> None:
        """Begin its end: it is deleted, or gone from the API already."""
        self._ending.set()

    def refresh(self) -> None:
        """Fill the volumes again: a ConfigMap or Secret has changed. Not of a pod that ends: its files go."""
        if self._ending.is_set():
            return
        try:
            self.volumes.write()
        except ConfigError as error:
            self.node.record(self.pod, "Warning", "FailedMount", str(error), "")

    def measured(self) -> list[Measured]:
        running = [c for c in self._containers if c.running is not None and c.is_running]
        return [Measured(self.pod, c.name, c.running.account) for c in running if c.running is not None]

    # --- its life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the containers to their end, then stay until the pod is deleted."""
        if not self._was_over and not self._ending.is_set():
            living = asyncio.create_task(self._live())
            ending = asyncio.create_task(self._ending.wait())
            await asyncio.wait({living, ending}, return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            if self._ending.is_set():
                await self._stop(self._deletion_grace_s)
            await self._settle(living)
        await self._ending.wait()
        self._leave()

    async def close(self, grace_s: float) -> None:
        """End the containers, for the kubelet ends; the pod goes on with the next kubelet."""
        self._silent = True
        await self._stop(grace_s)

    @property
    def _containers(self) -> Sequence[Container]:
        return [*self._inits, *self._mains]

    @property
    def _deletion_grace_s(self) -> float:
        # Also of one that was deleted by force: it is gone from the API, and still has its grace here.
        return float(self.pod["metadata"].get("deletionGracePeriodSeconds") or max(1.0, self.grace_s))

    async def _live(self) -> None:
        self._publish()
        for container in self._mains:
            container.start_probes()
        await self._fill_volumes()
        for container in self._inits:
            await self._started(container)
            if container.view.exit_code != 0:
                return
        await asyncio.gather(*(self._started(container) for container in self._mains))

    def _started(self, container: Container) -> asyncio.Task[None]:
        self._tasks[container] = asyncio.create_task(container.run())
        return self._tasks[container]

    async def _fill_volumes(self) -> None:
        while True:
            try:
                self.volumes.write()
            except ConfigError as error:
                self.node.record(self.pod, "Warning", "FailedMount", str(error), "")
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _stop(self, grace_s: float) -> None:
        for container, task in self._tasks.items():
            if not container.is_running:
                task.cancel()
        await asyncio.gather(*(container.stop(grace_s) for container in self._containers))

    async def _settle(self, living: asyncio.Task[None]) -> None:
        """Have every task end, and write what the pod was in the end."""
        running = [task for container, task in self._tasks.items() if container.is_running]
        await asyncio.gather(*running, return_exceptions=True)
        living.cancel()
        await asyncio.gather(living, *self._tasks.values(), return_exceptions=True)
        for container in self._containers:
            await container.close()
        self._over = self._ending.is_set()
        self._publish()

    def _leave(self) -> None:
        metadata = self.pod["metadata"]
        self.volumes.remove()
        shutil.rmtree(self.node.logs / metadata["uid"], ignore_errors=True)
        self.node.addresses.release(self.ip)
        try:
            options = DeleteOptions(grace_s=0, uid=metadata["uid"])
            self.node.api.delete("pods", metadata["namespace"], metadata["name"], options)
        except StatusError:
            return  # it is gone already

    def _publish(self) -> None:
        metadata, node = self.pod["metadata"], self.node
        if self._silent:
            return
        try:
            live = node.api.get("pods", metadata["namespace"], metadata["name"])
            if live["metadata"]["uid"] != metadata["uid"]:
                return
            now = stamp(node.clock.now_ns())
            facts = Facts(self.ip, node.addresses.node, self._start_time, now, self._over)
            views = [c.view for c in self._inits], [c.view for c in self._mains]
            changed = {**live, "status": pod_status(live, *views, facts)}
            self.pod = node.api.update(
                "pods", metadata["namespace"], metadata["name"], changed, OPTIONS, subresource="status"
            )
        except StatusError:
            return  # deleted by force: nobody asks any more
