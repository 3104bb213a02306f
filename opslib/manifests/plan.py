"""The plan of a set: everything parsed, discovered and tried by a dry run of the server before the first write."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from opslib.core.errors import NotFoundError, OpslibError
from opslib.core.plan import Plan
from opslib.kube import Cluster, Object, Ref, is_secret, ref_of
from opslib.manifests.entries import Entry, failed, plan_object
from opslib.manifests.inventory import PART_OF, guarded_prune, inventory_ref, read_inventory, set_id
from opslib.manifests.model import Manifest
from opslib.manifests.owners import own_fields, scaled_targets
from opslib.manifests.placing import Placed, place, rank, served
from opslib.manifests.pods import mapping, replaced
from opslib.manifests.steps import steps_of

MAX_PRUNE = 5
_SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet")


@dataclass(frozen=True, slots=True)
class SetPlan:
    """What applying a set would do: an entry for each object, and the plan whose token approves it."""

    plan: Plan
    entries: tuple[Entry, ...]
    inventory: Ref

    @property
    def blocked(self) -> tuple[Entry, ...]:
        """The entries that forbid to apply any."""
        return tuple(e for e in self.entries if e.action in {"conflict", "refused"})

    def counts(self) -> dict[str, int]:
        actions = [entry.action for entry in self.entries]
        return {action: actions.count(action) for action in dict.fromkeys(actions)}


def plan_apply(
    cluster: Cluster,
    manifests: Iterable[Manifest],
    *,
    environment: str,
    release: str,
    take_over: Collection[str] = (),
    prune_named: Collection[str] = (),
    max_prune: int = MAX_PRUNE,
    keep: Collection[tuple[str, str, str]] = (),
) -> SetPlan:
    """Plan to apply a set as a release: nothing is written.

    Args:
        cluster: where.
        manifests: the set, as `load_manifests` returns it.
        environment: the environment's name, part of what is approved.
        release: the name under which the cluster remembers what was applied.
        take_over: field managers whose fields may be taken, such as `kubectl-client-side-apply`.
        prune_named: `KIND/NAME` of Namespaces, definitions and volumes that may be deleted.
        max_prune: how many objects may be deleted where that is more than a fifth of the release.
        keep: kind, namespace and name of objects that are not deleted, since pods or their history need them.

    Raises:
        NotFoundError: a kind is not there and does not come with the set.
        ClusterError, ForbiddenError: the cluster could not be asked about an object, which is named.
        RefusedError: too much would be pruned.
    """
    inventory = inventory_ref(release, cluster.namespace)
    targets = prepare(cluster, manifests, inventory)
    recorded = read_inventory(cluster, inventory)
    wanted = {placed.ref.key for placed in targets}
    gone = guarded_prune(
        (ref for ref in recorded if ref.key not in wanted and ref.key[1:] not in keep),
        recorded,
        named=prune_named,
        most=max_prune,
    )
    live = cluster.get_all(served(cluster, [p.ref for p in targets] + gone))
    entries = (*_asked(cluster, targets, live, take_over), *_pruned(gone, live, recorded))
    identity = cluster.identity()
    shown = {"release": release, "objects": [entry.to_dict() for entry in entries]}
    return SetPlan(Plan(environment, identity, steps_of(entries, identity), shown), entries, inventory)


def prepare(cluster: Cluster, manifests: Iterable[Manifest], inventory: Ref) -> list[Placed]:
    """Return a set's objects as they are applied: placed, labelled as the release's, autoscaled replicas left out."""
    targets = place(cluster, manifests)
    id_ = set_id(inventory)
    scaled = _scaled(cluster, targets, read_inventory(cluster, inventory))
    found = []
    for placed in targets:
        metadata = placed.body["metadata"]
        labelled = {**metadata, "labels": {**mapping(metadata, "labels"), PART_OF: id_}}
        body = replaced(_with_data(placed.body), ("metadata",), labelled)
        spec = mapping(body, "spec")
        is_scaled = placed.ref.key in scaled and "replicas" in spec
        if is_scaled:
            body = {**body, "spec": {key: value for key, value in spec.items() if key != "replicas"}}
        found.append(replace(placed, body=body, scaled=is_scaled))
    return found


def _with_data(body: Object) -> Object:
    """Return a Secret whose texts are data: server-side apply never sees `stringData` again, and so cannot own it."""
    texts = mapping(body, "stringData")
    if not is_secret(body) or not all(isinstance(text, str) for text in texts.values()):
        return body
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    rest = {key: value for key, value in body.items() if key != "stringData"}
    return {**rest, "data": {**mapping(body, "data"), **encoded}} if encoded else rest


def _asked(
    cluster: Cluster, targets: Sequence[Placed], live: Mapping[Ref, Object], take_over: Collection[str]
) -> list[Entry]:
    coming = {placed.ref.name for placed in targets if placed.ref.kind == "Namespace"}

    def ask(placed: Placed) -> Entry:
        return plan_object(cluster, placed, live.get(placed.ref), take_over=take_over, coming=coming)

    entries = []
    for placed, result in zip(targets, cluster.each(ask, targets), strict=True):
        if isinstance(result, OpslibError):
            raise failed(placed, result)
        entries.append(result)
    return entries


def _scaled(
    cluster: Cluster, targets: Sequence[Placed], recorded: Collection[Ref]
) -> set[tuple[str, str, str, str]]:
    """Return what autoscalers of the set and of the cluster scale; a recorded one that left the set is pruned."""
    ours = [placed.body for placed in targets if placed.ref.kind == "HorizontalPodAutoscaler"]
    spaces = sorted({placed.ref.namespace for placed in targets if placed.ref.kind in _SCALABLE})
    try:
        kind = cluster.kind("autoscaling/v2", "HorizontalPodAutoscaler")
    except NotFoundError:
        spaces = []
    found = [body for space in spaces for body in cluster.list_objects(kind, space)]
    theirs = [body for body in found if ref_of(body) not in recorded]
    return scaled_targets([*ours, *theirs], cluster.namespace)


def _pruned(gone: Sequence[Ref], live: Mapping[Ref, Object], recorded: Mapping[Ref, str]) -> list[Entry]:
    """Return what is deleted: only what is the recorded object still, and still ours."""
    found = []
    for ref in sorted(gone, key=lambda r: (-rank(r.kind), r)):
        body = live.get(ref)
        if body is None or recorded[ref] not in {"", body["metadata"]["uid"]}:
            continue
        if own_fields(body) is not None:
            found.append(Entry("prune", ref, notes=("it is not in the set any more",), live=body))
    return found
