"""What the fields of a pod, or of a template of pods, must be to each other, and what an update may not change."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from opslib.core.quantity import parse_quantity
from opslib.lab.cluster.causes import duplicate, forbidden, invalid, not_found, required
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import Cause
from opslib.lab.cluster.validation_rules import CONTAINER, HANDLER, POD, PROBE, field_causes

_KINDS = ("containers", "initContainers")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_CHANGEABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
    "(allow it to be set to 1 if it was previously negative)"
)


def pod_spec_causes(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Yield what is wrong with a pod's spec."""
    yield from field_causes(POD, spec, path)
    volumes: set[str] = set()
    for n, volume in enumerate(spec.get("volumes", ())):
        name = volume.get("name", "")
        if name in volumes:
            yield duplicate(f"{path}.volumes[{n}].name", name)
        volumes |= {name}
        for source in [key for key in volume if key != "name"][1:]:
            yield forbidden(f"{path}.volumes[{n}].{source}", "may not specify more than 1 volume type")
    seen: set[str] = set()
    for kind in _KINDS:
        for n, container in enumerate(spec.get(kind, ())):
            here, name = f"{path}.{kind}[{n}]", container.get("name", "")
            yield from _container_causes(container, here, volumes)
            if name and name in seen:
                yield duplicate(f"{here}.name", name)
            seen |= {name}


def pod_update_causes(old: Object, new: Object) -> Iterator[Cause]:
    """Yield what an update of a pod's spec may not change: nearly everything."""
    was, spec = old.get("spec", {}), new.get("spec", {})
    for kind in _KINDS:
        if len(was.get(kind, ())) != len(spec.get(kind, ())):
            yield forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
            return
    if _frozen(was) != _frozen(spec):
        yield forbidden("spec", f"pod updates may not change fields other than {_CHANGEABLE}\n")


def _frozen(spec: Mapping[str, Any]) -> Object:
    """Return the part of a pod's spec that nobody may change."""
    rest = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for kind in _KINDS:
        rest[kind] = [{k: v for k, v in c.items() if k != "image"} for c in spec.get(kind, ())]
    return rest


def _container_causes(container: Object, path: str, volumes: Collection[str]) -> Iterator[Cause]:
    yield from field_causes(CONTAINER, container, path)
    seen: set[str] = set()
    for n, name in enumerate(port.get("name") for port in container.get("ports", ())):
        if name and name in seen:
            yield duplicate(f"{path}.ports[{n}].name", name)
        seen |= {name} if name else set()
    for n, variable in enumerate(container.get("env", ())):
        yield from _variable_causes(variable, f"{path}.env[{n}]")
    for n, mount in enumerate(container.get("volumeMounts", ())):
        if mount.get("name") and mount["name"] not in volumes:
            yield not_found(f"{path}.volumeMounts[{n}].name", mount["name"])
    yield from _resource_causes(container.get("resources", {}), f"{path}.resources")
    if "preStop" in container.get("lifecycle", {}):
        handler, here = container["lifecycle"]["preStop"], f"{path}.lifecycle.preStop"
        yield from _handler_causes(handler, here)
        yield from field_causes(HANDLER, handler, here)
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind in container:
            yield from _probe_causes(container[kind], kind, f"{path}.{kind}")


def _variable_causes(variable: Object, path: str) -> Iterator[Cause]:
    name, source, here = variable.get("name"), variable.get("valueFrom"), f"{path}.valueFrom"
    if name and not re.fullmatch("[ -<>-~]+", name):
        text = (
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
        yield invalid(f"{path}.name", name, text)
    if source is None:
        return
    kinds = [kind for kind in _SOURCES if kind in source]
    if not kinds:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield invalid(here, "", text)
    elif variable.get("value"):
        yield invalid(here, "", "may not be specified when `value` is not empty")
    elif len(kinds) > 1:
        yield invalid(here, "", "may not have more than one field specified at a time")


def _resource_causes(resources: Object, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for kind, amounts in {"limits": limits, "requests": requests}.items():
        for name, amount in amounts.items():
            if parse_quantity(amount).nano < 0:
                yield invalid(f"{path}.{kind}[{name}]", amount, "must be greater than or equal to 0")
    for name, amount in requests.items():
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", amount, text)


def _probe_causes(probe: Object, kind: str, path: str) -> Iterator[Cause]:
    yield from _handler_causes(probe, path)
    yield from field_causes(PROBE, probe, path)
    threshold = probe.get("successThreshold", 1)
    if kind != "readinessProbe" and threshold > 1:
        yield invalid(f"{path}.successThreshold", threshold, "must be 1")


def _handler_causes(handler: Object, path: str) -> Iterator[Cause]:
    """Yield what is wrong where a probe or a hook does not do exactly one thing."""
    kinds = [kind for kind in _HANDLERS if kind in handler]
    if not kinds:
        yield required(path, "must specify a handler type")
    for kind in kinds[1:]:
        yield forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
