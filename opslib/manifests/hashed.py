"""A changed ConfigMap or Secret gets a new name, so that old pods keep old values and a rollback finds them.

Changed in place, it would reach old pods too: at once through volumes, at their next restart through variables; and
after a rollback the pods of the old revision would read the new values. So what pods of the set consume is written under
`NAME-HASH` once its content differs from what the cluster has under its plain name, and the pods refer to that. What
others refer to by name (an Ingress, a service account) keeps its name, and so does what is annotated
`opslib/in-place: "true"`: that it was changed under running pods is told.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opslib.core.plan import canonical
from opslib.kube import Object
from opslib.manifests.model import Manifest
from opslib.manifests.pods import mapping, mappings, pod_of, replaced, template_path, with_containers
from opslib.manifests.rules_links import references

IN_PLACE = "opslib/in-place"
KINDS = ("ConfigMap", "Secret")
_CONTENT = ("data", "binaryData", "type", "immutable")
_DIGITS = 8
_LONGEST = 253 - _DIGITS - 1

Names = Mapping[tuple[str, str, str], str]  # kind, namespace and name as written -> name as applied
Find = Callable[[str, str, str], Object | None]  # kind, namespace and name -> what the cluster has


@dataclass(frozen=True, slots=True)
class Hashed:
    """The set as it is applied; `in_place` are those whose values change under pods that run."""

    manifests: tuple[Manifest, ...]
    names: Names
    in_place: tuple[Manifest, ...]


def with_hashed_names(manifests: Iterable[Manifest], namespace: str, find: Find) -> Hashed:
    """Return a set with new names where content that its pods consume has changed."""
    set_ = tuple(manifests)
    consumed = _consumed(set_, namespace)
    named_elsewhere = _named_elsewhere(set_, namespace)
    names: dict[tuple[str, str, str], str] = {}
    in_place = []
    for manifest in set_:
        key = _key(manifest.body, namespace)
        if key not in consumed or not _differs(manifest.body, find(*key)):
            continue
        if (
            key in named_elsewhere
            or mapping(manifest.body, "metadata", "annotations").get(IN_PLACE) == "true"
        ):
            in_place.append(manifest)
        else:
            names[key] = f"{key[2][:_LONGEST]}-{content_hash(manifest.body)}"
    return Hashed(tuple(_renamed(m, names, namespace) for m in set_), names, tuple(in_place))


def content_hash(body: Object) -> str:
    """Return eight hex digits of the SHA-256 of what a ConfigMap or Secret holds."""
    return hashlib.sha256(canonical(_content(body))).hexdigest()[:_DIGITS]


def _content(body: Object) -> dict[str, Any]:
    content = {key: body[key] for key in _CONTENT if body.get(key)}
    plain = {
        key: base64.b64encode(str(value).encode()).decode()
        for key, value in mapping(body, "stringData").items()
    }
    return content | ({"data": {**mapping(content, "data"), **plain}} if plain else {})


def _differs(body: Object, live: Object | None) -> bool:
    """Tell whether the cluster has other values for what the set states; values that others added are theirs."""
    if live is None:
        return False
    wanted, there = _content(body), _content(live)
    return any(
        mapping(there, part).get(key) != value
        for part in ("data", "binaryData")
        for key, value in mapping(wanted, part).items()
    )


def _key(body: Object, namespace: str) -> tuple[str, str, str]:
    metadata = mapping(body, "metadata")
    return str(body.get("kind")), str(metadata.get("namespace") or namespace), str(metadata.get("name"))


def _consumed(set_: Sequence[Manifest], namespace: str) -> set[tuple[str, str, str]]:
    return {
        (kind, _key(m.body, namespace)[1], name)
        for m in set_
        if template_path(m.body)
        for kind, name, _, _ in references(pod_of(m.body))
    }


def _named_elsewhere(set_: Sequence[Manifest], namespace: str) -> set[tuple[str, str, str]]:
    """Return the Secrets that are known by name to others than pod templates, which a new name would part from them."""
    found = set()
    for manifest in set_:
        space = _key(manifest.body, namespace)[1]
        pulls = [
            *mappings(manifest.body, "imagePullSecrets"),
            *mappings(mapping(pod_of(manifest.body), "spec"), "imagePullSecrets"),
            *mappings(manifest.body, "secrets"),
        ]
        found |= {("Secret", space, str(pull.get("name"))) for pull in pulls}
        tls = mappings(mapping(manifest.body, "spec"), "tls")
        found |= {("Secret", space, str(entry.get("secretName"))) for entry in tls}
    return found


def _renamed(manifest: Manifest, names: Names, namespace: str) -> Manifest:
    body = manifest.body
    kind, space, name = _key(body, namespace)
    if new := names.get((kind, space, name)):
        return replace(manifest, body=replaced(body, ("metadata", "name"), new))
    if not names or template_path(body) is None:
        return manifest
    local = {(k, n): new for (k, s, n), new in names.items() if s == space}
    return replace(manifest, body=_with_volumes(with_containers(body, lambda c: _container(c, local)), local))


def _container(container: Object, names: Mapping[tuple[str, str], str]) -> Object:
    changed = dict(container)
    if sources := container.get("envFrom"):
        changed["envFrom"] = [
            _source(s, names, (("configMapRef", "ConfigMap", "name"), _SECRET)) for s in sources
        ]
    if variables := container.get("env"):
        changed["env"] = [
            {**v, "valueFrom": _source(v["valueFrom"], names, _KEYS)} if mapping(v, "valueFrom") else v
            for v in variables
        ]
    return changed


_SECRET = ("secretRef", "Secret", "name")
_KEYS = (("configMapKeyRef", "ConfigMap", "name"), ("secretKeyRef", "Secret", "name"))
_PROJECTED = (("configMap", "ConfigMap", "name"), ("secret", "Secret", "name"))
_VOLUME = (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"))


def _source(holder: Any, names: Mapping[tuple[str, str], str], forms: Iterable[tuple[str, str, str]]) -> Any:
    for key, kind, field in forms:
        new = names.get((kind, str(mapping(holder, key).get(field))))
        if new is not None:
            holder = replaced(holder, (key, field), new)
    return holder


def _with_volumes(body: Object, names: Mapping[tuple[str, str], str]) -> Object:
    path = (*(template_path(body) or ()), "spec")
    volumes = mapping(body, *path).get("volumes")
    if not isinstance(volumes, list):
        return body
    return replaced(body, (*path, "volumes"), [_volume(volume, names) for volume in volumes])


def _volume(volume: Any, names: Mapping[tuple[str, str], str]) -> Any:
    volume = _source(volume, names, _VOLUME)
    sources = mapping(volume, "projected").get("sources")
    if isinstance(sources, list):
        volume = replaced(volume, ("projected", "sources"), [_source(s, names, _PROJECTED) for s in sources])
    return volume
