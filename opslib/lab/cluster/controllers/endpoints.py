"""EndpointSlices: the addresses behind a Service. A pod is in them as soon as it has an address, and is ready when it is.

Pods on their way out stay until they are gone, not ready but serving, so that connections can be ended in peace. Pods
whose named ports differ are in slices of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import owner_reference, suffix
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.store import Event

SLICES = "endpointslices.discovery.k8s.io"
_MANAGED = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
_LARGEST = 1000
"""Endpoints in one slice, the most that Kubernetes takes; it fills them to 100, clients cannot tell."""


class EndpointSlices:
    """The EndpointSlice controller."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def keys(self, event: Event) -> set[Key]:
        if event.resource == "services":
            return {objects.key_of(event.object)}
        if event.resource == SLICES:
            return objects.owner_keys(event, "Service") if event.type == "DELETED" else set()
        if event.resource != "pods":
            return set()
        states = [event.object, *([event.previous] if event.previous else [])]
        labels = [(state["metadata"].get("labels") or {}).items() for state in states]
        services = self._api.list("services", objects.key_of(event.object)[0])
        chosen = [(service, (service["spec"].get("selector") or {}).items()) for service in services]
        return {
            objects.key_of(s)
            for s, selector in chosen
            if selector and any(selector <= each for each in labels)
        }

    def reconcile(self, key: Key) -> None:
        service = objects.find(self._api, "services", *key)
        if service is None or objects.is_deleted(service) or not service["spec"].get("selector"):
            return
        selector = service["spec"]["selector"].items()
        pods = [
            p
            for p in self._api.list("pods", key[0])
            if selector <= (p["metadata"].get("labels") or {}).items()
        ]
        wanted = slices_of(service, pods)
        present = objects.owned(self._api.list(SLICES, key[0]), service)
        free = [each for each in present if _ports(each) not in wanted]
        for ports, endpoints in wanted.items():
            same = next((each for each in present if _ports(each) == ports), None)
            self._write(service, same or (free.pop() if free else None), json.loads(ports), endpoints)
        for each in free:
            objects.delete(self._api, SLICES, each)

    def _write(
        self, service: Object, present: Object | None, ports: list[Object], endpoints: list[Object]
    ) -> None:
        namespace, name = objects.key_of(service)
        if present is not None:
            changed = {**present, "ports": ports, "endpoints": endpoints}
            objects.update(self._api, SLICES, changed)
            return
        labels = {"kubernetes.io/service-name": name, **_MANAGED, **(service["metadata"].get("labels") or {})}
        metadata: Object = {"name": f"{name}-{suffix()}", "generateName": f"{name}-", "namespace": namespace}
        metadata |= {"labels": labels, "ownerReferences": [owner_reference(service)]}
        kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
        made = {**kind, "metadata": metadata, "ports": ports, "endpoints": endpoints}
        self._api.create(SLICES, namespace, made, objects.WRITE)


def slices_of(service: Object, pods: Sequence[Object]) -> dict[str, list[Object]]:
    """Return the endpoints by their ports (as JSON text); with no pods one entry without ports."""
    found: dict[str, list[Object]] = {}
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods:
        if pod.get("status", {}).get("podIP") and not objects.is_finished(pod):
            ports = [
                port for each in service["spec"].get("ports") or () if (port := _port(each, pod)) is not None
            ]
            found.setdefault(_text(ports), []).append(_endpoint(pod, always=always))
    return {ports: endpoints[:_LARGEST] for ports, endpoints in found.items()} or {_text([]): []}


def _endpoint(pod: Object, *, always: bool) -> Object:
    namespace, name = objects.key_of(pod)
    serving, terminating = objects.ready_since(pod) is not None, objects.is_deleted(pod)
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": always or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod["metadata"]["uid"]},
    }


def _port(service_port: Object, pod: Object) -> Object | None:
    """Return where a pod takes a Service's port; None where it has no port of that name."""
    target, protocol = (
        service_port.get("targetPort", service_port["port"]),
        service_port.get("protocol", "TCP"),
    )
    if isinstance(target, str):
        ports = [port for c in pod["spec"]["containers"] for port in c.get("ports") or ()]
        same = [p for p in ports if p.get("name") == target and p.get("protocol", "TCP") == protocol]
        if not same:
            return None
        target = same[0]["containerPort"]
    return {"name": service_port.get("name", ""), "port": target, "protocol": protocol}


def _ports(piece: Object) -> str:
    ports = [{"name": "", "protocol": "TCP", **port} for port in piece.get("ports") or ()]
    return _text(ports)


def _text(ports: list[Object]) -> str:
    return json.dumps(ports, sort_keys=True)
