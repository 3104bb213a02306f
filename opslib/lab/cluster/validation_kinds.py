"""What the smaller kinds must be: Services, ConfigMaps, Secrets, Jobs, slices, leases and roles."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opslib.lab.cluster import causes, names
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.selectors import match_label_selector
from opslib.lab.cluster.statuses import Cause
from opslib.lab.cluster.validation_pods import PROTOCOLS, pod_spec_causes, target_port_causes
from opslib.lab.cluster.validation_routes import address_causes, autoscaler_causes, ingress_causes

_RBAC = "rbac.authorization.k8s.io"
_SET = "field is immutable when `immutable` is set"
_TYPED_SECRETS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _service(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    ports, kind = spec.get("ports", ()), spec.get("type")
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        yield causes.required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield causes.required("spec.externalName")
    seen: set[Any] = set()
    for n, port in enumerate(ports):
        yield from _service_port(port, f"spec.ports[{n}]", seen, named=len(ports) > 1)
    for key, value in spec.get("selector", {}).items():
        yield from causes.complaining("spec.selector", key, names.qualified_name(key))
        yield from causes.complaining("spec.selector", value, names.LABEL_VALUE.complaints(value))
    yield from causes.not_one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    yield from causes.not_one_of("spec.type", kind, kinds)
    address = spec.get("clusterIP", "")
    if address not in ("", "None"):
        yield from address_causes(address, "spec.clusterIPs[0]")
    was = (old or {}).get("spec", {}).get("clusterIP", address)
    if was and was != address and kind != "ExternalName":
        yield causes.invalid("spec.clusterIPs[0]", [address], "may not change once set")


def _service_port(port: Object, path: str, seen: set[Any], *, named: bool) -> Iterator[Cause]:
    name, number = port.get("name", ""), port.get("port", 0)
    if name:
        yield from causes.complaining(f"{path}.name", name, names.DNS_LABEL.complaints(name))
        if name in seen:
            yield causes.duplicate(f"{path}.name", name)
    elif named:
        yield causes.required(f"{path}.name")
    yield from causes.complaining(f"{path}.port", number, names.port_number(number))
    yield from causes.not_one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    yield from target_port_causes(port.get("targetPort", number), f"{path}.targetPort")
    pair = (number, port.get("protocol"))
    if pair in seen:
        yield causes.duplicate(path, {"Port": number, "Protocol": pair[1]})
    seen.update([name, pair] if name else [pair])


def _key(key: str, path: str) -> Iterator[Cause]:
    if key in (".", ".."):
        yield causes.invalid(path, key, f"must not be '{key}'")
    elif key.startswith(".."):
        yield causes.invalid(path, key, "must not start with '..'")
    yield from causes.complaining(path, key, names.CONFIG_KEY.complaints(key))


def _config_map(new: Object, old: Object | None) -> Iterator[Cause]:
    data, binary = new.get("data", {}), new.get("binaryData", {})
    for key in data:
        yield from _key(key, f"data[{key}]")
        if key in binary:
            yield causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in binary:
        yield from _key(key, f"binaryData[{key}]")
    yield from _immutable(new, old, ("data", "binaryData"))


def _immutable(new: Object, old: Object | None, fields: tuple[str, ...]) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield causes.forbidden("immutable", _SET)
    yield from (causes.forbidden(name, _SET) for name in fields if old.get(name, {}) != new.get(name, {}))


def _secret(new: Object, old: Object | None) -> Iterator[Cause]:
    data, kind = new.get("data", {}), new.get("type", "")
    for key in data:
        yield from _key(key, f"data[{key}]")
    for key in _TYPED_SECRETS.get(kind, ()):
        if key not in data:
            yield causes.required(f"data[{key}]")
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        yield from (causes.required(f"data[{key}]") for key in ("username", "password"))
    if kind == "kubernetes.io/dockerconfigjson" and ".dockerconfigjson" in data:
        yield from _docker_config(data[".dockerconfigjson"])
    if old is not None:
        yield from causes.unchanged("type", old.get("type"), kind)
    yield from _immutable(new, old, ("data",))


def _docker_config(encoded: str) -> Iterator[Cause]:
    text = base64.b64decode(encoded)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        complaint = f"invalid character '{chr(text[0]) if text else ' '}' looking for beginning of value"
        yield causes.invalid("data[.dockerconfigjson]", "<secret contents redacted>", complaint)


def _job(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    limits = (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    )
    yield from causes.negative("spec", spec, *limits)
    yield from causes.not_one_of("spec.completionMode", spec.get("completionMode"), ("NonIndexed", "Indexed"))
    uid = new["metadata"].get("uid")
    selected = spec.get("selector", {}).get("matchLabels", {}).get("batch.kubernetes.io/controller-uid")
    if "selector" in spec and not spec.get("manualSelector") and selected != uid:
        yield causes.invalid("spec.selector", spec["selector"], "`selector` not auto-generated")
    labels = spec.get("template", {}).get("metadata", {}).get("labels", {})
    if "selector" in spec and not match_label_selector(spec["selector"], labels):
        yield causes.invalid(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    pods = spec.get("template", {}).get("spec", {})
    yield from pod_spec_causes(pods, "spec.template.spec")
    if pods.get("restartPolicy", "Always") == "Always":
        yield causes.required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    if old is not None:
        was = old.get("spec", {})
        for name in ("completions", "selector", "template", "completionMode"):
            yield from causes.unchanged(f"spec.{name}", was.get(name), spec.get(name))


def _slice(new: Object, old: Object | None) -> Iterator[Cause]:
    kind = new.get("addressType", "")
    kinds = ("FQDN", "IPv4", "IPv6")
    if kind not in kinds:
        yield causes.unsupported("addressType", kind, kinds) if kind else causes.required("addressType")
    if old is not None:
        yield from causes.unchanged("addressType", old.get("addressType"), kind)
    for n, endpoint in enumerate(new.get("endpoints", ())):
        addresses = endpoint.get("addresses")
        if not addresses:
            yield causes.required(f"endpoints[{n}].addresses", "must contain at least 1 address")
        for m, address in enumerate(addresses or ()):
            if kind != "FQDN":
                yield from address_causes(address, f"endpoints[{n}].addresses[{m}]")
    seen: set[str] = set()
    for n, port in enumerate(new.get("ports", ())):
        if port.get("name", "") in seen:
            yield causes.duplicate(f"ports[{n}].name", port.get("name", ""))
        seen.add(port.get("name", ""))


def _lease(new: Object, _: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    if spec.get("leaseDurationSeconds", 1) <= 0:
        yield causes.invalid(
            "spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0"
        )
    yield from causes.negative("spec", spec, "leaseTransitions")


def _role(new: Object, _: Object | None) -> Iterator[Cause]:
    for n, rule in enumerate(new.get("rules", ())):
        path = f"rules[{n}]"
        if not rule.get("verbs"):
            yield causes.required(f"{path}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if new["kind"] == "Role":
                text = "namespaced rules cannot apply to non-resource URLs"
                yield causes.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], text)
            continue
        if not rule.get("apiGroups"):
            yield causes.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield causes.required(f"{path}.resources", "resource rules must supply at least one resource")


def _binding(new: Object, old: Object | None) -> Iterator[Cause]:
    role = new.get("roleRef", {})
    kinds = ("Role", "ClusterRole") if new["kind"] == "RoleBinding" else ("ClusterRole",)
    if role.get("apiGroup") != _RBAC:
        yield causes.unsupported("roleRef.apiGroup", role.get("apiGroup", ""), (_RBAC,))
    if role.get("kind") not in kinds:
        yield causes.unsupported("roleRef.kind", role.get("kind", ""), kinds)
    if not role.get("name"):
        yield causes.required("roleRef.name")
    for n, subject in enumerate(new.get("subjects", ())):
        if not subject.get("name"):
            yield causes.required(f"subjects[{n}].name")
        subjects = ("ServiceAccount", "User", "Group")
        if subject.get("kind") not in subjects:
            yield causes.unsupported(f"subjects[{n}].kind", subject.get("kind", ""), subjects)
    if old is not None and old.get("roleRef") != role:
        yield causes.invalid("roleRef", role, "cannot change roleRef")


KINDS: Mapping[str, Callable[[Object, Object | None], Iterator[Cause]]] = {
    "ClusterRole": _role,
    "ClusterRoleBinding": _binding,
    "ConfigMap": _config_map,
    "EndpointSlice": _slice,
    "HorizontalPodAutoscaler": autoscaler_causes,
    "Ingress": ingress_causes,
    "Job": _job,
    "Lease": _lease,
    "Role": _role,
    "RoleBinding": _binding,
    "Secret": _secret,
    "Service": _service,
}
"""The rule of each kind: its causes for a new state, and the old one where there was one."""
