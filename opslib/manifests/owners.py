"""Who owns which field of an object, read from its managedFields: ours, others', an autoscaler's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from opslib.kube import Object
from opslib.manifests.diff import FieldChange
from opslib.manifests.fields import owned_fields, path_text, touches
from opslib.manifests.pods import mapping, mappings

MANAGER = "opslib"
HANDOVER = "opslib-handover"
"""Holds `spec.replicas` for the moment between our letting go of it and the autoscaler's first write."""


def own_fields(body: Object) -> Any:
    """Return what of an object our manager has applied (`fieldsV1`), None for nothing."""
    for entry in mappings(mapping(body, "metadata"), "managedFields"):
        if (
            entry.get("manager") == MANAGER
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            return entry.get("fieldsV1")
    return None


def owners(body: Object, path: str) -> set[str]:
    """Return the managers that own a field, or a part of it."""
    return {
        str(entry.get("manager"))
        for entry in mappings(mapping(body, "metadata"), "managedFields")
        if any(touches(owned, path) for owned in owned_fields(entry.get("fieldsV1")))
    }


def with_owners(changes: Iterable[FieldChange], live: Object) -> tuple[FieldChange, ...]:
    """Return the changes with the other managers that own their fields now."""
    others = [
        (str(entry.get("manager")), list(owned_fields(entry.get("fieldsV1"))))
        for entry in mappings(mapping(live, "metadata"), "managedFields")
        if entry.get("manager") != MANAGER
    ]
    return tuple(
        replace(
            c,
            owners=tuple(
                sorted({m for m, owned in others if any(touches(o, path_text(c.path)) for o in owned)})
            ),
        )
        for c in changes
    )


def drift(changes: Iterable[FieldChange], live: Object) -> tuple[FieldChange, ...]:
    """Return the changes that undo what others did to fields which the set states, on an object that we manage.

    Defaults, autoscalers and injectors are none: the set does not state their fields, so they do not change.
    """
    return (
        tuple(c for c in changes if c.owners and c.before is not None) if own_fields(live) is not None else ()
    )


def scaled_targets(autoscalers: Iterable[Object], namespace: str) -> set[tuple[str, str, str, str]]:
    """Return group, kind, namespace and name of what autoscalers scale."""
    found = set()
    for body in autoscalers:
        target = mapping(body, "spec", "scaleTargetRef")
        space = mapping(body, "metadata").get("namespace") or namespace
        group = str(target.get("apiVersion", "")).rpartition("/")[0]
        found.add((group, str(target.get("kind")), str(space), str(target.get("name"))))
    return found
