"""The rights that reading, and changing, needs: one table, which the roles in `rbac/` grant and the check asks for.

The check names each right that is missing, one by one, as the API server sees it (SelfSubjectAccessReview), and changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources

from opslib.core.checks import Check
from opslib.core.errors import OpslibError
from opslib.core.outcome import Outcome
from opslib.kube import Cluster, Kind

OLDEST, TESTED = (1, 22), (1, 34)  # server-side apply is stable since 1.22
_READ = ("get", "list", "watch")
_WRITE = ("create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Right:
    """What may be done with one resource: `resource` may have a subresource, as `pods/log`."""

    group: str
    resource: str
    verbs: tuple[str, ...]


READER: tuple[Right, ...] = (
    Right("", "pods", _READ),
    Right("", "pods/log", ("get",)),
    Right("", "services", _READ),
    Right("", "configmaps", _READ),
    Right("", "serviceaccounts", _READ),
    Right("", "events", _READ),
    Right("apps", "deployments", _READ),
    Right("apps", "replicasets", _READ),
    Right("apps", "statefulsets", _READ),
    Right("apps", "daemonsets", _READ),
    Right("apps", "controllerrevisions", _READ),
    Right("batch", "jobs", _READ),
    Right("autoscaling", "horizontalpodautoscalers", _READ),
    Right("policy", "poddisruptionbudgets", _READ),
    Right("networking.k8s.io", "ingresses", _READ),
    Right("discovery.k8s.io", "endpointslices", _READ),
    Right("metrics.k8s.io", "pods", ("get", "list")),
)
_CHANGED = (
    ("", "services"),
    ("", "configmaps"),
    ("", "serviceaccounts"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("policy", "poddisruptionbudgets"),
    ("networking.k8s.io", "ingresses"),
)
OPERATOR: tuple[Right, ...] = (
    *READER,
    *(Right(group, resource, _WRITE) for group, resource in _CHANGED),
    Right("", "secrets", (*_READ, *_WRITE)),  # also what a release remembers of itself
    Right(
        "coordination.k8s.io", "leases", ("get", "create", "patch", "update", "delete")
    ),  # one change at a time
)
ROLES = {"reader": READER, "operator": OPERATOR}


def role_manifest(name: str) -> str:
    """Return the YAML of a role and its binding: `reader` or `operator`."""
    return (resources.files("opslib.manifests") / "rbac" / f"{name}.yaml").read_text(encoding="utf-8")


def preflight_cluster(cluster: Cluster, *, changes: bool = False) -> tuple[Check, ...]:
    """Check that the cluster answers, in a version that is understood, and that nothing that is needed is forbidden."""
    try:
        version = cluster.version()
    except OpslibError as error:
        return (Check("cluster", Outcome.ERROR, str(error), error.hint),)
    rights = OPERATOR if changes else READER
    try:
        missing = list(_missing(cluster, rights))
    except OpslibError as error:
        return (_version(version), Check("rights", Outcome.ERROR, str(error), error.hint))
    return (_version(version), _rights(missing, cluster.namespace, "operator" if changes else "reader"))


def _version(text: str) -> Check:
    found = re.match(r"v?(\d+)\.(\d+)", text)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    if number < OLDEST:
        return Check("cluster", Outcome.FAIL, f"Kubernetes {text} is too old", "1.22 or later is needed")
    skew = abs(number[1] - TESTED[1]) if number[0] == TESTED[0] else 99
    hint = "" if skew <= 2 else f"tested with {TESTED[0]}.{TESTED[1]}; plan before you change anything"
    return Check("cluster", Outcome.PASS, f"Kubernetes {text} answers", hint)


def _missing(cluster: Cluster, rights: Iterable[Right]) -> Iterator[str]:
    asked = [(verb, right) for right in rights for verb in right.verbs]

    def may(question: tuple[str, Right]) -> bool:
        verb, right = question
        version = f"{right.group}/v1" if right.group else "v1"
        return cluster.may(verb, Kind(version, "", right.resource, namespaced=True), cluster.namespace)

    for (verb, right), answer in zip(asked, cluster.each(may, asked), strict=True):
        if isinstance(answer, OpslibError):
            raise answer
        if not answer:
            yield f"{verb} {right.resource}{f'.{right.group}' if right.group else ''}"


def _rights(missing: list[str], namespace: str, role: str) -> Check:
    if not missing:
        return Check("rights", Outcome.PASS, f"all rights of the role {role} in namespace {namespace}")
    text = f"missing in namespace {namespace}: {', '.join(dict.fromkeys(missing))}"
    return Check(
        "rights", Outcome.FAIL, text, f"have the role of opslib/manifests/rbac/{role}.yaml bound to you"
    )
