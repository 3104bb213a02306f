"""Rules about what a pod says of itself: resources, images, rights, secrets in plain sight. Each yields its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opslib.core.errors import QuantityError
from opslib.core.quantity import Quantity, parse_quantity
from opslib.kube import Object
from opslib.manifests.images import parse_image
from opslib.manifests.model import Manifest
from opslib.manifests.plain_secrets import looks_secret, secret_arguments
from opslib.manifests.pods import containers, mapping, mappings, pod_of
from opslib.manifests.scene import Scene, selects

Evidence = Iterator[tuple[Manifest, str]]

# What no container needs: below or above it a suffix was forgotten or mistaken (`128m` of memory is 0.128 bytes).
_SENSIBLE = {"cpu": ("1m", "256"), "memory": ("4Mi", "4Ti")}


def _each(scene: Scene) -> Iterator[tuple[Manifest, str, Object]]:
    """Yield every container of the set with its manifest and name."""
    for manifest, pod in scene.with_pods():
        for path, container in containers(pod):
            if not path.startswith("spec.ephemeral"):
                yield manifest, f"container {container.get('name', '?')}", container


def resources_missing(scene: Scene) -> Evidence:
    for manifest, name, container in _each(scene):
        requests, limits = (mapping(container, "resources", part) for part in ("requests", "limits"))
        # A limit without a request is the request as well.
        absent = [f"no {r} request" for r in ("cpu", "memory") if r not in requests and r not in limits]
        absent += [] if "memory" in limits else ["no memory limit"]
        if absent:
            yield manifest, f"{name} has {', '.join(absent)}"


def resources_absurd(scene: Scene) -> Evidence:
    for manifest, name, container in _each(scene):
        for resource, (least, most) in _SENSIBLE.items():
            found: dict[str, Quantity] = {}
            for part in ("requests", "limits"):
                value = mapping(container, "resources", part).get(resource)
                try:
                    found |= {} if value is None else {part: parse_quantity(value)}
                except (QuantityError, TypeError) as error:
                    yield manifest, f"{name}: {resource} in {part} is no quantity: {error}"
            for part, amount in found.items():
                if not parse_quantity(least) <= amount <= parse_quantity(most):
                    yield manifest, f"{name}: {resource} in {part} is {amount}, outside of {least} to {most}"
            if len(found) == 2 and found["requests"] > found["limits"]:
                yield (
                    manifest,
                    f"{name} requests more {resource} ({found['requests']}) than its limit {found['limits']}",
                )


def readiness_missing(scene: Scene) -> Evidence:
    services = [(s, mapping(s.body, "spec").get("selector")) for s in scene.of_kind("Service")]
    for manifest, pod in scene.with_pods():
        labels = mapping(pod, "metadata", "labels")
        space = scene.namespace_of(manifest.body)
        probed = any("readinessProbe" in c for c in mappings(mapping(pod, "spec"), "containers"))
        for service, selector in services:
            if (
                selector
                and not probed
                and scene.namespace_of(service.body) == space
                and selects(selector, labels)
            ):
                yield manifest, f"{service.ref} sends it calls, and no container has a readinessProbe"


def image_latest(scene: Scene) -> Evidence:
    for manifest, name, container in _each(scene):
        image = parse_image(str(container.get("image", "")))
        if not image.digest and image.tag in {"", "latest"}:
            yield (
                manifest,
                f"{name} runs {container.get('image', 'no image')!r}, whatever that is at the time",
            )


def image_not_pinned(scene: Scene) -> Evidence:
    for manifest, name, container in _each(scene):
        image = parse_image(str(container.get("image", "")))
        if not image.digest and image.tag not in {"", "latest"}:
            yield manifest, f"{name} runs {container['image']!r}: a tag can be pushed again"


def secret_in_plain(scene: Scene) -> Evidence:
    for manifest, name, container in _each(scene):
        for variable in mappings(container, "env"):
            if reason := looks_secret(str(variable.get("name")), str(variable.get("value") or "")):
                yield manifest, f"{name}: variable {variable.get('name')}: {reason}"
        for part in ("command", "args"):
            words = container.get(part)
            for reason in secret_arguments(words if isinstance(words, list) else ()):
                yield manifest, f"{name}: {part}: {reason}"
    for manifest in scene.of_kind("ConfigMap"):
        for key, value in mapping(manifest.body, "data").items():
            if reason := looks_secret(str(key), str(value)):
                yield manifest, f"key {key}: {reason}"


def privileged(scene: Scene) -> Evidence:
    for manifest, name, container in _each(scene):
        context = mapping(container, "securityContext")
        if context.get("privileged") is True:
            yield manifest, f"{name} is privileged: it can do what the node can"
        added = mapping(context, "capabilities").get("add")
        if isinstance(added, list) and {"ALL", "SYS_ADMIN", "CAP_SYS_ADMIN"} & set(map(str, added)):
            yield manifest, f"{name} has capabilities of the node's administrator"
    for manifest, pod in scene.with_pods():
        spec = mapping(pod, "spec")
        for volume in mappings(spec, "volumes"):
            if "hostPath" in volume:
                yield (
                    manifest,
                    f"volume {volume.get('name')} is the node's {mapping(volume, 'hostPath').get('path')}",
                )
        for word in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(word) is True:
                yield manifest, f"{word} is true: the pod is not apart from its node"


def runs_as_root(scene: Scene) -> Evidence:
    for manifest, pod in scene.with_pods():
        of_pod = mapping(pod, "spec", "securityContext")
        for _, container in containers(pod):
            context = {**of_pod, **mapping(container, "securityContext")}
            if context.get("runAsUser") == 0:
                yield manifest, f"container {container.get('name')} runs as root"
            elif context.get("runAsNonRoot") is not True and not _is_user(context.get("runAsUser")):
                yield (
                    manifest,
                    f"container {container.get('name')} may run as root: nothing says runAsNonRoot",
                )


def _is_user(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def autoscaler_without_requests(scene: Scene) -> Evidence:
    for manifest in scene.of_kind("HorizontalPodAutoscaler"):
        spec = mapping(manifest.body, "spec")
        target = mapping(spec, "scaleTargetRef")
        group = str(target.get("apiVersion", "")).rpartition("/")[0]
        body = scene.find(group, str(target.get("kind")), manifest.body, target.get("name"))
        if body is None:
            yield manifest, f"its target {target.get('kind')} {target.get('name')} is {scene.where}"
            continue
        by_use = [mapping(m, "resource") for m in mappings(spec, "metrics")]
        wanted = {
            str(m["name"])
            for m in by_use
            if mapping(m, "target").get("type") == "Utilization" and "name" in m
        }
        wanted |= {"cpu"} if "metrics" not in spec else set()
        for resource in sorted(wanted):
            if absent := _without_request(body, resource):
                yield (
                    manifest,
                    f"it scales by {resource} use, and {', '.join(absent)} of {target['name']} requests none",
                )


def _without_request(body: Object, resource: str) -> list[str]:
    found = []
    for path, container in containers(pod_of(body)):
        has = any(resource in mapping(container, "resources", part) for part in ("requests", "limits"))
        if path.startswith("spec.containers") and not has:
            found.append(f"container {container.get('name')}")
    return found
