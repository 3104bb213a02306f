"""Who owns which field of an object, read from its managedFields: ours, others', an autoscaler's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from opslib.core.plan import canonical
from opslib.kube import Object
from opslib.manifests.diff import FieldChange
from opslib.manifests.fields import owned_fields, part_of, path_text, touches
from opslib.manifests.pods import mapping, mappings

MANAGER = "opslib"
HANDOVER = "opslib-handover"
"""Holds `spec.replicas` for the moment between our letting go of it and the autoscaler's first write."""


def own_fields(body: Object, *, version: str = "") -> Any:
    """Return what of an object our manager has applied (`fieldsV1`; of this API version alone), None for nothing."""
    for entry in mappings(mapping(body, "metadata"), "managedFields"):
        if (
            entry.get("manager") == MANAGER
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            return None if version and entry.get("apiVersion") != version else entry.get("fieldsV1")
    return None


def is_applied(body: Object, live: Object) -> bool:
    """Tell whether applying a body changes nothing for certain: what we own is what it states, to the byte.

    False where only the server can tell, as when it wrote a value in another form.
    """
    fields = own_fields(live, version=body["apiVersion"])
    metadata = {key: value for key, value in body["metadata"].items() if key not in {"name", "namespace"}}
    stated = {key: value for key, value in body.items() if key not in {"apiVersion", "kind", "metadata"}}
    stated |= {"metadata": metadata} if metadata else {}
    return isinstance(fields, dict) and _is_stated(live, stated, fields)


def _is_stated(value: Any, stated: Any, fields: Mapping[str, Any]) -> bool:
    parts = {key: below for key, below in fields.items() if key != "."}
    if not parts:
        return canonical(value) == canonical(stated)
    if isinstance(value, dict) and isinstance(stated, dict):
        return parts.keys() == {f"f:{key}" for key in stated} and all(
            key in value and _is_stated(value[key], below, parts[f"f:{key}"]) for key, below in stated.items()
        )
    if isinstance(value, list) and isinstance(stated, list):
        own = [(item, part[0]) for item in value if (part := part_of(item, parts)) is not None]
        return len(own) == len(parts) == len(stated) and all(
            _is_stated(item, wanted, below) for (item, below), wanted in zip(own, stated, strict=True)
        )
    return False


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
