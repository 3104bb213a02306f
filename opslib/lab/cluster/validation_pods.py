"""What a pod, or a template of pods, must be: containers, their ports, variables, probes, hooks and volumes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from opslib.core.quantity import parse_quantity
from opslib.lab.cluster import names
from opslib.lab.cluster.causes import (
    complaining,
    duplicate,
    forbidden,
    invalid,
    negative,
    not_found,
    not_one_of,
    required,
)
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import Cause

_POLICIES = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_CHOICES = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
}
PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
_PROBED = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_CHANGEABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
    "(allow it to be set to 1 if it was previously negative)"
)


def pod_spec_causes(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Yield what is wrong with a pod's spec."""
    volumes = spec.get("volumes", ())
    yield from _volume_causes(volumes, f"{path}.volumes")
    known = {volume.get("name") for volume in volumes}
    grace_s = spec.get("terminationGracePeriodSeconds", 30)
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for n, container in enumerate(spec.get(kind, ())):
            here = f"{path}.{kind}[{n}]"
            yield from _container_causes(container, here, known, grace_s)
            if container.get("name") and container["name"] in seen:
                yield duplicate(f"{here}.name", container["name"])
            seen.add(container.get("name", ""))
    yield from not_one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _POLICIES)
    yield from not_one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS)
    for name in ("serviceAccountName", "nodeName"):
        if spec.get(name):
            yield from complaining(f"{path}.{name}", spec[name], names.DNS_SUBDOMAIN.complaints(spec[name]))
    if not 1 <= spec.get("activeDeadlineSeconds", 1) < 2**31:
        bad = spec["activeDeadlineSeconds"]
        yield invalid(f"{path}.activeDeadlineSeconds", bad, "must be between 1 and 2147483647, inclusive")


def pod_update_causes(old: Object, new: Object) -> Iterator[Cause]:
    """Yield what an update of a pod's spec may not change: nearly everything."""
    was, spec = old.get("spec", {}), new.get("spec", {})
    for kind in ("containers", "initContainers"):
        if len(was.get(kind, ())) != len(spec.get(kind, ())):
            yield forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
            return
    before, after = was.get("activeDeadlineSeconds"), spec.get("activeDeadlineSeconds")
    if before is not None and (after is None or after > before):
        text = (
            "must be less than or equal to previous value"
            if after
            else "must not update from a positive integer to nil value"
        )
        yield invalid("spec.activeDeadlineSeconds", after, text)
        return
    if any(each not in spec.get("tolerations", ()) for each in was.get("tolerations", ())):
        yield forbidden(
            "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
        )
    elif _frozen(was) != _frozen(spec):
        yield forbidden("spec", f"pod updates may not change fields other than {_CHANGEABLE}\n")


def _frozen(spec: Mapping[str, Any]) -> Object:
    """Return the part of a pod's spec that nobody may change."""
    free = ("activeDeadlineSeconds", "tolerations")
    rest = {key: value for key, value in spec.items() if key not in free}
    for kind in ("containers", "initContainers"):
        rest[kind] = [{k: v for k, v in c.items() if k != "image"} for c in spec.get(kind, ())]
    return rest


def _container_causes(
    container: Object, path: str, volumes: Collection[Any], grace_s: int
) -> Iterator[Cause]:
    yield from _named(container, path, names.DNS_LABEL)
    if not container.get("image"):
        yield required(f"{path}.image")
    for name, supported in _CHOICES.items():
        yield from not_one_of(f"{path}.{name}", container.get(name), supported)
    yield from _port_causes(container.get("ports", ()), f"{path}.ports")
    for n, variable in enumerate(container.get("env", ())):
        yield from _variable_causes(variable, f"{path}.env[{n}]")
    yield from _mount_causes(container.get("volumeMounts", ()), f"{path}.volumeMounts", volumes)
    yield from _resource_causes(container.get("resources", {}), f"{path}.resources")
    for hook, handler in container.get("lifecycle", {}).items():
        if hook in ("preStop", "postStart"):
            yield from _handler_causes(handler, f"{path}.lifecycle.{hook}", grace_s)
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind in container:
            yield from _probe_causes(container[kind], kind, f"{path}.{kind}")


def _named(obj: Object, path: str, form: names.Form) -> Iterator[Cause]:
    name = obj.get("name")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from complaining(f"{path}.name", name, form.complaints(name))


