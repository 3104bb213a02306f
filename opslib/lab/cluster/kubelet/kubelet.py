"""Watches the pods that are bound to the node and keeps a worker for each."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.kubelet.addresses import Addresses
from opslib.lab.cluster.kubelet.guard import end_all
from opslib.lab.cluster.kubelet.images import Images
from opslib.lab.cluster.kubelet.limits import sessions
from opslib.lab.cluster.kubelet.logs import Logs
from opslib.lab.cluster.kubelet.node import NODE, Facts, Node, Record, report
from opslib.lab.cluster.kubelet.pods import PodWorker
from opslib.lab.cluster.kubelet.usage import EVERY_S, Measured, Usage
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.store import Event

_LOOK_S = 1.0  # at which processes containers have
_STOP_GRACE_S = 3.0


class Kubelet:
    """The node's kubelet; `logs` and `usage` answer for the API."""

    def __init__(
        self,
        api: Api,
        state: Path,
        clock: Clock,
        *,
        images: Images,
        addresses: Addresses,
        facts: Facts,
        record: Record,
        backoff_scale: float = 1.0,
    ) -> None:
        self._api, self._state = api, state.resolve()
        loop_s = asyncio.get_running_loop().time()
        self._node = Node(api, clock, images, addresses, facts, record, self._state, loop_s, backoff_scale)
        self.logs = Logs(api, self._node.logs, clock)
        self.usage = Usage(self.measured, clock)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: Callable[[], None] = lambda: None
        self._looking: asyncio.Task[None] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """End what an earlier kubelet left, then run what is bound to the node."""
        await asyncio.to_thread(end_all, self._state)
        self._be_guarded()
        self._unsubscribe = self._api.subscribe(self._hear)
        pods = self._api.list("pods")
        _remove_others((self._state / "pods", self._node.logs), {p["metadata"]["uid"] for p in pods})
        for pod in pods:
            self._see(pod)
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End all containers; the pods stay in the API as they are."""
        self._unsubscribe()
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(*(worker.close(_STOP_GRACE_S) for worker in self._workers.values()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._guard is not None:
            _let_go(self._guard)
            await asyncio.to_thread(self._guard.wait)

    def _hear(self, event: Event) -> None:
        if event.resource == "pods":
            if event.type == "DELETED":
                self._forget(event.object)
            else:
                self._see(event.object)
        elif event.resource in {"configmaps", "secrets"}:
            for worker in self._workers.values():
                if worker.pod["metadata"]["namespace"] == event.object["metadata"]["namespace"]:
                    worker.refresh()

    def _see(self, pod: Object) -> None:
        if pod["spec"].get("nodeName") != NODE:
            return
        uid = pod["metadata"]["uid"]
        if uid not in self._workers:
            worker = self._workers[uid] = PodWorker(self._node, pod)
            task = self._tasks[uid] = asyncio.create_task(worker.run(), name=pod["metadata"]["name"])
            task.add_done_callback(lambda _: self._ended(uid))
            task.add_done_callback(report)
        self._workers[uid].update(pod)

    def _forget(self, pod: Object) -> None:
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is not None:
            worker.end()

    def _ended(self, uid: str) -> None:
        del self._workers[uid], self._tasks[uid]

    def measured(self) -> Iterable[Measured]:
        """Return the containers that run, with their processes."""
        return [measured for worker in self._workers.values() for measured in worker.measured()]

    def _be_guarded(self) -> None:
        """Have a guard, another one where somebody has killed it."""
        if self._guard is not None and self._guard.poll() is not None:
            _let_go(self._guard)
            self._guard = None
        if self._guard is None:
            self._guard = _start_guard(self._state)

    async def _look(self) -> None:
        looks = 0
        while True:
            accounts = {m.account.session: m.account for m in self.measured()}
            for session, pids in sessions(accounts).items() if accounts else ():
                accounts[session].members = pids
            self._be_guarded()
            if looks % round(EVERY_S / _LOOK_S) == 0:
                self.usage.look()
            looks += 1
            await asyncio.sleep(_LOOK_S)


def _remove_others(folders: Iterable[Path], uids: Collection[str]) -> None:
    """Remove what is left of pods that were deleted while no kubelet ran."""
    for folder in folders:
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in uids:
                shutil.rmtree(path, ignore_errors=True)


def _start_guard(state: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "opslib.lab.cluster.kubelet.guard", str(state)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _let_go(guard: subprocess.Popen[bytes]) -> None:
    if guard.stdin is not None:
        guard.stdin.close()
