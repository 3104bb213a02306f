"""What a field must be whatever stands beside it: one rule a line, the path, the check and its words.

In a path `[]` is each item, and `?` leads on only where the field is there; any other field that is missing is looked
at as empty. What one line refuses at a place, the next lines leave alone.

`required` and `given` refuse what is empty, `in` what is neither empty nor one of these words, `is` what is not one of
them; `label`, `host`, `port-name`, `target-port`, `between` and the comparisons say nothing of what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opslib.lab.cluster import causes, names
from opslib.lab.cluster.statuses import Cause

Rules = tuple[tuple[list[str], str, str], ...]

_HANDLER = """
exec?.command               required
httpGet?.port               target-port
httpGet?.scheme             in HTTP HTTPS
tcpSocket?.port             target-port
"""
_PROBE = f"""{_HANDLER}
initialDelaySeconds         >=0
timeoutSeconds              >=0
periodSeconds               >=0
successThreshold            >=0
failureThreshold            >=0
"""
_CONTAINER = """
name                                    required
name                                    label
image                                   required
imagePullPolicy                         in Always IfNotPresent Never
ports[].name                            port-name
ports[].containerPort                   required
ports[].containerPort                   between 1 and 65535
ports[].protocol                        in SCTP TCP UDP
env[].name                              required
env[].valueFrom?.configMapKeyRef?.key   required
env[].valueFrom?.secretKeyRef?.key      required
env[].valueFrom?.fieldRef?.fieldPath    required
volumeMounts[].name                     required
volumeMounts[].mountPath                required
"""
_POD = """
volumes[].name              required
volumes[].name              label
volumes[].configMap?.name   required
volumes[].secret?.secretName required
containers                  required
restartPolicy               in Always OnFailure Never
activeDeadlineSeconds       between 1 and 2147483647
"""
_ROLE = """
rules[].verbs               required verbs must contain at least one value
"""
_BINDING = """
roleRef.apiGroup            is rbac.authorization.k8s.io
roleRef.kind                is {}
roleRef.name                required
subjects[].name             required
subjects[].kind             is ServiceAccount User Group
"""
_SCALING = """
{0}.stabilizationWindowSeconds >=zero
{0}.stabilizationWindowSeconds <=3600
{0}.selectPolicy            in Disabled Max Min
{0}.policies[].type         is Percent Pods
{0}.policies[].value        >zero
{0}.policies[].periodSeconds >zero
{0}.policies[].periodSeconds <=1800
"""
_WORKLOAD = """
spec.replicas               >=0
spec.minReadySeconds        >=0
"""
_KINDS = {
    "ReplicaSet": _WORKLOAD,
    "Deployment": f"""{_WORKLOAD}
spec.revisionHistoryLimit    >=0
spec.progressDeadlineSeconds >=0
""",
    "Service": """
spec.ports[].name           label
spec.ports[].port           between 1 and 65535
spec.ports[].protocol       in SCTP TCP UDP
spec.ports[].targetPort     target-port
spec.sessionAffinity        in ClientIP None
spec.type                   in ClusterIP ExternalName LoadBalancer NodePort
""",
    "Job": """
spec.parallelism            >=0
spec.completions            >=0
spec.activeDeadlineSeconds  >=0
spec.backoffLimit           >=0
spec.ttlSecondsAfterFinished >=0
spec.completionMode         in NonIndexed Indexed
""",
    "HorizontalPodAutoscaler": f"""
spec.scaleTargetRef.kind    required
spec.scaleTargetRef.name    required
spec.scaleTargetRef.apiVersion given apiVersion must specify API group
spec.minReplicas            >=1
spec.maxReplicas            >0
spec.metrics[].type         required
spec.metrics[].type         in ContainerResource External Object Pods Resource
spec.metrics[].resource?.target.averageUtilization >0
{_SCALING.format("spec.behavior?.scaleUp?")}
{_SCALING.format("spec.behavior?.scaleDown?")}
""",
    "Ingress": """
spec.rules[].host           host
spec.rules[].http?.paths    required
spec.rules[].http?.paths[].pathType required pathType must be specified
spec.rules[].http?.paths[].pathType in Exact ImplementationSpecific Prefix
""",
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING.format("Role ClusterRole"),
    "ClusterRoleBinding": _BINDING.format("ClusterRole"),
}
_COMPARISON = re.compile(r"(>=|<=|>)(\w+)")
_WORDS = {">=": "greater than or equal to", "<=": "less than or equal to", ">": "greater than"}


def _rules(text: str) -> Rules:
    found = []
    for line in text.split("\n"):
        if line:
            path, check, *words = line.split(maxsplit=2)
            found.append((path.split("."), check, words[0] if words else ""))
    return tuple(found)


KINDS: Mapping[str, Rules] = {kind: _rules(text) for kind, text in _KINDS.items()}
POD, CONTAINER, PROBE, HANDLER = (_rules(text) for text in (_POD, _CONTAINER, _PROBE, _HANDLER))


def field_causes(rules: Rules, obj: Mapping[str, Any], path: str = "") -> Iterator[Cause]:
    """Yield what these rules refuse of an object that is decoded; `path` is where it stands."""
    refused: set[str] = set()
    for steps, check, words in rules:
        for place, value in _found(steps, obj, path):
            if place not in refused:
                for cause in _check(check, words, place, value):
                    refused.add(place)
                    yield cause


def _found(steps: list[str], value: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Yield the places that a path leads to, and what is there; None: nothing."""
    name, rest = steps[0].rstrip("[]?"), steps[1:]
    inner, place = value.get(name), f"{path}.{name}".lstrip(".")
    if steps[0].endswith("[]"):
        for n, item in enumerate(inner or ()):
            yield from _found(rest, item, f"{place}[{n}]")
    elif not rest:
        yield place, inner
    elif inner is not None or not steps[0].endswith("?"):
        yield from _found(rest, inner or {}, place)


def _check(check: str, words: str, place: str, value: Any) -> Iterable[Cause]:
    if check == "required":
        return [] if value else [causes.required(place, words)]
    if check == "given":
        return [] if value else [causes.invalid(place, "", words)]
    if check == "is":
        return [] if value in words.split() else [causes.unsupported(place, value or "", words.split())]
    if value is None or value == "":
        return []
    if check == "in":
        return causes.not_one_of(place, value, words.split())
    return causes.complaining(place, value, _complaints(check, words, value))


def _complaints(check: str, words: str, value: Any) -> list[str]:
    if check == "between":
        low, _, high = words.split()
        return [] if int(low) <= value <= int(high) else [f"must be between {low} and {high}, inclusive"]
    if check == "target-port" and isinstance(value, int):
        return names.port_number(value)
    if check in _FORMS:
        return _FORMS[check](value)
    match = _COMPARISON.fullmatch(check)
    assert match is not None, check
    bound = 0 if match[2] == "zero" else int(match[2])
    holds = {">=": value >= bound, "<=": value <= bound, ">": value > bound}[match[1]]
    return [] if holds else [f"must be {_WORDS[match[1]]} {match[2]}"]


_FORMS = {
    "label": names.DNS_LABEL.complaints,
    "host": lambda host: names.DNS_SUBDOMAIN.complaints(host.removeprefix("*.")),
    "port-name": names.port_name,
    "target-port": names.port_name,
}
