"""What kinds of objects there are, and how each is called in paths, by people and in discovery.

A resource's name is `plural.group` ("deployments.apps"; core resources have no group: "pods"), everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table that `kubectl get` shows; `path` is a JSON path, as CRDs write it."""

    name: str
    path: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. `version` is what objects are stored as; `served` lists all versions, the preferred one first.

    `generation`: changes of the spec are counted in metadata.generation. `custom`: defined by a CRD.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    generation: bool = False
    verbs: tuple[str, ...] = _ALL_VERBS
    served: tuple[str, ...] = ()
    custom: bool = False
    columns: tuple[Column, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def versions(self) -> tuple[str, ...]:
        return self.served or (self.version,)

    @property
    def stored(self) -> bool:
        """Whether objects of it are kept; reviews and metrics are only answered."""
        return self.verbs == _ALL_VERBS

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


def _core(kind: str, plural: str, short: str = "", **more: object) -> Resource:
    return _resource("", "v1", kind, plural, short, **more)


def _resource(group: str, version: str, kind: str, plural: str, short: str = "", **more: object) -> Resource:
    names = tuple(short.split())
    return Resource(group, version, kind, plural, kind.lower(), short_names=names, **more)  # type: ignore[arg-type]


_SCALED = {"subresources": ("scale", "status"), "generation": True, "categories": ("all",)}
_STATUS = {"subresources": ("status",)}
_CLUSTER = {"namespaced": False}
_ASKED: dict[str, object] = {"namespaced": False, "verbs": ("create",)}
_READ: dict[str, object] = {"verbs": ("get", "list")}
_RBAC = "rbac.authorization.k8s.io"

BUILT_IN: tuple[Resource, ...] = (
    _core("ConfigMap", "configmaps", "cm"),
    _core("Event", "events", "ev"),
    _core("Namespace", "namespaces", "ns", **_STATUS, **_CLUSTER),
    _core("Node", "nodes", "no", **_STATUS, **_CLUSTER),
    _core(
        "Pod",
        "pods",
        "po",
        subresources=("binding", "eviction", "log", "status"),
        generation=True,
        categories=("all",),
    ),
    _core("Secret", "secrets"),
    _core("Service", "services", "svc", **_STATUS, categories=("all",)),
    _core("ServiceAccount", "serviceaccounts", "sa", subresources=("token",)),
    _resource("apps", "v1", "Deployment", "deployments", "deploy", **_SCALED),
    _resource("apps", "v1", "ReplicaSet", "replicasets", "rs", **_SCALED),
    _resource("batch", "v1", "Job", "jobs", **_STATUS, generation=True, categories=("all",)),
    _resource(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "hpa",
        **_STATUS,
        categories=("all",),
    ),
    _resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", **_STATUS, generation=True),
    _resource("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", **_STATUS, generation=True),
    _resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", generation=True),
    _resource("coordination.k8s.io", "v1", "Lease", "leases"),
    _resource(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", **_CLUSTER),
    _resource(_RBAC, "v1", "ClusterRole", "clusterroles", **_CLUSTER),
    _resource(_RBAC, "v1", "RoleBinding", "rolebindings"),
    _resource(_RBAC, "v1", "Role", "roles"),
    _resource(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd crds",
        **_STATUS,
        **_CLUSTER,
        generation=True,
    ),
    _resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", **_ASKED),
    _resource("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", **_ASKED),
    _resource("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", **_ASKED),
    _resource("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", **_READ, **_CLUSTER),
    _resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", **_READ),
)


class Resources:
    """The built-in resources and those that CRDs have added."""

    def __init__(self) -> None:
        self._by_name = {resource.name: resource for resource in BUILT_IN}

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_name.values())

    def find(self, name: str) -> Resource | None:
        return self._by_name.get(name)

    def of(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource that a path names, in any version that it is served in."""
        found = self._by_name.get(f"{plural}.{group}" if group else plural)
        return found if found is not None and version in found.versions else None

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of an object's apiVersion and kind."""
        group, _, version = api_version.rpartition("/")
        for resource in self._by_name.values():
            if resource.kind == kind and resource.group == group and version in resource.versions:
                return resource
        return None

    def add(self, resource: Resource) -> None:
        self._by_name[resource.name] = resource

    def remove(self, name: str) -> None:
        self._by_name.pop(name, None)
