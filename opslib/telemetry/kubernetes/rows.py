"""Kubernetes' objects as rows of the change log: one way of saying it for whoever watches a cluster and whoever asks one.

A row is `{column: value}` with the columns of events, its attributes a dict. Times are unix nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]
Row = dict[str, Any]

VERSION = "app.kubernetes.io/version"
_NAME, _COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"


def workload_of(obj: Object) -> str:
    """Return the service that an object belongs to: its component, else its application name, else ""."""
    labels = obj["metadata"].get("labels") or {}
    return str(labels.get(_COMPONENT) or labels.get(_NAME) or "")


def version_of(workload: Object) -> str:
    """Return the version that the pods of a Deployment or ReplicaSet have: their label, else the tag of their image."""
    template = workload["spec"]["template"]
    image = template["spec"]["containers"][0]["image"]
    return version_label(template) or image.rpartition("/")[2].partition(":")[2] or "latest"


def version_label(obj: Object) -> str:
    """Return the version that labels say, "" where they say none."""
    return str(((obj.get("metadata") or {}).get("labels") or {}).get(VERSION) or "")


def rollout_row(
    about: Object,
    name: str,
    time_ns: int,
    versions: tuple[str, str],
    pods: Iterable[str],
    *,
    back: bool = False,
) -> Row:
    """Return that a workload went from one version to another; `pods` have the new one."""
    old, new = versions
    message = f"{name} {'rolled back' if back else 'rolled out'}: {old} -> {new}"
    return change_row(
        about, name, time_ns, "Rollout", message, {"from": old, "to": new, "pods": sorted(pods)}
    )


def template_row(about: Object, name: str, time_ns: int) -> Row:
    """Return that something else than the version changed in a workload's pod template."""
    return change_row(about, name, time_ns, "Config", f"the pod template of {name} was changed")


def scale_row(about: Object, name: str, time_ns: int, old: int | None, new: int | None) -> Row:
    """Return that a workload was scaled; from how many replicas, where that is known."""
    if old is None:
        message, step = f"{name} was scaled to {new} replicas", {}
    else:
        message, step = f"{name} was scaled: {old} -> {new} replicas", {"from_replicas": old}
    return change_row(about, name, time_ns, "Scale", message, {**step, "to_replicas": new})


def change_row(  # noqa: PLR0917 - a row of the change log
    about: Object, name: str, time_ns: int, reason: str, message: str, attributes: Row | None = None
) -> Row:
    """Return a change of what stands under `name`, the service where it is one; `about` gives the namespace."""
    return {
        "time_unix_nano": time_ns,
        "type": "Change",
        "reason": reason,
        "message": message,
        "kind": "Deployment",
        "name": name,
        "namespace": about["metadata"]["namespace"],
        "attributes": attributes or {},
    }


def event_row(event: Object, workload: str, time_ns: int) -> Row:
    """Return Kubernetes' event as a row of a capture, under the name of the service that it concerns, if any."""
    about = event["involvedObject"]
    kind, name = (str(about.get(key) or "") for key in ("kind", "name"))
    return {
        "time_unix_nano": time_ns,
        "type": event.get("type", "Normal"),
        "reason": event.get("reason", ""),
        "message": event.get("message", ""),
        "kind": "Deployment" if workload else kind,
        "name": workload or name,
        "namespace": about.get("namespace", ""),
        "attributes": {kind.lower(): name, "count": event.get("count") or 1},
    }
