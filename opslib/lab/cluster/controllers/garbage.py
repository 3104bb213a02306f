"""Garbage collection: what has owners and none of them left is deleted; foreground and orphaning deletions are finished.

Who owns what is kept in an index of uids, built of the same events as everything else and as large as the cluster.
"""

from __future__ import annotations

from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.store import Event

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


class Garbage:
    """The garbage collector. Keys are resource, namespace, name."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._live: dict[str, Key] = {}
        self._dependents: dict[str, set[Key]] = {}

    def __len__(self) -> int:
        """Objects known, and references held to them."""
        return len(self._live) + sum(len(keys) for keys in self._dependents.values())

    def keys(self, event: Event) -> set[Key]:
        key = (event.resource, *objects.key_of(event.object))
        uid, before = event.object["metadata"]["uid"], _owners(event.previous) if event.previous else []
        owners = [] if event.type == "DELETED" else _owners(event.object)
        for ref in before:
            self._forget(ref["uid"], key)
        for ref in owners:
            self._dependents.setdefault(ref["uid"], set()).add(key)
        if event.type == "DELETED":
            self._live.pop(uid, None)
            waiting = {self._live[ref["uid"]] for ref in before if ref["uid"] in self._live}
            return waiting | self._dependents.get(uid, set())
        self._live[uid] = key
        mine = (
            {key}
            if objects.is_deleted(event.object) or any(ref["uid"] not in self._live for ref in owners)
            else set()
        )
        return mine | (self._dependents.get(uid, set()) if FOREGROUND in _finalizers(event.object) else set())

    def reconcile(self, key: Key) -> None:
        obj = objects.find(self._api, *key)
        if obj is None:
            return
        if objects.is_deleted(obj):
            self._finish(key[0], obj)
            return
        owners = _owners(obj)
        left = [ref for ref in owners if ref["uid"] in self._live]
        going = [ref for ref in left if ref.get("blockOwnerDeletion") and self._is_waiting(ref["uid"])]
        staying = [ref for ref in left if ref not in going]
        if staying and len(staying) < len(owners):
            objects.update(self._api, key[0], with_metadata(obj, ownerReferences=staying))
        elif owners and not staying:
            foreground = bool(going) and bool(self._dependents.get(obj["metadata"]["uid"]))
            propagation = "Foreground" if foreground else "Background"
            objects.delete(self._api, key[0], obj, propagation)

    def _finish(self, resource: str, owner: Object) -> None:
        """Take off the finalizer of a deletion whose dependents are let go, or are gone."""
        uid, finalizers = owner["metadata"]["uid"], _finalizers(owner)
        found = [(key[0], objects.find(self._api, *key)) for key in sorted(self._dependents.get(uid, ()))]
        dependents = [(name, obj) for name, obj in found if obj is not None]
        if ORPHAN in finalizers:
            for name, obj in dependents:
                others = [ref for ref in _owners(obj) if ref["uid"] != uid]
                objects.update(self._api, name, with_metadata(obj, ownerReferences=others or None))
            self._finalized(resource, owner, ORPHAN)
        elif FOREGROUND in finalizers and not any(_blocks(obj, uid) for _, obj in dependents):
            self._finalized(resource, owner, FOREGROUND)

    def _finalized(self, resource: str, owner: Object, name: str) -> None:
        left = [each for each in _finalizers(owner) if each != name]
        objects.update(self._api, resource, with_metadata(owner, finalizers=left or None))

    def _is_waiting(self, uid: str) -> bool:
        owner = objects.find(self._api, *self._live[uid])
        return owner is not None and FOREGROUND in _finalizers(owner)

    def _forget(self, uid: str, key: Key) -> None:
        keys = self._dependents.get(uid, set())
        keys.discard(key)
        if not keys:
            self._dependents.pop(uid, None)


def _owners(obj: Object) -> list[Object]:
    return obj["metadata"].get("ownerReferences") or []


def _finalizers(obj: Object) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def _blocks(obj: Object, uid: str) -> bool:
    return any(ref["uid"] == uid and ref.get("blockOwnerDeletion") for ref in _owners(obj))
