"""Whether an object may be kept: every rule yields causes that name the field, in Kubernetes' words.

Rules get objects that are decoded and complete by defaults; of an update they see both states. What is not checked
here is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opslib.lab.cluster import causes, names
from opslib.lab.cluster.crds import definition_causes, schema_causes
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.schema import Schema
from opslib.lab.cluster.selectors import match_label_selector
from opslib.lab.cluster.statuses import Cause
from opslib.lab.cluster.validation_kinds import KINDS
from opslib.lab.cluster.validation_pods import pod_spec_causes, pod_update_causes
from opslib.lab.cluster.validation_rules import KINDS as FIELDS
from opslib.lab.cluster.validation_rules import field_causes

_LONGEST_ANNOTATIONS = 256 * 1024
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_FORMS = {
    "services": names.DNS_1035,
    "namespaces": names.DNS_LABEL,
}
_FREE_NAMES = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")


def validate(
    resource: Resource, schema: Schema, new: Object, old: Object | None, subresource: str = ""
) -> tuple[Cause, ...]:
    """Return everything that forbids to keep `new`, in place of `old` where that is given; nothing: it may be kept."""
    found = [*_metadata_causes(resource, new["metadata"])]
    if subresource == "status" and not resource.custom:
        return tuple(found)
    if resource.custom:
        return (*found, *schema_causes(schema, new))
    rule = _RULES.get(resource.kind)
    if old is None or _content(old) != _content(new):
        found += field_causes(FIELDS.get(resource.kind, ()), new)
        found += rule(new, old) if rule else ()
    return tuple(found)


def _content(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _metadata_causes(resource: Resource, metadata: Mapping[str, Any]) -> Iterator[Cause]:
    name = metadata.get("name", "")
    form = _FORMS.get(resource.name, names.DNS_SUBDOMAIN)
    if not name:
        yield causes.required("metadata.name", "name or generateName is required")
    elif resource.plural in _FREE_NAMES:
        if name in (".", "..") or "/" in name or "%" in name:
            yield causes.invalid("metadata.name", name, "may not be '.' or '..' or contain '/' or '%'")
    elif resource.name == "namespaces" and "." in name and not names.DNS_SUBDOMAIN.complaints(name):
        yield causes.invalid("metadata.name", name, "must not contain dots")
    else:
        yield from causes.complaining("metadata.name", name, form.complaints(name))
    yield from _label_causes(metadata.get("labels", {}), "metadata.labels")
    annotations = metadata.get("annotations", {})
    for key in annotations:
        yield from causes.complaining("metadata.annotations", key, names.qualified_name(key.lower()))
    if sum(len(key) + len(value) for key, value in annotations.items()) > _LONGEST_ANNOTATIONS:
        yield causes.too_long("metadata.annotations", _LONGEST_ANNOTATIONS)
    for reference in metadata.get("ownerReferences", ()):
        yield from _owner_causes(reference)
    for n, finalizer in enumerate(metadata.get("finalizers", ())):
        if "/" not in finalizer and finalizer not in _FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield causes.invalid(f"metadata.finalizers[{n}]", finalizer, text)


def _owner_causes(reference: Object) -> Iterator[Cause]:
    words = {"apiVersion": "version must not be empty", "kind": "must not be empty"}
    words |= {"name": "must not be empty", "uid": "must not be empty"}
    for name, text in words.items():
        if not reference.get(name):
            yield causes.invalid(f"metadata.ownerReferences.{name}", "", text)


def _label_causes(labels: Mapping[str, str], path: str) -> Iterator[Cause]:
    for key, value in labels.items():
        yield from causes.complaining(path, key, names.qualified_name(key))
        yield from causes.complaining(path, value, names.LABEL_VALUE.complaints(value))


def selector_causes(selector: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Yield what is wrong with a LabelSelector."""
    yield from _label_causes(selector.get("matchLabels", {}), f"{path}.matchLabels")
    for n, each in enumerate(selector.get("matchExpressions", ())):
        here, operator, values = f"{path}.matchExpressions[{n}]", each.get("operator", ""), each.get("values")
        if operator in ("In", "NotIn") and not values:
            yield causes.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        if operator in ("Exists", "DoesNotExist") and values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield causes.forbidden(f"{here}.values", text)
        if operator not in _OPERATORS:
            yield causes.invalid(f"{here}.operator", operator, "not a valid selector operator")
        yield from causes.complaining(
            f"{here}.key", each.get("key", ""), names.qualified_name(each.get("key", ""))
        )


