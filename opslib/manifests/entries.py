"""What becomes of one object: the server is asked by a dry run, and its answer compared with what is there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from opslib.core.errors import ConflictError, ManifestError, NotFoundError, OpslibError, RefusedError
from opslib.kube import Cluster, Object, Ref
from opslib.manifests.diff import FieldChange, diff
from opslib.manifests.fields import path_text
from opslib.manifests.owners import HANDOVER, MANAGER, drift, own_fields, owners, with_owners
from opslib.manifests.placing import Placed
from opslib.manifests.pods import mapping

SETTLE_TRIES = 3  # a controller that writes between our read and the dry run would show as a change of ours
Action = Literal["create", "change", "unchanged", "prune", "conflict", "refused"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a plan. `conflict` and `refused` block the whole plan; `reason` says why in the server's words."""

    action: Action
    ref: Ref
    source: str = ""
    changes: tuple[FieldChange, ...] = ()
    drift: tuple[FieldChange, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()  # field, and the manager that owns it
    immutable: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    handover: int | None = None  # replicas that the autoscaler takes over
    force: bool = False
    body: Object = field(default_factory=dict, repr=False)  # what is applied
    live: Object | None = field(default=None, repr=False)  # what is there

    def to_dict(self) -> dict[str, Any]:
        """Return what may be shown, as JSON."""
        changes = [[path_text(c.path), c.before, c.after, list(c.owners)] for c in self.changes]
        return {
            "action": self.action,
            "object": str(self.ref),
            "source": self.source,
            "changes": changes,
            "drift": [path_text(c.path) for c in self.drift],
            "foreign": [list(pair) for pair in self.foreign],
            "immutable": list(self.immutable),
            "reason": self.reason,
            "notes": list(self.notes),
        }


def plan_object(
    cluster: Cluster,
    placed: Placed,
    live: Object | None,
    *,
    take_over: Collection[str],
    coming: Collection[str],
) -> Entry:
    """Ask the server what applying an object would do.

    Args:
        cluster: where.
        placed: the object.
        live: what is there now.
        take_over: managers whose fields may be taken.
        coming: namespaces that the set itself brings.
    """
    entry = _begun(placed, live)
    if not placed.served:
        return _unseen(entry, "definition")
    if live is not None and "deletionTimestamp" in live["metadata"]:
        return replace(
            entry, action="refused", reason="it is being deleted: what is applied now goes with it"
        )
    try:
        result, entry = _dry_run(cluster, entry, take_over)
        for _ in range(SETTLE_TRIES):
            if entry.live is None or _version(result) == _version(entry.live):
                break
            entry = _begun(placed, cluster.get(placed.ref))
            result, entry = _dry_run(cluster, entry, take_over)
    except ConflictError as error:
        return replace(entry, action="conflict", foreign=error.owners, reason=str(error))
    except ManifestError as error:
        action: Action = "conflict" if error.immutable else "refused"
        return replace(entry, action=action, immutable=error.immutable, reason=str(error))
    except NotFoundError as error:
        if placed.ref.namespace not in coming:
            return replace(entry, action="refused", reason=str(error))
        return _tried_elsewhere(cluster, entry)
    except RefusedError as error:
        return replace(entry, action="refused", reason=str(error))
    return entry if entry.live is None else _compared(entry, entry.live, result)


def _unseen(entry: Entry, what: str) -> Entry:
    return replace(
        entry, notes=(*entry.notes, f"its {what} comes with the set: the server has not seen it yet")
    )


def _tried_elsewhere(cluster: Cluster, entry: Entry) -> Entry:
    """Let the server look at an object in a namespace that is there; only what it says of the object itself counts."""
    metadata = {**entry.body["metadata"], "namespace": "default"}
    try:
        cluster.create({**entry.body, "metadata": metadata}, dry_run=True)
    except ManifestError as error:
        return replace(entry, action="refused", reason=str(error))
    except (RefusedError, NotFoundError):
        pass
    return _unseen(entry, "Namespace")


def _version(body: Object) -> Any:
    return body["metadata"].get("resourceVersion")


def _begun(placed: Placed, live: Object | None) -> Entry:
    entry = Entry(
        "create" if live is None else "change", placed.ref, placed.source, body=placed.body, live=live
    )
    if not placed.scaled:
        return entry
    entry = replace(entry, notes=("its autoscaler owns the replicas",))
    if live is None or owners(live, ".spec.replicas") != {MANAGER}:
        return entry
    # Where only we own the replicas that we let go of, somebody has to hold them first, or they fall to one.
    return replace(entry, handover=mapping(live, "spec").get("replicas"))


def _dry_run(cluster: Cluster, entry: Entry, take_over: Collection[str]) -> tuple[Object, Entry]:
    body = entry.body
    if entry.handover is not None:  # as if somebody held them already
        body = {**body, "spec": {**body["spec"], "replicas": entry.handover}}
    try:
        return cluster.apply(body, manager=MANAGER, dry_run=True), entry
    except ConflictError as error:
        managers = {manager for _, manager in error.owners}
        if not managers or not managers <= {*take_over, HANDOVER}:
            raise
        result = cluster.apply(body, manager=MANAGER, dry_run=True, force=True)
        return result, replace(entry, force=True, foreign=error.owners)


def _compared(entry: Entry, live: Object, result: Object) -> Entry:
    changes = with_owners(diff(live, result), live)
    notes = entry.notes
    if entry.handover is not None:
        notes = (*notes, f"its {entry.handover} replicas are handed over to the autoscaler")
    elif not changes and own_fields(live) == own_fields(result):
        return replace(entry, action="unchanged")
    elif not changes:
        notes = (*notes, "no value changes, only who owns the fields")
    return replace(entry, changes=changes, drift=drift(changes, live), notes=notes)


def failed(placed: Placed, error: OpslibError) -> OpslibError:
    """Return an error about an object that says which."""
    error.args = (f"{placed.ref} ({placed.source}): {error}", *error.args[1:])
    return error
