"""The scale subresource: the replicas of a Deployment or ReplicaSet, seen alone."""

from __future__ import annotations

from typing import Any

from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.schema import schema_of

_SCALE = Resource("autoscaling", "v1", "Scale", "scales")
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Object) -> Object:
    """Return the Scale of a workload."""
    metadata = {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]}
    labels = obj["spec"].get("selector", {}).get("matchLabels", {})
    status: dict[str, Any] = {"replicas": obj.get("status", {}).get("replicas", 0)}
    if labels:
        status["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": status,
    }


def scaled(obj: Object, scale: Object) -> Object:
    """Return the workload with the replicas of a Scale, and the precondition that the Scale bears.

    Raises:
        StatusError: 400, it is no Scale.
    """
    asked, _ = decode(schema_of(_SCALE), _SCALE, scale)
    version = asked.get("metadata", {}).get("resourceVersion") or obj["metadata"]["resourceVersion"]
    spec = {**obj["spec"], "replicas": asked.get("spec", {}).get("replicas", 0)}
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}, "spec": spec}
