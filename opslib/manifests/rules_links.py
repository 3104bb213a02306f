"""Rules about what objects say of each other: selectors, ports, names. What is not there is said with where it was sought."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from opslib.core.foreign import json_object
from opslib.kube import Object
from opslib.manifests.images import parse_image
from opslib.manifests.model import Manifest
from opslib.manifests.pods import containers, mapping, mappings, pod_of
from opslib.manifests.scene import Scene, selects

Evidence = Iterator[tuple[Manifest, str]]

_WITH_SELECTOR = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
# Registries that serve images to everybody; from any other a pull needs credentials.
_PUBLIC = {
    "",
    "docker.io",
    "registry.k8s.io",
    "quay.io",
    "ghcr.io",
    "gcr.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
}


def selector_matches_nothing(scene: Scene) -> Evidence:
    for manifest in scene.of_kind(*_WITH_SELECTOR):
        selector = mapping(manifest.body, "spec").get("selector")
        if not selects(selector, mapping(pod_of(manifest.body), "metadata", "labels")):
            yield manifest, "its selector does not choose the pods of its own template"
    for manifest in scene.of_kind("Service", "PodDisruptionBudget"):
        selector = mapping(manifest.body, "spec").get("selector")
        if selector and not scene.selected(selector, manifest.body):
            yield manifest, f"a pod with the labels of its selector is {scene.where}"


def service_port_missing(scene: Scene) -> Evidence:
    for manifest in scene.of_kind("Service"):
        spec = mapping(manifest.body, "spec")
        pods = scene.selected(spec.get("selector"), manifest.body) if spec.get("selector") else []
        ports = [p for pod in pods for _, c in containers(pod) for p in mappings(c, "ports")]
        known = [p.get("containerPort") for p in ports] + [p["name"] for p in ports if "name" in p]
        for port in mappings(spec, "ports") if pods else ():
            target = port.get("targetPort", port.get("port"))
            if target not in known:
                yield (
                    manifest,
                    f"its port {port.get('port')} leads to {target!r}, which no container of its pods opens",
                )


def ingress_service_missing(scene: Scene) -> Evidence:
    for manifest in scene.of_kind("Ingress"):
        spec = mapping(manifest.body, "spec")
        paths = [p for r in mappings(spec, "rules") for p in mappings(mapping(r, "http"), "paths")]
        backends = [mapping(spec, "defaultBackend"), *(mapping(p, "backend") for p in paths)]
        for wanted in (mapping(b, "service") for b in backends):
            if not wanted:
                continue
            service = scene.find("", "Service", manifest.body, wanted.get("name"))
            port = mapping(wanted, "port")
            if service is None:
                yield manifest, f"its Service {wanted.get('name')} is {scene.where}"
            elif not _has_port(service, port):
                yield manifest, f"Service {wanted['name']} has no port {port.get('number', port.get('name'))}"


def _has_port(service: Object, port: Object) -> bool:
    ports = mappings(mapping(service, "spec"), "ports")
    return any(
        p.get("port") == port.get("number") if "number" in port else p.get("name") == port.get("name")
        for p in ports
    )


def budget_missing(scene: Scene) -> Evidence:
    budgets = list(scene.of_kind("PodDisruptionBudget"))
    for manifest in scene.of_kind("Deployment", "StatefulSet"):
        replicas = mapping(manifest.body, "spec").get("replicas", 1)
        labels = mapping(pod_of(manifest.body), "metadata", "labels")
        space = scene.namespace_of(manifest.body)
        guarded = any(
            scene.namespace_of(b.body) == space and selects(mapping(b.body, "spec").get("selector"), labels)
            for b in budgets
        )
        if isinstance(replicas, int) and replicas > 1 and not guarded:
            yield (
                manifest,
                f"no PodDisruptionBudget keeps some of its {replicas} replicas while nodes are drained",
            )


def reference_missing(scene: Scene) -> Evidence:
    for manifest, pod in scene.with_pods():
        for kind, name, keys, optional in references(pod):
            found = scene.find("", kind, manifest.body, name)
            if found is None and not optional:
                yield manifest, f"{kind} {name} is {scene.where}"
            elif found is not None and not optional:
                there = {
                    *mapping(found, "data"),
                    *mapping(found, "stringData"),
                    *mapping(found, "binaryData"),
                }
                for key in sorted(keys - there):
                    yield manifest, f"{kind} {name} has no key {key}"


def references(pod: Object) -> Iterator[tuple[str, str, set[str], bool]]:
    """Yield what a pod needs: kind, name, keys, and whether it does without."""
    for _, container in containers(pod):
        for source in mappings(container, "envFrom"):
            yield from _reference(source, "configMapRef", "ConfigMap", "name")
            yield from _reference(source, "secretRef", "Secret", "name")
        for variable in mappings(container, "env"):
            yield from _reference(mapping(variable, "valueFrom"), "configMapKeyRef", "ConfigMap", "name")
            yield from _reference(mapping(variable, "valueFrom"), "secretKeyRef", "Secret", "name")
    for volume in mappings(mapping(pod, "spec"), "volumes"):
        yield from _reference(volume, "configMap", "ConfigMap", "name")
        yield from _reference(volume, "secret", "Secret", "secretName")
        for source in mappings(mapping(volume, "projected"), "sources"):
            yield from _reference(source, "configMap", "ConfigMap", "name")
            yield from _reference(source, "secret", "Secret", "name")


def _reference(holder: Object, key: str, kind: str, name: str) -> Iterator[tuple[str, str, set[str], bool]]:
    wanted = mapping(holder, key)
    if wanted.get(name):
        keys = (
            {str(wanted["key"])}
            if "key" in wanted
            else {str(i.get("key")) for i in mappings(wanted, "items")}
        )
        yield kind, str(wanted[name]), keys, wanted.get("optional") is True


def pull_secret_missing(scene: Scene) -> Evidence:
    for manifest, pod in scene.with_pods():
        images = {str(c.get("image", "")) for _, c in containers(pod)}
        registries = {parse_image(image).registry for image in images} - _PUBLIC
        private = sorted(r for r in registries if r.partition(":")[0] not in {"localhost", "127.0.0.1"})
        if not private:
            continue
        spec = mapping(pod, "spec")
        account = scene.find("", "ServiceAccount", manifest.body, spec.get("serviceAccountName", "default"))
        names = [s.get("name") for holder in (spec, account) for s in mappings(holder, "imagePullSecrets")]
        secrets = {str(n): scene.find("", "Secret", manifest.body, n) for n in names}
        usable = {host for secret in secrets.values() for host in _hosts(secret)}
        for registry in private:
            if registry not in usable:
                tried = (
                    f"; {', '.join(secrets)} does not name it" if secrets else ", and no pull secret is named"
                )
                yield manifest, f"its image is in {registry}{tried}"


def _hosts(secret: Object | None) -> Iterator[str]:
    """Yield the registries that a pull secret has credentials for; of another kind of Secret none."""
    plain = mapping(secret, "stringData").get(".dockerconfigjson")
    encoded: Any = mapping(secret, "data").get(".dockerconfigjson")
    if plain is None and isinstance(encoded, str):
        try:
            plain = base64.b64decode(encoded).decode()
        except (binascii.Error, ValueError):
            return
    for host in mapping(json_object(plain), "auths"):
        yield host.removeprefix("https://").partition("/")[0]
