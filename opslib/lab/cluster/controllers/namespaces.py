"""Namespaces: each begins with a ServiceAccount and the cluster's CA, and ends when all that was in it has ended."""

from __future__ import annotations

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.store import Event

_CONDITIONS = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
)


class Namespaces:
    """The namespace controller: empties and ends namespaces that are deleted. Events last: they tell of the end."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    def keys(self, event: Event) -> set[Key]:
        if event.resource == "namespaces":
            return {objects.key_of(event.object)} if objects.is_deleted(event.object) else set()
        namespace = event.object["metadata"].get("namespace", "")
        return {("", namespace)} if event.type == "DELETED" and namespace else set()

    def reconcile(self, key: Key) -> None:
        namespace = objects.find(self._api, "namespaces", *key)
        if namespace is None or not objects.is_deleted(namespace):
            return
        names = [res.name for res in self._api.resources if res.namespaced and res.stored]
        for name in sorted(names, key="events".__eq__):
            for obj in self._api.list(name, key[1]):
                if not objects.is_deleted(obj):
                    objects.delete(self._api, name, obj)
        if not any(self._api.list(name, key[1]) for name in names):
            self._end(self._api.get("namespaces", *key))

    def _end(self, namespace: Object) -> None:
        at = stamp(self._clock.now_ns())
        told = [
            {"type": kind, "status": "False", "lastTransitionTime": at, "reason": reason, "message": message}
            for kind, reason, message in _CONDITIONS
        ]
        status = namespace["status"] | {"conditions": told}
        written = objects.write_status(self._api, "namespaces", namespace, status)
        ended = written | {"spec": {**written["spec"], "finalizers": []}}
        objects.update(self._api, "namespaces", ended, subresource="finalize")
