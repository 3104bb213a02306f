"""What the server itself puts into objects, and which fields a write may touch: pure, one rule per kind.

A write of an object never changes its status, a write of its status never changes anything else, and nobody but the
server writes uid, times and generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opslib.lab.cluster.metadata import new_uid, stamp, with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource

# Fields of metadata that only the server writes; a client's values are dropped.
_SERVERS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "resourceVersion",
)
_STATUS_OF_ITS_OWN = ("nodes",)  # a kubelet registers its node with its status
_INITIAL: Mapping[str, Mapping[str, Any]] = {
    "pods": {"phase": "Pending"},
    "namespaces": {"phase": "Active"},
}
_SPEC_IS_THE_REST = ("metadata", "status", "kind", "apiVersion")


def born(resource: Resource, obj: Object, now_ns: int) -> Object:
    """Return a new object as it is first kept: identity, times, generation 1, the status that its kind starts with."""
    fields: dict[str, Any] = dict.fromkeys(_SERVERS)
    fields |= {"uid": new_uid(), "creationTimestamp": stamp(now_ns)}
    if resource.generation:
        fields["generation"] = 1
    new = with_metadata(obj, **fields)
    if resource.has_status and resource.name not in _STATUS_OF_ITS_OWN:
        new.pop("status", None)
        if resource.name in _INITIAL:
            new["status"] = dict(_INITIAL[resource.name])
    return new


def carried(resource: Resource, live: Object, new: Object, subresource: str) -> Object:
    """Return what a write asks for, with all that it may not change taken from the live object."""
    kept = {key: live["metadata"].get(key) for key in _SERVERS}
    kept |= {"name": live["metadata"]["name"], "namespace": live["metadata"].get("namespace")}
    if subresource in {"status", "finalize"}:
        return _part(live, with_metadata(new, **kept), subresource)
    carried_over = with_metadata(new, **kept)
    if resource.has_status:
        carried_over = _with(carried_over, "status", live.get("status"))
    if resource.name == "services":
        carried_over = _with_cluster_ip(live, carried_over)
    return carried_over


def _part(live: Object, new: Object, subresource: str) -> Object:
    if subresource == "finalize":
        spec = {**live.get("spec", {}), "finalizers": (new.get("spec") or {}).get("finalizers") or []}
        return {**live, "spec": spec}
    # A controller marks a Deployment's revision in its annotations when it writes the status.
    names = {key: new["metadata"].get(key) for key in ("annotations", "managedFields")}
    return _with(with_metadata(live, **names), "status", new.get("status"))


def _with(obj: Object, key: str, value: Any) -> Object:
    if value is None:
        return {k: v for k, v in obj.items() if k != key}
    return {**obj, key: value}


def _with_cluster_ip(live: Object, new: Object) -> Object:
    """A Service written without its address keeps the one it has."""
    old, spec = live.get("spec", {}), new.get("spec") or {}
    missing = {key: old[key] for key in ("clusterIP", "clusterIPs") if key in old and not spec.get(key)}
    return {**new, "spec": {**spec, **missing}}


def next_generation(resource: Resource, live: Object, new: Object) -> Object:
    """Count a change of anything but metadata and status in metadata.generation."""
    if not resource.generation or _spec(live) == _spec(new):
        return new
    return with_metadata(new, generation=live["metadata"].get("generation", 0) + 1)


def _spec(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in _SPEC_IS_THE_REST}


def same(one: Object, other: Object) -> bool:
    """Whether two states differ in nothing but who manages which field."""
    return with_metadata(one, managedFields=None) == with_metadata(other, managedFields=None)
