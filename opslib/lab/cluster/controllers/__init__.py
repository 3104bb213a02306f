"""The controllers: each keeps one thing true, all in turns on one loop, all through the API as anybody else."""

from __future__ import annotations

from collections.abc import Mapping

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api, Usage
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.accounts import Accounts
from opslib.lab.cluster.controllers.autoscaler import Autoscaler
from opslib.lab.cluster.controllers.budgets import Budgets, evict
from opslib.lab.cluster.controllers.deployments import Deployments
from opslib.lab.cluster.controllers.endpoints import EndpointSlices
from opslib.lab.cluster.controllers.events import EventExpiry, Recorder
from opslib.lab.cluster.controllers.garbage import Garbage
from opslib.lab.cluster.controllers.jobs import Jobs
from opslib.lab.cluster.controllers.loop import Controller, Queue, Timers
from opslib.lab.cluster.controllers.namespaces import Namespaces
from opslib.lab.cluster.controllers.nodes import SYSTEM_NAMESPACES, NodeFacts, Nodes
from opslib.lab.cluster.controllers.replicasets import ReplicaSets
from opslib.lab.cluster.controllers.scheduler import Scheduler
from opslib.lab.cluster.store import Event

__all__ = ["Controllers", "NodeFacts", "Recorder", "Timers", "evict", "run_controllers"]


class Controllers:
    """The running controllers; `stop` ends them at once, nothing of them is left."""

    def __init__(self, api: Api, queues: Mapping[str, Queue]) -> None:
        self.queues = queues
        self._end = api.subscribe(self._tell)
        for resource in api.resources:
            for obj in api.list(resource.name) if resource.stored else ():
                self._tell(Event("ADDED", resource.name, obj, None, 0))

    def _tell(self, event: Event) -> None:
        for queue in self.queues.values():
            queue.tell(event)

    def stop(self) -> None:
        self._end()
        for queue in self.queues.values():
            queue.stop()


def run_controllers(
    api: Api, clock: Clock, timers: Timers, *, usage: Usage, node: NodeFacts, ca_pem: str
) -> Controllers:
    """Start all controllers on an asyncio loop (`timers`), with the namespaces and the node that every cluster has."""

    def recorder(component: str) -> Recorder:
        return Recorder(api, clock, component)

    controllers: dict[str, Controller] = {
        "accounts": Accounts(api, ca_pem),
        "replicasets": ReplicaSets(api, clock, recorder("replicaset-controller")),
        "deployments": Deployments(api, clock, recorder("deployment-controller")),
        "jobs": Jobs(api, clock, recorder("job-controller")),
        "scheduler": Scheduler(api, clock, recorder("default-scheduler")),
        "endpoints": EndpointSlices(api),
        "budgets": Budgets(api, clock),
        "autoscaler": Autoscaler(api, clock, recorder("horizontal-pod-autoscaler"), usage),
        "garbage": Garbage(api),
        "namespaces": Namespaces(api, clock),
        "nodes": Nodes(api, clock, node),
        "events": EventExpiry(api, clock),
    }
    for name in SYSTEM_NAMESPACES:
        if objects.find(api, "namespaces", "", name) is None:
            made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            api.create("namespaces", "", made, objects.WRITE)
    running = Controllers(api, {name: Queue(each, timers) for name, each in controllers.items()})
    running.queues["nodes"].add(("", node.name))
    return running
