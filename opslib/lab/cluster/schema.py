"""What objects are made of: the fields of each kind, their types, and how lists and maps merge.

Built-in kinds come from `schema.json` (written by scripts/cluster_schema.py from Kubernetes' own OpenAPI documents),
custom kinds from their CRD (`crds.py`); decoding, patches and server-side apply read nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

from opslib.lab.cluster.resources import Resource

ABSENT: Any = object()
"""The default of a field that has none."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)  # types contain themselves
class Schema:
    """One value's type.

    `type`: object (has `fields`), map and list (have `items`), string, int32, int64, number, boolean, bytes, time,
    quantity, int-or-string, object-or-boolean, or any. `name` is what Kubernetes calls an object's type (DeploymentSpec).
    `list_type`: atomic, set, or map (`keys` tell its items apart). `atomic`: a map or object that is one value.
    `merge_key` and `strategy` ("merge", "retainKeys") steer strategic merge patches only.
    `default`: what an absent field is; {} marks structs that are always written out. `rules`: a CRD's constraints.
    """

    type: str
    name: str = ""
    fields: Mapping[str, Schema] = field(default_factory=dict)
    items: Schema | None = None
    required: bool = False
    default: Any = ABSENT
    atomic: bool = False
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    merge_key: str = ""
    strategy: frozenset[str] = frozenset()
    preserve: bool = False
    rules: Mapping[str, Any] = field(default_factory=dict)

    def at(self, name: str) -> Schema:
        """Return the schema of a field or of a map's values; anything goes where nothing is known."""
        return self.fields.get(name) or self.items or ANY


ANY = Schema("any", preserve=True)


def schema_of(resource: Resource) -> Schema:
    """Return the schema of a built-in resource's objects. Raises KeyError for custom ones."""
    return schema_of_kind(resource.api_version, resource.kind)


@cache
def schema_of_kind(api_version: str, kind: str) -> Schema:
    """Return the schema of a built-in kind, also of those that only requests have (Scale, Eviction)."""
    return _types()[_data()["kinds"][f"{api_version}/{kind}"]]


@cache
def _data() -> dict[str, Any]:
    text = (resources.files("opslib.lab.cluster") / "schema.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@cache
def _types() -> dict[str, Schema]:
    """Return all types by name; they may contain themselves, so the fields are filled in afterwards."""
    data = _data()
    fields: dict[str, dict[str, Schema]] = {name: {} for name in data["types"]}
    types = {name: Schema("object", name, fields[name], atomic=name in data["atomic"]) for name in fields}
    for name, lines in data["types"].items():
        fields[name].update({key: _field(line, types) for key, line in lines.items()})
    return types


def _field(line: str, types: Mapping[str, Schema]) -> Schema:
    kind, *words = line.split()
    flags = dict(word.partition("=")[::2] for word in words)
    plain = _type(kind, types)
    return replace(
        plain,
        required="required" in flags,
        default=json.loads(flags["default"]) if "default" in flags else ABSENT,
        atomic=plain.atomic or "atomic" in flags,
        list_type="set" if "set" in flags else "map" if "keys" in flags else "atomic",
        keys=tuple(flags["keys"].split(",")) if "keys" in flags else (),
        merge_key=flags.get("merge", ""),
        strategy=frozenset(flags) & {"merge", "retainKeys"},
    )


def _type(kind: str, types: Mapping[str, Schema]) -> Schema:
    if kind.startswith(("[]", "{}")):
        return Schema("list" if kind[0] == "[" else "map", items=_type(kind[2:], types))
    if kind.endswith("?"):
        return replace(types[kind[:-1]], type="object-or-boolean")
    return types.get(kind) or Schema(kind)
