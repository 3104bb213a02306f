"""`kubectl rollout` in typed results: history, undo, pause, resume, restart, scale.

A change is one JSON patch that first tests the resourceVersion it was made from: of two people at once one is refused,
and nothing is overwritten unseen. Each is a value (`Edit`) that says in words what it does and who may undo it; `carry_out`
sends it. Words and semantics: k8s.io/kubectl/pkg/polymorphichelpers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import ConflictError, NotFoundError, RefusedError
from opslib.core.windows import NS_PER_S, rfc3339
from opslib.kube import Cluster, Object, Ref
from opslib.manifests.pods import mapping, mappings
from opslib.manifests.workloads import (
    KINDS,
    REVISION,
    Workload,
    hash_of,
    is_ready,
    look_at,
    revision_of,
    without_hash,
)

_TRIES = 10
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
CHANGE_CAUSE = "kubernetes.io/change-cause"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Of the Deployment itself, not of a revision: `undo` keeps them as they are.
_KEPT = (
    LAST_APPLIED,
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
)
_GITOPS = {
    "argocd": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "flux": "Flux",
}


@dataclass(frozen=True, slots=True)
class Revision:
    """One line of a history; `pods` that are ready of those that live."""

    number: int
    created: str
    change_cause: str
    images: tuple[str, ...]
    pods: int
    ready: int
    current: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """One patch to one object: what it does in a sentence, and what to know before it is sent."""

    ref: Ref
    summary: str
    operations: tuple[Object, ...]
    warnings: tuple[str, ...] = ()
    generation: int = 0  # of the object that it was made from


def history(cluster: Cluster, ref: Ref) -> list[Revision]:
    """Return the revisions of a workload, latest first, with their live pods. Raises as `look_at`."""
    workload = look_at(cluster, ref)
    return [_revision(workload, revision) for revision in workload.revisions]


def _revision(workload: Workload, revision: Object) -> Revision:
    metadata, name = mapping(revision, "metadata"), hash_of(revision)
    pods = [pod for pod in workload.pods if hash_of(pod) == name]
    return Revision(
        revision_of(revision),
        str(metadata.get("creationTimestamp", "")),
        str(mapping(metadata, "annotations").get(CHANGE_CAUSE, "")),
        tuple(str(c.get("image", "")) for c in mappings(mapping(_template(revision), "spec"), "containers")),
        len(pods),
        sum(is_ready(pod) for pod in pods),
        name == workload.current,
    )


def _template(revision: Object) -> Object:
    if revision.get("kind") != "ControllerRevision":
        return mapping(revision, "spec", "template")
    held = mapping(revision, "data", "spec", "template")
    return {key: value for key, value in held.items() if key != "$patch"}


def undo(cluster: Cluster, ref: Ref, *, to_revision: int = 0, to_hash: str = "") -> Edit:
    """Return the way back to a revision, without one to the one before. Replicas and other objects stay.

    `to_hash` names a revision by the hash of its template, which stays the same when revisions are numbered anew.

    Raises:
        RefusedError: the workload is paused, or is at this revision already.
        NotFoundError: there is no such revision.
    """
    workload = look_at(cluster, ref)
    _refuse_paused(workload.object, "undone")
    target = _target(workload, to_revision, to_hash)
    template = without_hash(_template(target))
    if template == without_hash(mapping(workload.object, "spec", "template")):
        raise RefusedError(f"{ref} is at revision {revision_of(target)} already", hint="see its history")
    operations = [{"op": "replace", "path": "/spec/template", "value": template}]
    if ref.kind == "Deployment":
        operations.append(
            {"op": "add", "path": "/metadata/annotations", "value": _annotations(workload, target)}
        )
    summary = f"roll {ref} back to revision {revision_of(target)}"
    return edit(workload.object, ref, summary, operations, _undo_warnings(workload.object))


def _target(workload: Workload, wanted: int, hash_: str) -> Object:
    for revision in workload.revisions if hash_ else ():
        if hash_of(revision) == hash_:
            return revision
    if hash_:
        raise NotFoundError(f"the revision {hash_} of {workload.ref} is gone", hint="see its history")
    numbers = {revision_of(revision): revision for revision in workload.revisions}
    others = sorted((n for n, r in numbers.items() if hash_of(r) != workload.current), reverse=True)
    if wanted in numbers:
        return numbers[wanted]
    if wanted or not others:
        known = ", ".join(map(str, sorted(numbers))) or "none"
        which = f"revision {wanted}" if wanted else "earlier revision"
        raise NotFoundError(f"{workload.ref} has no {which}", hint=f"its revisions: {known}")
    return numbers[others[0]]


def _annotations(workload: Workload, target: Object) -> dict[str, Any]:
    """Return the annotations of the restored revision, but those that tell of the Deployment itself."""
    own = mapping(workload.object, "metadata", "annotations")
    restored = mapping(target, "metadata", "annotations")
    return {
        **{key: value for key, value in restored.items() if key not in _KEPT},
        **{key: own[key] for key in _KEPT if key in own},
    }


def _undo_warnings(obj: Object) -> Iterable[str]:
    managers = {
        str(entry.get("manager", "")) for entry in mappings(mapping(obj, "metadata"), "managedFields")
    }
    for part, tool in sorted(_GITOPS.items()):
        if any(part in manager for manager in managers):
            yield f"{tool} manages this object and may put the newer revision back"
            break
    if LAST_APPLIED in mapping(obj, "metadata", "annotations"):
        yield "the next `kubectl apply` compares with what was applied last, not with this revision"


def pause(cluster: Cluster, ref: Ref) -> Edit:
    """Return the edit that stops roll-outs of a Deployment. Raises RefusedError where it is paused already."""
    obj = _deployment(cluster, ref)
    _refuse_paused(obj, "paused again")
    return edit(obj, ref, f"pause {ref}", [{"op": "add", "path": "/spec/paused", "value": True}])


def resume(cluster: Cluster, ref: Ref) -> Edit:
    """Return the edit that lets roll-outs go on. Raises RefusedError where it is not paused."""
    obj = _deployment(cluster, ref)
    if not mapping(obj, "spec").get("paused"):
        raise RefusedError(f"{ref} is not paused", hint="there is nothing to resume")
    return edit(obj, ref, f"resume {ref}", [{"op": "remove", "path": "/spec/paused"}])


def restart(cluster: Cluster, ref: Ref, clock: Clock) -> Edit:
    """Return the edit that replaces all pods by the strategy of the workload. Raises RefusedError where it is paused."""
    obj = _found(cluster, ref)
    _refuse_paused(obj, "restarted")
    now = rfc3339(clock.now_ns() // NS_PER_S * NS_PER_S)
    annotations = mapping(obj, "spec", "template", "metadata", "annotations") | {RESTARTED_AT: now}
    metadata = mapping(obj, "spec", "template", "metadata") | {"annotations": annotations}
    operation = {"op": "add", "path": "/spec/template/metadata", "value": metadata}
    return edit(obj, ref, f"restart {ref}", [operation])


def scale(cluster: Cluster, ref: Ref, replicas: int) -> Edit:
    """Return the edit that sets the number of replicas; who else sets it is told."""
    obj = _found(cluster, ref)
    before = mapping(obj, "spec").get("replicas", 1)
    kind = cluster.kind("autoscaling/v2", "HorizontalPodAutoscaler")
    autoscalers = [
        item["metadata"]["name"]
        for item in cluster.list_objects(kind, ref.namespace)
        if (t := mapping(item, "spec", "scaleTargetRef")).get("name") == ref.name
        and t.get("kind") == ref.kind
    ]
    warnings = [f"HorizontalPodAutoscaler {name} will set it again" for name in autoscalers]
    operation = {"op": "add", "path": "/spec/replicas", "value": replicas}
    return edit(obj, ref, f"scale {ref} from {before} to {replicas}", [operation], warnings)


def carry_out_now(cluster: Cluster, make: Callable[[], Edit], *, dry_run: bool = False) -> Edit:
    """Make an edit and send it, again where only the status has changed in between; return what was sent.

    Raises ConflictError where somebody else has changed what is wanted of the object meanwhile.
    """
    generation = None
    for left in reversed(range(_TRIES)):
        made = make()
        if generation not in {None, made.generation}:
            raise ConflictError(
                f"{made.ref} was changed by somebody else just now", hint="look at it, then try again"
            )
        generation = made.generation
        try:
            carry_out(cluster, made, dry_run=dry_run)
        except ConflictError:
            if not left:
                raise
        else:
            return made
    raise AssertionError("the last try returns or raises")


def carry_out(cluster: Cluster, edit: Edit, *, dry_run: bool = False) -> Object:
    """Send an edit. Raises ConflictError where the object has changed since the edit was made."""
    return cluster.patch(edit.ref, edit.operations, dry_run=dry_run)


def edit(
    obj: Object, ref: Ref, summary: str, operations: Iterable[Object], warnings: Iterable[str] = ()
) -> Edit:
    version = obj["metadata"]["resourceVersion"]
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    generation = int(obj["metadata"].get("generation") or 0)
    return Edit(ref, summary, (test, *operations), tuple(warnings), generation=generation)


def _found(cluster: Cluster, ref: Ref) -> Object:
    obj = cluster.get(ref)
    if obj is None:
        raise NotFoundError(f"the cluster has no {ref}", hint=f"kinds that roll out: {', '.join(KINDS)}")
    return obj


def _deployment(cluster: Cluster, ref: Ref) -> Object:
    if ref.kind != "Deployment":
        raise RefusedError(f"{ref} cannot be paused", hint="only Deployments can")
    return _found(cluster, ref)


def _refuse_paused(obj: Object, what: str) -> None:
    if mapping(obj, "spec").get("paused"):
        name = obj["metadata"]["name"]
        raise RefusedError(f"{obj['kind']} {name} is paused and cannot be {what}", hint="resume it first")
