"""From manifests to objects of one cluster: each has its kind and its namespace, or its definition comes with the set.

Everything is discovered before anything is asked or written, so that a kind that is missing stops the whole set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from opslib.core.errors import NotFoundError
from opslib.kube import Cluster, Object, Ref, ref_of
from opslib.manifests.model import Manifest, refuse_doubles
from opslib.manifests.pods import mapping, replaced

# The order in which kinds are applied; reversed, the order in which they are deleted.
_ORDER = (
    {"Namespace"},
    {"CustomResourceDefinition"},
    {"PriorityClass", "StorageClass", "ResourceQuota", "LimitRange", "ServiceAccount", "ClusterRole", "Role"},
    {"ClusterRoleBinding", "RoleBinding"},
    {"Secret", "ConfigMap"},
    {"PersistentVolume", "PersistentVolumeClaim"},
    {"Service"},
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"},
)
_LATE = ({"HorizontalPodAutoscaler", "PodDisruptionBudget"}, {"Ingress", "HTTPRoute", "VirtualService"})


def rank(kind: str) -> int:
    """Return the place of a kind in the order of applying; kinds that nobody knows come after workloads."""
    for number, kinds in enumerate((*_ORDER, set[str](), *_LATE)):
        if kind in kinds:
            return number
    return len(_ORDER)


@dataclass(frozen=True, slots=True)
class Placed:
    """An object as it will be applied.

    `served` is false while its kind's definition is still to be applied; `scaled` tells that an autoscaler owns the
    replicas, which the body then leaves out.
    """

    ref: Ref
    source: str
    body: Object = field(repr=False)  # may be a Secret
    served: bool = True
    scaled: bool = False


def place(cluster: Cluster, manifests: Iterable[Manifest]) -> list[Placed]:
    """Return the objects in the order of applying.

    Raises:
        NotFoundError: the cluster has no such kind, and none of the set's definitions makes it.
        ManifestError: two manifests turn out to be the same object.
    """
    set_ = list(manifests)
    coming = {
        (mapping(m.body, "spec").get("group"), mapping(m.body, "spec", "names").get("kind")): m.body
        for m in set_
        if m.body["kind"] == "CustomResourceDefinition"
    }
    found = []
    for manifest in set_:
        ref = manifest.ref
        try:
            namespaced, served = cluster.kind(ref.api_version, ref.kind).namespaced, True
        except NotFoundError as error:
            definition = coming.get((ref.group, ref.kind))
            if definition is None:
                raise NotFoundError(f"{manifest.source}: {error}", hint=error.hint) from error
            namespaced, served = mapping(definition, "spec").get("scope") == "Namespaced", False
        body = manifest.body
        if namespaced and not ref.namespace:
            body = replaced(body, ("metadata",), {**body["metadata"], "namespace": cluster.namespace})
        found.append(Placed(ref_of(body), manifest.source, body, served))
    refuse_doubles(Manifest(placed.body, placed.source) for placed in found)
    return sorted(found, key=lambda placed: rank(placed.ref.kind))


def served(cluster: Cluster, refs: Iterable[Ref]) -> list[Ref]:
    """Return the objects whose kinds the cluster has."""

    def is_served(ref: Ref) -> bool:
        try:
            cluster.kind(ref.api_version, ref.kind)
        except NotFoundError:
            return False
        return True

    return [ref for ref in refs if is_served(ref)]
