"""The scheduler: a pod gets the first node that has room for what it requests; one that fits nowhere waits, and says why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from opslib.core.clock import Clock
from opslib.core.quantity import parse_quantity
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.events import Recorder
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import Object, WriteOptions
from opslib.lab.cluster.store import Event

NAME = "default-scheduler"
_WRITE = WriteOptions(manager="kube-scheduler")


@dataclass(frozen=True, slots=True)
class Room:
    """CPU in thousandths of a core, memory in bytes, pods."""

    cpu_milli: int = 0
    memory: int = 0
    pods: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.cpu_milli + other.cpu_milli, self.memory + other.memory, self.pods + other.pods)


class Scheduler:
    """Binds pods to nodes."""

    def __init__(self, api: Api, clock: Clock, recorder: Recorder) -> None:
        self._api = api
        self._clock = clock
        self._recorder = recorder

    def keys(self, event: Event) -> set[Key]:
        if event.resource == "pods":
            if event.type == "DELETED" or objects.is_finished(event.object):
                return self._waiting()
            changed = event.previous is None or event.previous["spec"] != event.object["spec"]
            return {objects.key_of(event.object)} if changed and _waits(event.object) else set()
        return self._waiting() if event.resource == "nodes" and event.type != "DELETED" else set()

    def _waiting(self) -> set[Key]:
        return {objects.key_of(pod) for pod in self._api.list("pods") if _waits(pod)}

    def reconcile(self, key: Key) -> None:
        pod = objects.find(self._api, "pods", *key)
        if pod is None or not _waits(pod):
            return
        nodes, reasons = self._api.list("nodes"), Counter[str]()
        for node in nodes:
            lacking = self._lacking(pod, node)
            if not lacking:
                name = node["metadata"]["name"]
                bound = self._api.bind(key[0], key[1], name)
                text = f"Successfully assigned {'/'.join(key)} to {name}"
                self._recorder.record(bound, "Normal", "Scheduled", text, action="Binding")
                return
            reasons.update(lacking)
        self._refuse(pod, why(len(nodes), reasons))

    def _lacking(self, pod: Object, node: Object) -> list[str]:
        name = node["metadata"]["name"]
        others = [
            o
            for o in self._api.list("pods")
            if o["spec"].get("nodeName") == name and not objects.is_finished(o)
        ]
        return lacking(pod, node, sum((request_of(other) for other in others), Room()))

    def _refuse(self, pod: Object, message: str) -> None:
        now = objects.condition(pod, "PodScheduled")
        if now is not None and now.get("message") == message:
            return
        new: Object = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
        }
        new |= {"lastProbeTime": None, "lastTransitionTime": stamp(self._clock.now_ns())}
        others = [c for c in pod["status"].get("conditions") or () if c["type"] != "PodScheduled"]
        status = pod["status"] | {"conditions": [*others, new]}
        objects.update(self._api, "pods", pod | {"status": status}, _WRITE, subresource="status")
        self._recorder.record(pod, "Warning", "FailedScheduling", message, action="Scheduling")


def _waits(pod: Object) -> bool:
    spec = pod["spec"]
    ours = spec.get("schedulerName", NAME) == NAME
    return ours and not spec.get("nodeName") and objects.is_active(pod)


def lacking(pod: Object, node: Object, used: Room) -> list[str]:
    """Return why a pod cannot run on a node, in the scheduler's words; [] when it can."""
    labels, allocatable = node["metadata"].get("labels") or {}, node["status"].get("allocatable") or {}
    if node["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    if not (pod["spec"].get("nodeSelector") or {}).items() <= labels.items():
        return ["node(s) didn't match Pod's node affinity/selector"]
    asked, most = request_of(pod), _room(allocatable, int(allocatable.get("pods", "110")))
    wanted = used + asked
    return [
        *(["Too many pods"] if wanted.pods > most.pods else []),
        *(["Insufficient cpu"] if asked.cpu_milli and wanted.cpu_milli > most.cpu_milli else []),
        *(["Insufficient memory"] if asked.memory and wanted.memory > most.memory else []),
    ]


def why(nodes: int, reasons: Counter[str]) -> str:
    """Return the message of a pod that fits nowhere."""
    if not nodes:
        return "no nodes available to schedule pods"
    told = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    fits = "No preemption victims found for incoming pod"
    if not any(reason.startswith(("Insufficient", "Too many")) for reason in reasons):
        fits = "Preemption is not helpful for scheduling"
    return (
        f"0/{nodes} nodes are available: {told}. preemption: 0/{nodes} nodes are available: {nodes} {fits}."
    )


def request_of(pod: Object) -> Room:
    """Return what a pod requests: its containers together, or its largest init container where that is more."""
    running = sum((_asked(c) for c in pod["spec"]["containers"]), Room(pods=1))
    first = [_asked(c) for c in pod["spec"].get("initContainers") or ()]
    cpu_milli = max([running.cpu_milli, *(each.cpu_milli for each in first)])
    return Room(cpu_milli, max([running.memory, *(each.memory for each in first)]), 1)


def _asked(container: Object) -> Room:
    return _room((container.get("resources") or {}).get("requests") or {}, 0)


def _room(amounts: Object, pods: int) -> Room:
    return Room(
        parse_quantity(amounts.get("cpu", "0")).milli, parse_quantity(amounts.get("memory", "0")).whole, pods
    )
