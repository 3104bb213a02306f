"""What autoscalers and Ingresses must be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from opslib.lab.cluster import causes, names
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import Cause

_METRICS = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}


def address_causes(text: str, path: str) -> Iterator[Cause]:
    """Yield a cause where the text is no IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield causes.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def autoscaler_causes(new: Object, _: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    target, low, high = spec.get("scaleTargetRef", {}), spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    for name in ("kind", "name"):
        if not target.get(name):
            yield causes.required(f"spec.scaleTargetRef.{name}")
    if not target.get("apiVersion"):
        yield causes.invalid("spec.scaleTargetRef.apiVersion", "", "apiVersion must specify API group")
    if low < 1:
        yield causes.invalid("spec.minReplicas", low, "must be greater than or equal to 1")
    if high < 1:
        yield causes.invalid("spec.maxReplicas", high, "must be greater than 0")
    if high < low:
        yield causes.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    if low == 0 and all(
        metric.get("type") not in ("Object", "External") for metric in spec.get("metrics", ())
    ):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield causes.forbidden("spec.metrics", text)
    for n, metric in enumerate(spec.get("metrics", ())):
        yield from _metric(metric, f"spec.metrics[{n}]")
    for name in ("scaleUp", "scaleDown"):
        if name in spec.get("behavior", {}):
            yield from _scaling(spec["behavior"][name], f"spec.behavior.{name}")


def _metric(metric: Object, path: str) -> Iterator[Cause]:
    kind = metric.get("type", "")
    if kind not in _METRICS:
        yield (
            causes.unsupported(f"{path}.type", kind, tuple(_METRICS))
            if kind
            else causes.required(f"{path}.type")
        )
        return
    source = metric.get(_METRICS[kind])
    if source is None:
        text = "must populate information for the given metric source"
        yield causes.required(f"{path}.{_METRICS[kind]}", text)
        return
    here, target = f"{path}.{_METRICS[kind]}.target", source.get("target", {})
    if target.get("type") not in ("Utilization", "Value", "AverageValue"):
        text = "must be either Utilization, Value, or AverageValue"
        yield causes.invalid(f"{here}.type", target.get("type", ""), text)
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield causes.invalid(f"{here}.averageUtilization", utilization, "must be greater than 0")
    if kind == "Resource" and utilization is None and "averageValue" not in target:
        text = "must set either a target raw value or a target utilization"
        yield causes.required(f"{here}.averageUtilization", text)


def _scaling(rules: Object, path: str) -> Iterator[Cause]:
    window_s = rules.get("stabilizationWindowSeconds", 0)
    if window_s < 0:
        yield causes.invalid(
            f"{path}.stabilizationWindowSeconds", window_s, "must be greater than or equal to zero"
        )
    if window_s > 3600:
        yield causes.invalid(
            f"{path}.stabilizationWindowSeconds", window_s, "must be less than or equal to 3600"
        )
    yield from causes.not_one_of(
        f"{path}.selectPolicy", rules.get("selectPolicy"), ("Disabled", "Max", "Min")
    )
    for n, policy in enumerate(rules.get("policies", ())):
        here, kind = f"{path}.policies[{n}]", policy.get("type", "")
        if kind not in ("Percent", "Pods"):
            yield causes.unsupported(f"{here}.type", kind, ("Percent", "Pods"))
        for name in ("value", "periodSeconds"):
            if policy.get(name, 0) <= 0:
                yield causes.invalid(f"{here}.{name}", policy.get(name, 0), "must be greater than zero")
        if policy.get("periodSeconds", 0) > 1800:
            yield causes.invalid(
                f"{here}.periodSeconds", policy["periodSeconds"], "must be less than or equal to 1800"
            )


def ingress_causes(new: Object, _: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    if not spec.get("rules") and "defaultBackend" not in spec:
        text = "either `defaultBackend` or `rules` must be specified"
        yield causes.invalid("spec", spec.get("rules"), text)
    for n, rule in enumerate(spec.get("rules", ())):
        yield from _route(rule, f"spec.rules[{n}]")
    if "defaultBackend" in spec:
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")


def _route(rule: Object, path: str) -> Iterator[Cause]:
    host = rule.get("host", "")
    if host and not list(address_causes(host, "")):
        yield causes.invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
    elif host:
        bare = host.removeprefix("*.")
        yield from causes.complaining(f"{path}.host", host, names.DNS_SUBDOMAIN.complaints(bare))
    if "http" in rule and not rule["http"].get("paths"):
        yield causes.required(f"{path}.http.paths")
    for n, each in enumerate(rule.get("http", {}).get("paths", ())):
        here, where, kind = f"{path}.http.paths[{n}]", each.get("path", ""), each.get("pathType")
        if kind is None:
            yield causes.required(f"{here}.pathType", "pathType must be specified")
        kinds = ("Exact", "ImplementationSpecific", "Prefix")
        yield from causes.not_one_of(f"{here}.pathType", kind, kinds)
        if kind in ("Exact", "Prefix"):
            if not where.startswith("/"):
                yield causes.invalid(f"{here}.path", where, "must be an absolute path")
            for part in ("//", "/./", "/../", "%2f", "%2F"):
                if part in where:
                    yield causes.invalid(f"{here}.path", where, f"must not contain '{part}'")
        yield from _backend(each.get("backend", {}), f"{here}.backend")


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
        yield from causes.complaining(
            f"{path}.service.port.number", port["number"], names.port_number(port["number"])
        )
