"""The kinds that CustomResourceDefinitions add: there as long as the definition is, also after a restart."""

from __future__ import annotations

from typing import Any

from opslib.core.clock import Clock
from opslib.lab.cluster.crds import resource_and_schema
from opslib.lab.cluster.metadata import stamp, with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource, Resources
from opslib.lab.cluster.schema import Schema, schema_of
from opslib.lab.cluster.store import Store

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class Definitions:
    """Keeps `resources` in step with the definitions, and knows the schema of every resource."""

    def __init__(self, store: Store, resources: Resources, clock: Clock) -> None:
        self._resources = resources
        self._clock = clock
        self._schemas: dict[str, dict[str, Schema]] = {}
        for definition in store.scan(CRDS):
            self._register(definition)

    def schema(self, res: Resource) -> Schema:
        """Return the types of a resource's fields, in the version that is stored."""
        return self._schemas[res.name][res.version] if res.custom else schema_of(res)

    def resource_of(self, definition: Object) -> Resource:
        return resource_and_schema(definition)[0]

    def admitted(self, definition: Object) -> Object:
        """Return a new definition with what makes it wait for the end of its objects."""
        finalizers = [*definition["metadata"].get("finalizers", ()), _FINALIZER]
        return with_metadata(definition, finalizers=finalizers)

    def define(self, definition: Object) -> Object:
        """Make its resource known; return the definition with the conditions that say so."""
        self._register(definition)
        if definition.get("status", {}).get("conditions"):
            return definition
        versions = definition["spec"]["versions"]
        stored = [version["name"] for version in versions if version.get("storage")]
        conditions = [
            self._condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            self._condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ]
        status = {
            "conditions": conditions,
            "acceptedNames": definition["spec"]["names"],
            "storedVersions": stored,
        }
        return {**definition, "status": status}

    def terminating(self, definition: Object) -> Object:
        """Return a definition that waits for its objects to go, and then for nothing more."""
        finalizers = [f for f in definition["metadata"].get("finalizers", ()) if f != _FINALIZER]
        condition = self._condition(
            "Terminating", "InstanceDeletionInProgress", "its objects are being deleted"
        )
        status = definition.get("status", {})
        others = [c for c in status.get("conditions", ()) if c["type"] != "Terminating"]
        marked = {**definition, "status": {**status, "conditions": [*others, condition]}}
        return with_metadata(marked, finalizers=finalizers or None)

    def undefine(self, definition: Object) -> None:
        """Forget the resource of a definition that is gone."""
        name = definition["metadata"]["name"]
        self._resources.remove(name)
        self._schemas.pop(name, None)

    def _register(self, definition: Object) -> None:
        resource, schemas = resource_and_schema(definition)
        self._resources.add(resource)
        self._schemas[resource.name] = schemas

    def _condition(self, kind: str, reason: str, message: str) -> dict[str, Any]:
        return {
            "type": kind,
            "status": "True",
            "lastTransitionTime": stamp(self._clock.now_ns()),
            "reason": reason,
            "message": message,
        }
