"""The environment, command and downward values of a container, from its pod and the objects that it names.

Pure but for the look-ups that are passed in. Rules of `$(NAME)`: Kubernetes' third_party/forked/golang/expansion.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.cluster.options import Object

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")

Lookup = Callable[[str, str], Object | None]  # resource and name, in the pod's namespace


class ConfigError(Exception):
    """Something that the container's configuration names is not there; the text is the kubelet's."""


def expand(text: str, known: Mapping[str, str]) -> str:
    """Put values in place of `$(NAME)`; an unknown name stays as it is written, `$$` is a dollar."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else known.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where values come from: the pod and the objects of its namespace."""

    pod: Object
    lookup: Lookup


def environment(container: Object, sources: Sources, base: Mapping[str, str]) -> dict[str, str]:
    """Return a container's environment on top of `base`. Raises ConfigError for what is missing and not optional."""
    found = dict(base)
    for source in container.get("envFrom") or []:
        for kind, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if kind in source:
                values = content(resource, source[kind], sources.lookup)
                found |= {source.get("prefix", "") + key: value.decode() for key, value in values.items()}
    for entry in container.get("env") or []:
        value = _value(entry, sources, found)
        if value is not None:
            found[entry["name"]] = value
    return found


def _value(entry: Object, sources: Sources, known: Mapping[str, str]) -> str | None:
    source = entry.get("valueFrom") or {}
    if "fieldRef" in source:
        return field(sources.pod, source["fieldRef"]["fieldPath"])
    for kind, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        if kind in source:
            reference = source[kind]
            values = content(resource, reference, sources.lookup)
            if reference["key"] in values:
                return values[reference["key"]].decode()
            if reference.get("optional"):
                return None
            where = f"{sources.pod['metadata']['namespace']}/{reference['name']}"
            word = "ConfigMap" if resource == "configmaps" else "Secret"
            raise ConfigError(f"couldn't find key {reference['key']} in {word} {where}")
    if source:
        raise ConfigError(f"the practice cluster has no values of this kind: {', '.join(source)}")
    return expand(str(entry.get("value") or ""), known)


def content(resource: str, reference: Mapping[str, Any], lookup: Lookup) -> dict[str, bytes]:
    """Return the data of a ConfigMap or Secret. Raises ConfigError where it is neither there nor optional."""
    name = reference.get("name") or reference.get("secretName") or ""
    obj = lookup(resource, name)
    if obj is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{resource.removesuffix("s")} "{name}" not found')
    encoded = obj.get("binaryData") if resource == "configmaps" else obj.get("data")
    plain = obj.get("data") if resource == "configmaps" else {}
    values = {key: str(value).encode() for key, value in (plain or {}).items()}
    return values | {key: base64.b64decode(value) for key, value in (encoded or {}).items()}


def field(pod: Object, path: str) -> str:
    """Return a field of the pod as the downward API gives it. Raises ConfigError for one that it does not give."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if match:
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        values = metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    ips = {
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": ",".join(ip["ip"] for ip in status.get("podIPs") or []),
        "status.hostIP": status.get("hostIP", ""),
        "status.hostIPs": ",".join(ip["ip"] for ip in status.get("hostIPs") or []),
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
    }
    if path not in ips:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(ips[path])
