"""Where objects hold pods, and the parts of a pod; whatever has another shape than Kubernetes' reads as empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from opslib.kube import Object

TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): ("spec", "template"),
    **{
        ("apps", kind): ("spec", "template")
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
    },
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def mapping(value: Any, *path: str) -> dict[str, Any]:
    """Return the mapping at a path, an empty one where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def mappings(value: Any, key: str) -> list[dict[str, Any]]:
    """Return the mappings of a list, an empty list where there is none."""
    items = value.get(key) if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def template_path(body: Object) -> tuple[str, ...] | None:
    """Return where an object holds its pod, None where it holds none."""
    return TEMPLATES.get((str(body.get("apiVersion", "")).rpartition("/")[0], str(body.get("kind", ""))))


def pod_of(body: Object) -> Object:
    """Return the pod, or the template of pods, of an object; empty where it has none."""
    path = template_path(body)
    return {} if path is None else mapping(body, *path)


def containers(pod: Object) -> Iterator[tuple[str, Object]]:
    """Yield a pod's containers, those that run before it first, each with its path below the pod."""
    for part in CONTAINERS:
        for index, container in enumerate(mappings(mapping(pod, "spec"), part)):
            yield f"spec.{part}[{container.get('name', index)}]", container


def with_containers(body: Object, change: Callable[[Object], Object]) -> Object:
    """Return an object whose containers are changed by a function; the given one stays as it is."""
    path = template_path(body)
    spec = mapping(body, *path, "spec") if path is not None else {}
    parts = {
        part: [change(c) if isinstance(c, dict) else c for c in spec[part]]
        for part in CONTAINERS
        if isinstance(spec.get(part), list)
    }
    return replaced(body, (*(path or ()), "spec"), spec | parts) if parts else body


def replaced(body: Object, path: tuple[str, ...], value: Any) -> Object:
    """Return a copy of an object with one value replaced; only what lies on the path is copied."""
    head, *rest = path
    return {**body, head: replaced(body[head], tuple(rest), value) if rest else value}
