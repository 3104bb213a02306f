"""What the fields of the smaller kinds must be to each other, and what an update may not change."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opslib.lab.cluster import causes, names
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import Cause
from opslib.lab.cluster.validation_pods import pod_spec_causes

_SET = "field is immutable when `immutable` is set"
_TARGETS = ("Utilization", "Value", "AverageValue")


def _service(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    ports, kind = spec.get("ports", ()), spec.get("type")
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        yield causes.required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield causes.required("spec.externalName")
    seen: set[Any] = set()
    for n, port in enumerate(ports):
        name, pair = port.get("name", ""), (port.get("port"), port.get("protocol"))
        if not name and len(ports) > 1:
            yield causes.required(f"spec.ports[{n}].name")
        if name in seen:
            yield causes.duplicate(f"spec.ports[{n}].name", name)
        if pair in seen:
            yield causes.duplicate(f"spec.ports[{n}]", {"Port": pair[0], "Protocol": pair[1]})
        seen |= {pair, name} if name else {pair}
    for key, value in spec.get("selector", {}).items():
        yield from causes.complaining("spec.selector", key, names.qualified_name(key))
        yield from causes.complaining("spec.selector", value, names.LABEL_VALUE.complaints(value))
    address = spec.get("clusterIP", "")
    if address not in ("", "None") and not _is_address(address):
        text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        yield causes.invalid("spec.clusterIPs[0]", address, text)
    was = (old or {}).get("spec", {}).get("clusterIP", address)
    if was and was != address and kind != "ExternalName":
        yield causes.invalid("spec.clusterIPs[0]", [address], "may not change once set")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _data(new: Object, old: Object | None) -> Iterator[Cause]:
    """Yield what is wrong with the keys of a ConfigMap or Secret, and what was to stay."""
    data, binary = new.get("data", {}), new.get("binaryData", {})
    for field in ("data", "binaryData"):
        for key in new.get(field, {}):
            if key in (".", ".."):
                yield causes.invalid(f"{field}[{key}]", key, f"must not be '{key}'")
            elif key.startswith(".."):
                yield causes.invalid(f"{field}[{key}]", key, "must not start with '..'")
            yield from causes.complaining(f"{field}[{key}]", key, names.CONFIG_KEY.complaints(key))
    for key in data.keys() & binary.keys():
        yield causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if old is None:
        return
    yield from causes.unchanged("type", old.get("type"), new.get("type"))
    if old.get("immutable"):
        if not new.get("immutable"):
            yield causes.forbidden("immutable", _SET)
        for field in ("data", "binaryData"):
            if old.get(field, {}) != new.get(field, {}):
                yield causes.forbidden(field, _SET)


def _job(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    pods = spec.get("template", {}).get("spec", {})
    yield from pod_spec_causes(pods, "spec.template.spec")
    if pods.get("restartPolicy", "Always") == "Always":
        yield causes.required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    if old is not None:
        was = old.get("spec", {})
        for name in ("completions", "selector", "template", "completionMode"):
            yield from causes.unchanged(f"spec.{name}", was.get(name), spec.get(name))


def _autoscaler(new: Object, _: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    high = spec.get("maxReplicas", 0)
    if high < spec.get("minReplicas", 1):
        yield causes.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    for n, metric in enumerate(spec.get("metrics", ())):
        kind = metric.get("type", "")
        name = kind[:1].lower() + kind[1:]
        path, source = f"spec.metrics[{n}].{name}", metric.get(name)
        if source is None:
            yield causes.required(path, "must populate information for the given metric source")
            continue
        target = source.get("target", {})
        if target.get("type") not in _TARGETS:
            text = "must be either Utilization, Value, or AverageValue"
            yield causes.invalid(f"{path}.target.type", target.get("type", ""), text)
        if kind == "Resource" and not target.keys() & {"averageUtilization", "averageValue"}:
            text = "must set either a target raw value or a target utilization"
            yield causes.required(f"{path}.target.averageUtilization", text)


def _ingress(new: Object, _: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    if not spec.get("rules") and "defaultBackend" not in spec:
        text = "either `defaultBackend` or `rules` must be specified"
        yield causes.invalid("spec", spec.get("rules"), text)
    for n, rule in enumerate(spec.get("rules", ())):
        for m, each in enumerate(rule.get("http", {}).get("paths", ())):
            here, where = f"spec.rules[{n}].http.paths[{m}]", each.get("path", "")
            if each.get("pathType") in ("Exact", "Prefix") and not where.startswith("/"):
                yield causes.invalid(f"{here}.path", where, "must be an absolute path")
            yield from _backend(each.get("backend", {}), f"{here}.backend")
    if "defaultBackend" in spec:
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")


def _backend(backend: Object, path: str) -> Iterator[Cause]:
    service = backend.get("service")
    if service is None:
        if "resource" not in backend:
            yield causes.invalid(path, "", "resource or service backend is required")
        return
    if not service.get("name"):
        yield causes.required(f"{path}.service.name")
    port = service.get("port", {})
    if port.get("name") and port.get("number"):
        yield causes.invalid(path, "", "cannot set both port name & port number")
    elif not port.get("name") and not port.get("number"):
        yield causes.required(path, "port name or number is required")
    elif port.get("number"):
        complaints = names.port_number(port["number"])
        yield from causes.complaining(f"{path}.service.port.number", port["number"], complaints)


def _role(new: Object, _: Object | None) -> Iterator[Cause]:
    for n, rule in enumerate(new.get("rules", ())):
        for name, words in {"apiGroups": "api group", "resources": "resource"}.items():
            if not rule.get("nonResourceURLs") and not rule.get(name):
                yield causes.required(
                    f"rules[{n}].{name}", f"resource rules must supply at least one {words}"
                )


def _binding(new: Object, old: Object | None) -> Iterator[Cause]:
    role = new.get("roleRef", {})
    if old is not None and old.get("roleRef") != role:
        yield causes.invalid("roleRef", role, "cannot change roleRef")


KINDS: Mapping[str, Callable[[Object, Object | None], Iterator[Cause]]] = {
    "ClusterRole": _role,
    "ClusterRoleBinding": _binding,
    "ConfigMap": _data,
    "HorizontalPodAutoscaler": _autoscaler,
    "Ingress": _ingress,
    "Job": _job,
    "Role": _role,
    "RoleBinding": _binding,
    "Secret": _data,
    "Service": _service,
}
"""The rule of each kind: its causes for a new state, and the old one where there was one."""
