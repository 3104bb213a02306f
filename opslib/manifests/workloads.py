"""A workload with all that belongs to it at one moment: its revisions, its pods, and which of them are the new ones.

Whose pod it is, is told by owner references, never by labels alone; which revision a pod has, by the hash label that its
controller gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.errors import ManifestError, NotFoundError
from opslib.kube import Cluster, Object, Ref, ref_of
from opslib.manifests.health import number
from opslib.manifests.pods import mapping, mappings

REVISION = "deployment.kubernetes.io/revision"
_HASH, _REVISION_HASH = "pod-template-hash", "controller-revision-hash"
_STATEFUL = "controller.kubernetes.io/hash"  # a label of a StatefulSet's revisions alone
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class Workload:
    """`revisions` are ReplicaSets or ControllerRevisions, latest first; `current` is the hash that new pods have."""

    object: Object
    revisions: tuple[Object, ...]
    pods: tuple[Object, ...]
    current: str

    @property
    def ref(self) -> Ref:
        return ref_of(self.object)

    @property
    def new_pods(self) -> tuple[Object, ...]:
        """Return the pods of the current revision that are not on their way out."""
        return tuple(pod for pod in self.pods if hash_of(pod) == self.current and not is_leaving(pod))

    @property
    def newest(self) -> Object | None:
        """Return the ReplicaSet or ControllerRevision of the current revision."""
        return next((r for r in self.revisions if hash_of(r) == self.current), None)


def look_at(cluster: Cluster, ref: Ref) -> Workload:
    """Return a workload as it is now. Raises NotFoundError, ManifestError for what is no workload, ClusterError."""
    if ref.kind not in KINDS:
        raise ManifestError(f"{ref} is no workload", hint=f"one of {', '.join(KINDS)}")
    obj = cluster.get(ref)
    if obj is None:
        raise NotFoundError(f"the cluster has no {ref}", hint=f"look: kubectl get {ref.kind.lower()}s -A")
    labels = selector_text(mapping(obj, "spec", "selector"))
    children = ("ReplicaSet" if ref.kind == "Deployment" else "ControllerRevision", "Pod")
    kinds = (cluster.kind("apps/v1", children[0]), cluster.kind("v1", children[1]))
    revisions, pods = (cluster.list_objects(kind, ref.namespace, labels=labels) for kind in kinds)
    mine = sorted(owned(revisions, obj), key=revision_of, reverse=True)
    owners = [*mine, obj] if ref.kind == "Deployment" else [obj]
    return Workload(obj, tuple(mine), tuple(_pods(pods, owners)), _current(obj, mine))


def _pods(pods: Iterable[Object], owners: Iterable[Object]) -> Iterator[Object]:
    uids = {owner["metadata"]["uid"] for owner in owners}
    return (pod for pod in pods if _controller(pod) in uids)


def owned(objects: Iterable[Object], owner: Object) -> Iterator[Object]:
    """Yield the objects whose controller an object is."""
    return (obj for obj in objects if _controller(obj) == owner["metadata"]["uid"])


def _controller(obj: Object) -> Any:
    references = mappings(mapping(obj, "metadata"), "ownerReferences")
    return next((r.get("uid") for r in references if r.get("controller")), None)


def revision_of(revision: Object) -> int:
    """Return a ReplicaSet's or ControllerRevision's number, 0 where it has none."""
    if revision.get("kind") == "ControllerRevision":
        return number(revision, "revision")
    text = str(mapping(revision, "metadata", "annotations").get(REVISION, ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def hash_of(obj: Object) -> str:
    """Return the hash of the revision that a pod or a revision has, "" where there is none.

    For a StatefulSet it is the revision's name: that is what its pods' label and its status hold.
    """
    metadata, labels = mapping(obj, "metadata"), mapping(obj, "metadata", "labels")
    named = metadata.get("name") if _STATEFUL in labels else ""
    return str(named or labels.get(_HASH) or labels.get(_REVISION_HASH) or "")


def is_leaving(pod: Object) -> bool:
    return bool(mapping(pod, "metadata").get("deletionTimestamp"))


def is_ready(pod: Object) -> bool:
    """Return whether a pod takes calls."""
    conditions = mappings(mapping(pod, "status"), "conditions")
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _current(obj: Object, revisions: list[Object]) -> str:
    """Return the hash of the revision that is wanted; "" until its controller has made it."""
    if obj["kind"] == "StatefulSet":
        return str(mapping(obj, "status").get("updateRevision") or "")
    if obj["kind"] == "DaemonSet":
        return hash_of(revisions[0]) if revisions else ""
    template = without_hash(mapping(obj, "spec", "template"))
    # The same template can come back under its old name, so the template decides, as it does for the controller.
    same = [r for r in revisions if without_hash(mapping(r, "spec", "template")) == template]
    return hash_of(same[0]) if same else ""


def without_hash(template: Mapping[str, Any]) -> Object:
    """Return a pod template without the label that tells revisions apart."""
    metadata = mapping(template, "metadata")
    labels = {key: value for key, value in mapping(metadata, "labels").items() if key != _HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def selector_text(selector: Mapping[str, Any]) -> str:
    """Return a label selector as the API takes it in a query. Raises ManifestError for an unknown operator."""
    parts = [f"{key}={value}" for key, value in sorted(mapping(selector, "matchLabels").items())]
    for rule in mappings(selector, "matchExpressions"):
        key, operator = rule.get("key"), rule.get("operator")
        values = ",".join(map(str, rule.get("values") or ()))
        forms = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": f"{key}",
            "DoesNotExist": f"!{key}",
        }
        if operator not in forms:
            raise ManifestError(f"a selector has the operator {operator!r}", hint=", ".join(forms))
        parts.append(forms[operator])
    return ",".join(parts)
