"""What the cluster has of what a set refers to: only what is named, and of Secrets only what a rule reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opslib.core.errors import OpslibError
from opslib.kube import Cluster, Object, Ref, is_secret
from opslib.kube.protocol import Result
from opslib.manifests.model import Manifest
from opslib.manifests.pods import mapping, mappings
from opslib.manifests.rules_links import references
from opslib.manifests.scene import Scene

_PULL = ".dockerconfigjson"


def find_surroundings(cluster: Cluster, manifests: Iterable[Manifest]) -> list[Object]:
    """Return the objects that `check_manifests` needs beside the set: what is referred to, and pods that selectors choose.

    Raises:
        OpslibError: the first thing that could not be asked for, so that "not there" is never said of it.
    """
    scene = Scene.of(manifests, cluster.namespace, None)
    refs = [
        r
        for r in dict.fromkeys(_named(scene))
        if scene.find(r.group, r.kind, _in(r.namespace), r.name) is None
    ]
    found = _all(cluster.each(cluster.get, refs))
    accounts = [b for b in found if b is not None and b["kind"] == "ServiceAccount"]
    pulls = {
        Ref("v1", "Secret", a["metadata"]["namespace"], str(s.get("name")))
        for a in accounts
        for s in mappings(a, "imagePullSecrets")
    }
    found += _all(cluster.each(cluster.get, sorted(pulls)))
    pods = cluster.kind("v1", "Pod")
    selected = _all(
        cluster.each(lambda s: cluster.list_objects(pods, s[0], labels=s[1]), sorted(_selectors(scene)))
    )
    return [_without_values(b) for b in found if b is not None] + [p for some in selected for p in some]


def _all(results: list[Result | OpslibError]) -> list[Result]:
    for result in results:
        if isinstance(result, OpslibError):
            raise result
    return [r for r in results if not isinstance(r, OpslibError)]


def _in(namespace: str) -> Object:
    return {"metadata": {"namespace": namespace}}


def _named(scene: Scene) -> Iterator[Ref]:
    for manifest, pod in scene.with_pods():
        space, spec = scene.namespace_of(manifest.body), mapping(pod, "spec")
        yield from (Ref("v1", kind, space, name) for kind, name, _, _ in references(pod))
        yield from (
            Ref("v1", "Secret", space, str(s.get("name"))) for s in mappings(spec, "imagePullSecrets")
        )
        yield Ref("v1", "ServiceAccount", space, str(spec.get("serviceAccountName", "default")))
    for manifest in scene.of_kind("HorizontalPodAutoscaler"):
        target = mapping(manifest.body, "spec", "scaleTargetRef")
        wanted = [str(target.get(key)) for key in ("apiVersion", "kind", "name")]
        yield Ref(wanted[0], wanted[1], scene.namespace_of(manifest.body), wanted[2])
    for manifest in scene.of_kind("Ingress"):
        rules = mappings(mapping(manifest.body, "spec"), "rules")
        for path in (p for r in rules for p in mappings(mapping(r, "http"), "paths")):
            name = mapping(path, "backend", "service").get("name")
            yield Ref("v1", "Service", scene.namespace_of(manifest.body), str(name))


def _selectors(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield namespace and label selector of Services whose pods are not in the set."""
    for manifest in scene.of_kind("Service"):
        selector = mapping(manifest.body, "spec", "selector")
        if selector and not scene.selected(selector, manifest.body):
            text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
            yield scene.namespace_of(manifest.body), text


def _without_values(body: Object) -> Object:
    """Return a Secret with its keys alone, but for a pull secret the registries that it knows."""
    if not is_secret(body):
        return body
    return {
        **{key: value for key, value in body.items() if key in {"apiVersion", "kind", "type"}},
        "metadata": {key: body["metadata"].get(key) for key in ("name", "namespace")},
        "data": {key: value if key == _PULL else "" for key, value in mapping(body, "data").items()},
    }
