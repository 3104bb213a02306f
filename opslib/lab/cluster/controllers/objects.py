"""What controllers ask of objects: who owns them, are they ready, and their conditions. Nothing is changed in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from opslib.lab.cluster.api import Api
from opslib.lab.cluster.metadata import owner_reference, with_metadata
from opslib.lab.cluster.options import DeleteOptions, Object, WriteOptions
from opslib.lab.cluster.selectors import match_label_selector
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Event

Key = tuple[str, ...]
"""What a controller looks at: namespace and name, or more where kinds differ."""

WRITE = WriteOptions(manager="kube-controller-manager")


def key_of(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def find(api: Api, resource: str, *key: str) -> Object | None:
    """Return an object, None where there is none."""
    try:
        return api.get(resource, key[0], key[1])
    except StatusError as error:
        if error.code == 404:
            return None
        raise


def write_status(api: Api, resource: str, obj: Object, status: Object) -> Object:
    """Write an object's status, and its annotations where the resource lets them pass."""
    return update(api, resource, {**obj, "status": status}, subresource="status")


def update(
    api: Api, resource: str, obj: Object, options: WriteOptions = WRITE, *, subresource: str = ""
) -> Object:
    return api.update(resource, *key_of(obj), obj, options, subresource=subresource)


def delete(api: Api, resource: str, obj: Object, propagation: str = "Background") -> None:
    """Delete this very object, not one of the same name that came after it."""
    options = DeleteOptions(propagation=propagation, uid=obj["metadata"]["uid"])
    api.delete(resource, *key_of(obj), options)


def is_deleted(obj: Object) -> bool:
    """Whether it is on its way out: marked, and only waiting for its grace or its finalizers."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def seconds(text: str) -> float:
    """Read a time as Kubernetes writes it: unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def controller_of(obj: Object) -> Object | None:
    """Return the reference to the one owner that manages the object."""
    return next((ref for ref in obj["metadata"].get("ownerReferences") or () if ref.get("controller")), None)


def owner_keys(event: Event, kind: str) -> set[Key]:
    """Return the keys of the controllers of a kind that a changed object has or had."""
    states = [event.object, *([event.previous] if event.previous else [])]
    refs = [(state, controller_of(state)) for state in states]
    return {(s["metadata"].get("namespace", ""), r["name"]) for s, r in refs if r and r["kind"] == kind}


def selecting(api: Api, resource: str, obj: Object, selector: str = "selector") -> set[Key]:
    """Return the keys of the objects in its namespace that select an object by its labels."""
    labels = obj["metadata"].get("labels") or {}
    others = api.list(resource, obj["metadata"].get("namespace", ""))
    return {key_of(other) for other in others if match_label_selector(other["spec"].get(selector), labels)}


def claim(api: Api, owner: Object, resource: str, candidates: Iterable[Object]) -> list[Object]:
    """Return what the owner controls: orphans that it selects are adopted, its own that it does not are let go."""
    uid, found = owner["metadata"]["uid"], []
    for obj in candidates:
        ref = controller_of(obj)
        fits = match_label_selector(owner["spec"]["selector"], obj["metadata"].get("labels") or {})
        if ref is not None and ref["uid"] == uid and fits:
            found.append(obj)
        elif ref is not None and ref["uid"] == uid and not is_deleted(obj):
            _write_owners(api, resource, obj, [r for r in _owners(obj) if r["uid"] != uid])
        elif ref is None and fits and not is_deleted(obj) and not is_deleted(owner):
            found.append(_write_owners(api, resource, obj, [*_owners(obj), owner_reference(owner)]))
    return found


def _owners(obj: Object) -> list[Object]:
    return list(obj["metadata"].get("ownerReferences") or ())


def _write_owners(api: Api, resource: str, obj: Object, owners: list[Object]) -> Object:
    return update(api, resource, with_metadata(obj, ownerReferences=owners or None))


def owned(objects: Iterable[Object], owner: Object) -> list[Object]:
    """Return those that the owner controls."""
    uid = owner["metadata"]["uid"]
    return [obj for obj in objects if (ref := controller_of(obj)) is not None and ref["uid"] == uid]


def phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def is_finished(pod: Object) -> bool:
    return phase(pod) in {"Succeeded", "Failed"}


def is_active(pod: Object) -> bool:
    """Whether a pod counts: neither finished nor on its way out."""
    return not is_deleted(pod) and not is_finished(pod)


def ready_since(pod: Object) -> float | None:
    """Return since when a pod is ready, unix seconds; None for one that is not."""
    ready = condition(pod, "Ready")
    return seconds(ready["lastTransitionTime"]) if ready is not None and ready["status"] == "True" else None


def condition(obj: Object, kind: str) -> Object | None:
    conditions: Sequence[Object] = obj.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), None)


def set_condition(conditions: Sequence[Object], new: Object) -> list[Object]:
    """Return the conditions with a new one at the end; one of equal status and reason stays as it is.

    The time of the last transition is kept where the status is as before.
    """
    old = next((c for c in conditions if c["type"] == new["type"]), None)
    if old is not None and (old["status"], old.get("reason")) == (new["status"], new.get("reason")):
        return list(conditions)
    if old is not None and old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [*(c for c in conditions if c["type"] != new["type"]), new]
