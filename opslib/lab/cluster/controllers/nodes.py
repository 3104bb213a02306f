"""The cluster's one node: what it offers, that it is ready, and the Lease by which it says so every 10 s."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import psutil

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import micro_stamp, stamp
from opslib.lab.cluster.options import Object, WriteOptions
from opslib.lab.cluster.store import Event

LEASES, LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"
SYSTEM_NAMESPACES = ("default", LEASE_NAMESPACE, "kube-public", "kube-system")
_RENEW_S = 10.0
_LEASE_S = 40
_WRITE = WriteOptions(manager="kubelet")
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The node as it registers: its name, address and version; CPU in cores and memory in bytes that pods may request."""

    name: str
    address: str
    version: str
    cpus: int
    memory: int

    @classmethod
    def of_machine(cls, name: str, address: str, version: str) -> NodeFacts:
        return cls(name, address, version, os.cpu_count() or 1, psutil.virtual_memory().total)


class Nodes:
    """Registers the node and renews its Lease. A node that was deleted registers again."""

    def __init__(self, api: Api, clock: Clock, facts: NodeFacts) -> None:
        self._api = api
        self._clock = clock
        self._facts = facts

    def keys(self, event: Event) -> set[Key]:
        gone = event.resource == "nodes" and event.type == "DELETED"
        return {("", self._facts.name)} if gone else set()

    def reconcile(self, key: Key) -> float:
        if objects.find(self._api, "nodes", *key) is None:
            self._register()
        name, now_ns = self._facts.name, self._clock.now_ns()
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_S, "renewTime": micro_stamp(now_ns)}
        lease = objects.find(self._api, LEASES, LEASE_NAMESPACE, name)
        if lease is None:
            made = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name},
                "spec": spec,
            }
            self._api.create(LEASES, LEASE_NAMESPACE, made, _WRITE)
        else:
            objects.update(self._api, LEASES, lease | {"spec": spec}, _WRITE)
        return _RENEW_S

    def _register(self) -> None:
        labels = {"kubernetes.io/hostname": self._facts.name, "kubernetes.io/os": platform.system().lower()}
        labels |= {"kubernetes.io/arch": platform.machine()}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._facts.name, "labels": labels}}
        made = self._api.create("nodes", "", node, _WRITE)
        status = node_status(self._facts, stamp(self._clock.now_ns()))
        objects.update(self._api, "nodes", made | {"status": status}, _WRITE, subresource="status")


def node_status(facts: NodeFacts, at: str) -> Object:
    """Return the status of a node that is well."""
    room = {"cpu": str(facts.cpus), "memory": f"{facts.memory // 1024}Ki", "pods": "110"}
    info = dict.fromkeys(("machineID", "systemUUID", "bootID"), "practice")
    info |= {"kernelVersion": platform.release(), "osImage": f"{platform.system()} (practice)"}
    info |= {
        "containerRuntimeVersion": "process://1",
        "kubeletVersion": facts.version,
        "kubeProxyVersion": "",
    }
    info |= {"operatingSystem": platform.system().lower(), "architecture": platform.machine()}
    times = {"lastHeartbeatTime": at, "lastTransitionTime": at}
    conditions = [
        {"type": kind, "status": status, "reason": reason, "message": text, **times}
        for kind, status, reason, text in _CONDITIONS
    ]
    addresses = [
        {"type": "InternalIP", "address": facts.address},
        {"type": "Hostname", "address": facts.name},
    ]
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": conditions,
        "addresses": addresses,
        "nodeInfo": info,
    }