def amount_causes(value: Any, path: str) -> Iterator[Cause]:
    """Yield what is wrong with a number of pods or a percentage of them."""
    if isinstance(value, int):
        if value < 0:
            yield causes.invalid(path, value, "must be greater than or equal to 0")
    elif value is not None and not re.fullmatch("[0-9]{1,9}%", value):
        yield causes.invalid(path, value, _PERCENT)


def not_above_100(value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}%", value) and int(value[:-1]) > 100:
        yield causes.invalid(path, value, "must not be greater than 100%")


def _workload_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    """Yield what is wrong with the selector and the template of a Deployment or ReplicaSet."""
    spec = new.get("spec", {})
    selector = spec.get("selector")
    yield from _workload_selector_causes(selector)
    if selector != {} and not any(selector_causes(selector or {}, "")):
        labels = spec.get("template", {}).get("metadata", {}).get("labels")
        if not match_label_selector(selector, labels):
            text = "`selector` does not match template `labels`"
            yield causes.invalid("spec.template.metadata.labels", labels, text)
    yield from _template_causes(spec.get("template", {}))
    if old is not None:
        yield from causes.unchanged("spec.selector", old.get("spec", {}).get("selector"), selector)


def _workload_selector_causes(selector: Object | None) -> Iterator[Cause]:
    if selector is None:
        yield causes.required("spec.selector")
        return
    found = list(selector_causes(selector, "spec.selector"))
    yield from found
    if found:
        yield causes.invalid("spec.selector", selector, "invalid label selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield causes.invalid("spec.selector", {}, "empty selector is invalid for deployment")


def _template_causes(template: Object) -> Iterator[Cause]:
    spec = template.get("spec", {})
    yield from _label_causes(template.get("metadata", {}).get("labels", {}), "spec.template.labels")
    yield from pod_spec_causes(spec, "spec.template.spec")
    yield from causes.not_one_of("spec.template.spec.restartPolicy", spec.get("restartPolicy"), ("Always",))
    if "activeDeadlineSeconds" in spec:
        text = "activeDeadlineSeconds in ReplicaSet is not Supported"
        yield causes.forbidden("spec.template.spec.activeDeadlineSeconds", text)


def _deployment_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    yield from _workload_causes(new, old)
    yield from _strategy_causes(spec.get("strategy", {}))
    deadline_s = spec.get("progressDeadlineSeconds")
    if deadline_s is not None and deadline_s <= max(spec.get("minReadySeconds", 0), 0):
        yield causes.invalid(
            "spec.progressDeadlineSeconds", deadline_s, "must be greater than minReadySeconds"
        )


def _strategy_causes(strategy: Object) -> Iterator[Cause]:
    path, rolling = "spec.strategy.rollingUpdate", strategy.get("rollingUpdate")
    kind = strategy.get("type")
    if kind not in ("Recreate", "RollingUpdate"):
        yield causes.unsupported("spec.strategy", strategy, ("Recreate", "RollingUpdate"))
    elif kind == "Recreate" and rolling is not None:
        yield causes.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif rolling is not None:
        surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
        yield from amount_causes(unavailable, f"{path}.maxUnavailable")
        yield from amount_causes(surge, f"{path}.maxSurge")
        if surge in (0, "0%") and unavailable in (0, "0%"):
            yield causes.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
        yield from not_above_100(unavailable, f"{path}.maxUnavailable")


def _pod_causes(new: Object, old: Object | None) -> Iterator[Cause]:
    yield from pod_spec_causes(new.get("spec", {}), "spec")
    if old is not None:
        yield from pod_update_causes(old, new)


def _budget_causes(new: Object, _: Object | None) -> Iterator[Cause]:
    spec = new.get("spec", {})
    limits = [name for name in ("minAvailable", "maxUnavailable") if name in spec]
    if len(limits) == 2:
        yield causes.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for name in limits:
        yield from amount_causes(spec[name], f"spec.{name}")
        yield from not_above_100(spec[name], f"spec.{name}")
    yield from selector_causes(spec.get("selector", {}), "spec.selector")


_Rule = Callable[[Object, Object | None], Iterator[Cause]]
_RULES: Mapping[str, _Rule] = {
    **KINDS,
    "CustomResourceDefinition": lambda new, _: definition_causes(new),
    "Deployment": _deployment_causes,
    "Pod": _pod_causes,
    "PodDisruptionBudget": _budget_causes,
    "ReplicaSet": _workload_causes,
}