def _port_causes(ports: Collection[Object], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for n, port in enumerate(ports):
        name, number = port.get("name"), port.get("containerPort", 0)
        if name:
            yield from complaining(f"{path}[{n}].name", name, names.port_name(name))
            if name in seen:
                yield duplicate(f"{path}[{n}].name", name)
            seen.add(name)
        if number:
            yield from complaining(f"{path}[{n}].containerPort", number, names.port_number(number))
        else:
            yield required(f"{path}[{n}].containerPort")
        yield from not_one_of(f"{path}[{n}].protocol", port.get("protocol"), PROTOCOLS)


def _variable_causes(variable: Object, path: str) -> Iterator[Cause]:
    name, source = variable.get("name"), variable.get("valueFrom")
    if not name:
        yield required(f"{path}.name")
    elif not re.fullmatch("[ -<>-~]+", name):
        text = (
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
        yield invalid(f"{path}.name", name, text)
    if source is None:
        return
    here, kinds = f"{path}.valueFrom", [kind for kind in _SOURCES if kind in source]
    if not kinds:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield invalid(here, "", text)
    elif variable.get("value"):
        yield invalid(here, "", "may not be specified when `value` is not empty")
    elif len(kinds) > 1:
        yield invalid(here, "", "may not have more than one field specified at a time")
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source and not source[kind].get("key"):
            yield required(f"{here}.{kind}.key")
    field = source.get("fieldRef", {}).get("fieldPath", "metadata.name")
    if not field:
        yield required(f"{here}.fieldRef.fieldPath")
    elif field not in _FIELDS and not re.fullmatch(r"metadata\.(labels|annotations)\['.+'\]", field):
        text = f"error converting fieldPath: field label not supported: {field}"
        yield invalid(f"{here}.fieldRef.fieldPath", field, text)


def _mount_causes(mounts: Collection[Object], path: str, volumes: Collection[Any]) -> Iterator[Cause]:
    seen: set[str] = set()
    for n, mount in enumerate(mounts):
        name, where = mount.get("name"), mount.get("mountPath")
        if not name:
            yield required(f"{path}[{n}].name")
        elif name not in volumes:
            yield not_found(f"{path}[{n}].name", name)
        if not where:
            yield required(f"{path}[{n}].mountPath")
        elif where in seen:
            yield invalid(f"{path}[{n}].mountPath", where, "must be unique")
        seen.add(where or "")


def _resource_causes(resources: Object, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for kind, amounts in {"limits": limits, "requests": requests}.items():
        for name, amount in amounts.items():
            here = f"{path}.{kind}[{name}]"
            if "/" not in name and name not in _RESOURCES and not name.startswith("hugepages-"):
                yield invalid(here, name, "must be a standard resource type or fully qualified")
                yield invalid(here, name, "must be a standard resource for containers")
            if parse_quantity(amount).nano < 0:
                yield invalid(here, amount, "must be greater than or equal to 0")
    for name, amount in requests.items():
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", amount, text)


def _probe_causes(probe: Object, kind: str, path: str) -> Iterator[Cause]:
    yield from _handler_causes(probe, path, None)
    yield from negative(path, probe, *_PROBED)
    threshold = probe.get("successThreshold", 1)
    if kind != "readinessProbe" and threshold > 1:
        yield invalid(f"{path}.successThreshold", threshold, "must be 1")
    grace_s = probe.get("terminationGracePeriodSeconds")
    if grace_s is not None and kind == "readinessProbe":
        yield invalid(f"{path}.terminationGracePeriodSeconds", grace_s, "must not be set for readinessProbes")
    elif grace_s is not None and grace_s <= 0:
        yield invalid(f"{path}.terminationGracePeriodSeconds", grace_s, "must be greater than 0")


def _handler_causes(handler: Object, path: str, grace_s: int | None) -> Iterator[Cause]:
    """Yield what is wrong with a probe's or, with the pod's grace, a hook's handler."""
    kinds = [kind for kind in ("exec", "httpGet", "tcpSocket", "grpc", "sleep") if kind in handler]
    if not kinds:
        yield required(path, "must specify a handler type")
    for kind in kinds[1:]:
        yield forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
    if kinds[:1] == ["exec"] and not handler["exec"].get("command"):
        yield required(f"{path}.exec.command")
    if kinds[:1] == ["httpGet"]:
        scheme = handler["httpGet"].get("scheme")
        yield from target_port_causes(handler["httpGet"].get("port", 0), f"{path}.httpGet.port")
        yield from not_one_of(f"{path}.httpGet.scheme", scheme, ("HTTP", "HTTPS"))
    if kinds[:1] == ["tcpSocket"]:
        yield from target_port_causes(handler["tcpSocket"].get("port", 0), f"{path}.tcpSocket.port")
    if "sleep" in handler and grace_s is not None and not 0 <= handler["sleep"].get("seconds", 0) <= grace_s:
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
        yield invalid(f"{path}.sleep", handler["sleep"]["seconds"], text)


def target_port_causes(port: Any, path: str) -> Iterator[Cause]:
    """Yield what is wrong with a port given by number or by name."""
    complaints = names.port_number(port) if isinstance(port, int) else names.port_name(port)
    return complaining(path, port, complaints)


def _volume_causes(volumes: Collection[Object], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for n, volume in enumerate(volumes):
        here = f"{path}[{n}]"
        yield from _named(volume, here, names.DNS_LABEL)
        if volume.get("name") in seen:
            yield duplicate(f"{here}.name", volume["name"])
        seen.add(volume.get("name") or "")
        for source in [key for key in volume if key != "name"][1:]:
            yield forbidden(f"{here}.{source}", "may not specify more than 1 volume type")
        if "configMap" in volume and not volume["configMap"].get("name"):
            yield required(f"{here}.configMap.name")
        if "secret" in volume and not volume["secret"].get("secretName"):
            yield required(f"{here}.secret.secretName")
