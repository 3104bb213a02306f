"""What a new Namespace, Pod or Service gets beyond defaults: things that depend on the rest of the cluster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Network
from typing import Any

from opslib.lab.cluster.causes import invalid as invalid_field
from opslib.lab.cluster.metadata import suffix, with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.statuses import invalid

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, as pods know it
_TOKEN_S = 3607  # what Kubernetes itself writes: an hour, told apart from a user's own 3600
_EVICT_AFTER_S = 300


def namespace(obj: Object) -> Object:
    """Return a Namespace with its label and the finalizer that its content ends with."""
    metadata = obj["metadata"]
    labels = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
    return {
        **with_metadata(obj, labels=labels),
        "spec": {**obj.get("spec", {}), "finalizers": ["kubernetes"]},
    }


def pod(obj: Object, account: Object) -> Object:
    """Return a Pod with its service account's token and pull secrets, tolerations, priority and QoS class."""
    spec = dict(obj["spec"])
    name = account["metadata"]["name"]
    spec |= {"serviceAccountName": name, "serviceAccount": name}
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    automount = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if automount:
        spec = _with_token(spec)
    spec["tolerations"] = [*spec.get("tolerations", ()), *_tolerations(spec)]
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("enableServiceLinks", True)
    return {**obj, "spec": spec, "status": {**obj["status"], "qosClass": qos_class(spec)}}


def _with_token(spec: Mapping[str, Any]) -> dict[str, Any]:
    volume = f"kube-api-access-{suffix()}"
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_S, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {
            "downwardAPI": {
                "items": [
                    {
                        "path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }
                ]
            }
        },
    ]
    mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_PATH}
    changed: dict[str, Any] = {}
    for kind in ("initContainers", "containers"):
        if kind in spec:
            changed[kind] = [_mounted(container, mount) for container in spec[kind]]
    projected = {"name": volume, "projected": {"sources": sources, "defaultMode": 420}}
    return {**spec, **changed, "volumes": [*spec.get("volumes", ()), projected]}


def _mounted(container: Object, mount: Object) -> Object:
    mounts = container.get("volumeMounts", [])
    if any(each.get("mountPath") == TOKEN_PATH for each in mounts):
        return container
    return {**container, "volumeMounts": [*mounts, mount]}


def _tolerations(spec: Mapping[str, Any]) -> list[Object]:
    present = {each.get("key") for each in spec.get("tolerations", ())}
    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _EVICT_AFTER_S}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        if key not in present
    ]


def qos_class(spec: Mapping[str, Any]) -> str:
    """Return Guaranteed, Burstable or BestEffort by the containers' requests and limits of CPU and memory."""
    asked = [
        c.get("resources") or {} for kind in ("initContainers", "containers") for c in spec.get(kind, ())
    ]
    pairs = [(r.get("requests") or {}, r.get("limits") or {}) for r in asked]
    named = [{*requests, *limits} & {"cpu", "memory"} for requests, limits in pairs]
    if not any(named):
        return "BestEffort"
    guaranteed = all(
        names == {"cpu", "memory"} and all(limits.get(n) == requests.get(n, limits.get(n)) for n in names)
        for names, (requests, limits) in zip(named, pairs, strict=True)
    )
    return "Guaranteed" if guaranteed else "Burstable"


def service(resource: Resource, obj: Object, network: IPv4Network, taken: Collection[str]) -> Object:
    """Return a Service with its cluster IP: the one that it asks for, else the first free one of the network."""
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return obj
    address = spec.get("clusterIP") or _free(resource, obj, network, taken)
    if address != "None" and address in taken:
        cause = invalid_field("spec.clusterIPs", [address], "failed to allocate IP " + address)
        raise invalid(resource, obj["metadata"]["name"], [cause])
    return {**obj, "spec": {**spec, "clusterIP": address, "clusterIPs": [address]}}


def _free(resource: Resource, obj: Object, network: IPv4Network, taken: Collection[str]) -> str:
    for address in network.hosts():
        if str(address) not in taken:
            return str(address)
    cause = invalid_field("spec.clusterIPs", [], "no address is left in " + str(network))
    raise invalid(resource, obj["metadata"]["name"], [cause])
