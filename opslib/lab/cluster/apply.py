"""Who manages which field: managedFields after every write, and server-side apply with its conflicts.

Managers that apply own exactly what they applied; managers that update own what they changed. A field that a write
changes is taken from all others; what an applier no longer names and nobody else owns is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opslib.lab.cluster import fieldsets
from opslib.lab.cluster.fieldsets import NOTHING, Comparison, FieldSet, Path
from opslib.lab.cluster.metadata import with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.schema import ABSENT, Schema
from opslib.lab.cluster.statuses import Cause, StatusError
from opslib.lab.cluster.typed import require_typed

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OWN = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "resourceVersion",
)
_NEVER: FieldSet = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in _OWN)]
)
_IGNORED: dict[str, tuple[Path, ...]] = {
    "": (("f:status",),),
    "status": (("f:spec",), ("f:metadata", "f:labels")),
}


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry of managedFields; `time` is RFC 3339, "" where the entry has none."""

    manager: str
    operation: str
    subresource: str
    api_version: str
    time: str
    fields: FieldSet

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.manager, self.operation, self.subresource

    def less(self, fields: Iterable[Path]) -> Owner:
        return replace(self, fields=self.fields.difference(fields))

    @property
    def stamp(self) -> str:
        """Return the time as it is written: none beside the scale, whose handler in Kubernetes keeps none."""
        return "" if self.subresource == "scale" else self.time

    def to_dict(self) -> Object:
        """Return the entry as objects bear it."""
        return {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            **({"time": self.stamp} if self.stamp else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": fieldsets.encode(self.fields),
            **({"subresource": self.subresource} if self.subresource else {}),
        }


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes what: the manager, the resource, the subresource ("" for the object), the time as RFC 3339."""

    manager: str
    resource: Resource
    now: str
    subresource: str = ""

    def owner(self, operation: str, fields: FieldSet) -> Owner:
        return Owner(self.manager, operation, self.subresource, self.resource.api_version, self.now, fields)


def track_update(schema: Schema, old: Object | None, new: Object, writer: Writer) -> list[Object]:
    """Return the managedFields after a create (`old` None) or an update; `new` bears those before it.

    An object whose managedFields were cleared has none until somebody applies.
    """
    owners = _owners(new, old)
    if old is not None and not owners:
        return []
    changes = _changes(schema, _empty(schema) if old is None else old, new)
    owned = frozenset(changes.added | changes.modified) - _NEVER
    kept = [owner.less(changes.added | changes.modified | changes.removed) for owner in owners]
    if owned:
        mine = writer.owner("Update", owned)
        same = [owner.fields for owner in kept if owner.identity == mine.identity]
        kept = [owner for owner in kept if owner.identity != mine.identity]
        kept.append(replace(mine, fields=owned.union(*same)))
    return _entries(kept)


def server_side_apply(
    schema: Schema, live: Object | None, applied: Object, writer: Writer, *, force: bool
) -> Object:
    """Return the object after an apply, not yet decoded, defaulted and validated; then see `unchanged`.

    Raises:
        StatusError: 500 when the applied object does not fit the schema, 409 with causes on conflicts without force.
    """
    require_typed(schema, applied, writer.resource)
    ignored = _IGNORED.get(writer.subresource, ())
    mine = writer.owner("Apply", _outside(fieldsets.fields_of(schema, applied), ignored))
    owners = [] if live is None else _owners(live) or _first_owners(schema, live, writer)
    last = next((owner for owner in owners if owner.identity == mine.identity), None)
    others = [owner for owner in owners if owner is not last]
    before = {} if live is None else _bare(live)
    merged = fieldsets.merge(schema, before, applied)
    if last is not None:
        merged = _pruned(schema, merged, last.fields, [mine, *others])
    changes = fieldsets.compare(schema, before, merged)
    gained = _outside(changes.added | changes.modified, ignored)
    if not force:
        _refuse_conflicts([(owner, owner.fields & gained) for owner in others if owner.fields & gained])
    merged = _with_last_applied(merged, applied, writer.manager)
    if live is not None and merged == before:
        mine = replace(mine, time=last.time if last else "")
    lost = gained | _outside(changes.removed, ignored)
    entries = _entries([mine.less(_NEVER), *(owner.less(lost) for owner in others)])
    return with_metadata(merged, managedFields=entries or None)


def _first_owners(schema: Schema, live: Object, writer: Writer) -> list[Owner]:
    """Return who manages an object whose managedFields were cleared."""
    changes = _changes(schema, _empty(schema), live)
    fields = frozenset(changes.added | changes.modified) - _NEVER
    return [replace(writer, manager="before-first-apply", subresource="").owner("Update", fields)]


def unchanged(live: Object, new: Object) -> bool:
    """Tell whether an apply led to what is there already; times of managers alone are no change."""
    return _timeless(live) == _timeless(new)


def _timeless(obj: Object) -> Object:
    entries = obj["metadata"].get("managedFields") or ()
    return with_metadata(obj, managedFields=[{k: v for k, v in e.items() if k != "time"} for e in entries])


def _pruned(schema: Schema, merged: Object, last: FieldSet, owners: Sequence[Owner]) -> Any:
    """Take out what this manager applied the last time and that nobody, it included, owns any more."""
    all_fields = fieldsets.with_named_parents(schema, fieldsets.fields_of(schema, merged))
    mine = fieldsets.with_named_parents(schema, last)
    owned = fieldsets.with_named_parents(schema, NOTHING.union(*(owner.fields for owner in owners)))
    left = _fields_with_parents(schema, fieldsets.without(schema, merged, mine))
    left = _fields_with_parents(schema, fieldsets.without(schema, merged, all_fields - (left | owned)))
    return fieldsets.without(schema, merged, (all_fields - left) & mine)


def _fields_with_parents(schema: Schema, value: Any) -> FieldSet:
    return fieldsets.with_named_parents(schema, fieldsets.fields_of(schema, value))


def _refuse_conflicts(conflicts: Sequence[tuple[Owner, FieldSet]]) -> None:
    if not conflicts:
        return
    named = sorted(
        (_named(owner), [fieldsets.text(path) for path in sorted(paths, key=_reading_order)])
        for owner, paths in conflicts
    )
    causes = [
        Cause("FieldManagerConflict", f"conflict with {who}", path) for who, paths in named for path in paths
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        lists = [
            f"conflicts with {who}:\n" + "\n".join(f"- {path}" for path in paths) for who, paths in named
        ]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lists)
    raise StatusError(409, "Conflict", message, details={}, causes=causes)


def _named(owner: Owner) -> str:
    name = json.dumps(owner.manager, ensure_ascii=False)
    if owner.subresource:
        name += f' with subresource "{owner.subresource}"'
    return f"{name} using {owner.api_version}" if owner.operation == "Update" else name


def _reading_order(path: Path) -> tuple[Any, ...]:
    """Sort the fields of a level before what lies inside its siblings, as conflicts are listed."""
    return tuple((length < len(path), element) for length, element in enumerate(path, 1))


def _with_last_applied(merged: Object, applied: Object, manager: str) -> Object:
    """Keep kubectl's note of its last client-side apply in step, for users who go back to it."""
    annotations = (merged.get("metadata") or {}).get("annotations") or {}
    if manager != "kubectl" or not annotations.get(LAST_APPLIED):
        return merged
    own = (applied.get("metadata") or {}).get("annotations") or {}
    noted = with_metadata(applied, annotations={k: v for k, v in own.items() if k != LAST_APPLIED} or None)
    note = json.dumps(noted, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    return with_metadata(merged, annotations={**annotations, LAST_APPLIED: note})


def _empty(schema: Schema) -> Any:
    """Return an object of the kind before anybody wrote anything: what the typed server holds then."""
    fields = {}
    for name, inner in schema.fields.items():
        if inner.default is not ABSENT and not inner.default:
            fields[name] = _empty(inner) if inner.type == "object" else inner.default
        elif inner.required:
            fields[name] = None
    return fields


def _changes(schema: Schema, old: Object, new: Object) -> Comparison:
    return fieldsets.compare(schema, _bare(old), _bare(new))


def _bare(obj: Object) -> Object:
    metadata = obj.get("metadata")
    return with_metadata(obj, managedFields=None) if isinstance(metadata, dict) else obj


def _outside(fields: Iterable[Path], ignored: Sequence[Path]) -> FieldSet:
    return frozenset(path for path in fields if not any(path[: len(each)] == each for each in ignored))


def _owners(obj: Object, fallback: Object | None = None) -> list[Owner]:
    """Return who manages the object; where its managedFields make no sense, who managed the fallback."""
    try:
        owners = [_owner(entry) for entry in obj["metadata"].get("managedFields") or ()]
        return [owner for owner in owners if owner.fields]
    except ValueError:
        return _owners(fallback) if fallback is not None else []


def _owner(entry: Object) -> Owner:
    return Owner(
        manager=entry.get("manager", ""),
        operation=entry.get("operation", ""),
        subresource=entry.get("subresource", ""),
        api_version=entry.get("apiVersion", ""),
        time=entry.get("time", ""),
        fields=frozenset(fieldsets.decode(entry.get("fieldsV1", {}))),
    )


def _entries(owners: Iterable[Owner]) -> list[Object]:
    """Return the entries, appliers first, then by time; who owns nothing has none."""
    named = [owner for owner in owners if owner.fields]
    return [
        o.to_dict() for o in sorted(named, key=lambda o: (o.operation, o.stamp, o.manager, o.subresource))
    ]
