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


# Marks: c cluster-wide, g counts generations, a in `kubectl get all`, o is only asked (create), r is only read.
_TABLE = """
v1                           ConfigMap                configmaps                cm        -                           -
v1                           Event                    events                    ev        -                           -
v1                           Namespace                namespaces                ns        status                      c
v1                           Node                     nodes                     no        status                      c
v1                           Pod                      pods                      po        eviction,log,status         ga
v1                           Secret                   secrets                   -         -                           -
v1                           Service                  services                  svc       status                      a
v1                           ServiceAccount           serviceaccounts           sa        token                       -
apps/v1                      Deployment               deployments               deploy    scale,status                ga
apps/v1                      ReplicaSet               replicasets               rs        scale,status                ga
batch/v1                     Job                      jobs                      -         status                      ga
autoscaling/v2               HorizontalPodAutoscaler  horizontalpodautoscalers  hpa       status                      a
policy/v1                    PodDisruptionBudget      poddisruptionbudgets      pdb       status                      g
networking.k8s.io/v1         Ingress                  ingresses                 ing       status                      g
discovery.k8s.io/v1          EndpointSlice            endpointslices            -         -                           g
coordination.k8s.io/v1       Lease                    leases                    -         -                           -
rbac.authorization.k8s.io/v1 ClusterRoleBinding       clusterrolebindings       -         -                           c
rbac.authorization.k8s.io/v1 ClusterRole              clusterroles              -         -                           c
rbac.authorization.k8s.io/v1 RoleBinding              rolebindings              -         -                           -
rbac.authorization.k8s.io/v1 Role                     roles                     -         -                           -
apiextensions.k8s.io/v1      CustomResourceDefinition customresourcedefinitions crd,crds  status                      cg
authorization.k8s.io/v1      SelfSubjectAccessReview  selfsubjectaccessreviews  -         -                           co
metrics.k8s.io/v1beta1       PodMetrics               pods                      -         -                           r
"""


def _resource(line: str) -> Resource:
    api_version, kind, plural, short_names, subresources, marks = line.split()
    group, _, version = api_version.rpartition("/")
    verbs = ("create",) if "o" in marks else ("get", "list") if "r" in marks else _ALL_VERBS
    return Resource(
        group,
        version,
        kind,
        plural,
        kind.lower(),
        "c" not in marks,
        _words(short_names),
        ("all",) if "a" in marks else (),
        _words(subresources),
        "g" in marks,
        verbs,
    )


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


BUILT_IN = tuple(_resource(line) for line in _TABLE.strip().splitlines())


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
