"""Custom kinds: what a CustomResourceDefinition says a resource is, and what its structural schemas allow.

Objects are pruned to the schema, completed by its defaults, then checked against its constraints. Rules in CEL and
constraints inside `oneOf`, `anyOf` and `not` are not checked.
"""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from opslib.lab.cluster import causes
from opslib.lab.cluster.fieldsets import parts
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Column, Resource
from opslib.lab.cluster.schema import ABSENT, ANY, Schema, schema_of_kind
from opslib.lab.cluster.statuses import Cause

_TYPES = {"integer": "int64", "array": "list"}
_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_LONGEST_MATCHED = 4096  # characters that a pattern is tried on: Python's search may take exponential time


def resource_and_schema(definition: Object) -> tuple[Resource, dict[str, Schema]]:
    """Return the resource that a valid definition makes, and the schema of each of its versions."""
    spec = definition["spec"]
    names, versions = spec["names"], {version["name"]: version for version in spec["versions"]}
    stored = next(version for version in versions.values() if version.get("storage"))
    served = sorted((name for name, version in versions.items() if version.get("served")), key=_priority)
    resource = Resource(
        group=spec["group"],
        version=stored["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        subresources=("status",) if "status" in (stored.get("subresources") or {}) else (),
        generation=True,
        served=tuple(served),
        custom=True,
        columns=tuple(_column(column) for column in stored.get("additionalPrinterColumns", ())),
    )
    return resource, {name: _root(version) for name, version in versions.items()}


def _priority(version: str) -> tuple[int, int, int]:
    """Sort key of versions: v2 before v1 before v1beta1 before v1alpha1, others last."""
    match = re.fullmatch(r"v(\d{1,9})(?:(alpha|beta)(\d{1,9}))?", version)
    if match is None:
        return 3, 0, 0
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return stage, -int(match[1]), -int(match[3] or 0)


def _column(column: Mapping[str, Any]) -> Column:
    return Column(
        column["name"],
        column["jsonPath"],
        column.get("type", "string"),
        column.get("format", ""),
        column.get("priority", 0),
        column.get("description", ""),
    )


def _root(version: Mapping[str, Any]) -> Schema:
    node = (version.get("schema") or {}).get("openAPIV3Schema") or {
        "x-kubernetes-preserve-unknown-fields": True
    }
    schema = _schema({"type": "object", **node})
    own = schema_of_kind("v1", "ConfigMap").fields
    fields = {**schema.fields, **{name: own[name] for name in ("apiVersion", "kind", "metadata")}}
    return Schema("object", fields=fields, preserve=schema.preserve, rules=schema.rules)


def _schema(node: Mapping[str, Any], *, required: bool = False) -> Schema:
    """Return the schema of one node of `openAPIV3Schema`."""
    kind = "int-or-string" if node.get("x-kubernetes-int-or-string") else node.get("type", "any")
    inner = node.get("items") or node.get("additionalProperties")
    needed = node.get("required", ())
    fields = {n: _schema(each, required=n in needed) for n, each in (node.get("properties") or {}).items()}
    keys = tuple(node.get("x-kubernetes-list-map-keys", ()))
    return Schema(
        "map" if kind == "object" and inner and not fields else _TYPES.get(kind, kind),
        fields=fields,
        items=_schema(inner) if isinstance(inner, dict) else ANY if inner else None,
        required=required,
        default=node.get("default", ABSENT),
        atomic=node.get("x-kubernetes-map-type") == "atomic",
        list_type=node.get("x-kubernetes-list-type", "atomic"),
        keys=keys,
        preserve=bool(node.get("x-kubernetes-preserve-unknown-fields")) or kind == "any",
        rules=node,
    )


def shaped(schema: Schema, value: Any, unknown: list[str], path: str = "") -> Any:
    """Return the value pruned to the schema and completed by its defaults; what is dropped is named in `unknown`."""
    if isinstance(value, list) and schema.type == "list":
        return [shaped(schema.items or ANY, item, unknown, f"{path}[{n}]") for n, item in enumerate(value)]
    if not isinstance(value, dict) or schema.type not in ("object", "map"):
        return value
    found = {}
    for name, content in value.items():
        field = schema.fields.get(name) or schema.items or (ANY if schema.preserve else None)
        here = f"{path}.{name}".lstrip(".")
        if field is None:
            unknown.append(here)
        elif content is not None or field.default is ABSENT or field.rules.get("nullable"):
            found[name] = shaped(field, content, unknown, here)
    for name, field in schema.fields.items():
        if name not in found and field.default is not ABSENT and field.rules:
            found[name] = shaped(field, field.default, [])
    return found


def schema_causes(schema: Schema, value: Any, path: str = "") -> Iterator[Cause]:
    """Yield what breaks the schema's constraints; an object's metadata has rules of its own."""
    if value is None and schema.rules.get("nullable"):
        return
    wrong = _wrong_type(schema, value)
    if wrong:
        text = f'{path} in body must be of type {wrong}: "{_type_name(value)}"'
        yield Cause("FieldValueTypeInvalid", f'Invalid value: "{_type_name(value)}": {text}', path)
        return
    yield from _constraint_causes(schema.rules, value, path)
    if isinstance(value, dict):
        for name in schema.rules.get("required", ()):
            if name not in value:
                yield causes.required(f"{path}.{name}".lstrip("."))
        for name, content in value.items():
            if path or name not in ("metadata", "apiVersion", "kind"):
                yield from schema_causes(schema.at(name), content, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from schema_causes(schema.items or ANY, item, f"{path}[{n}]")
        yield from _duplicate_causes(schema, value, path)


def _type_name(value: Any) -> str:
    return "null" if value is None else _NAMES[type(value)]


def _wrong_type(schema: Schema, value: Any) -> str:
    """Return the type that the value should have, "" where it has it."""
    wanted = str(schema.rules.get("type", ""))
    if schema.type == "int-or-string":
        return "" if _type_name(value) in ("integer", "string") else "integer,string"
    found = _type_name(value)
    same = found == wanted or (wanted == "number" and found == "integer")
    return (
        ""
        if not wanted or same or (wanted == "integer" and found == "number" and value == int(value))
        else wanted
    )


_Holds = Callable[[Any, Any], bool]
_RANGE: Mapping[str, tuple[str, str, _Holds]] = {
    "minimum": ("greater", "exclusiveMinimum", operator.gt),
    "maximum": ("less", "exclusiveMaximum", operator.lt),
}
_SIZES = {list: "Items", dict: "Properties"}


def _constraint_causes(rules: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, str):
        yield from islice(_text_causes(rules, value, path), 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_causes(rules, value, path)
    elif isinstance(value, dict | list):
        kind = _SIZES[type(value)]
        low, high, size = rules.get(f"min{kind}", 0), rules.get(f"max{kind}", len(value)), len(value)
        if size > high:
            text = f"Too many: {size}: must have at most {high} {kind.lower()}"
            yield Cause("FieldValueTooMany", text, path)
        if size < low:
            yield causes.invalid(path, size, f"{path} in body should have at least {low} {kind.lower()}")
    if "enum" in rules and value not in rules["enum"]:
        supported = [each if isinstance(each, str) else causes.shown(each) for each in rules["enum"]]
        yield causes.unsupported(path, value, supported)


def _number_causes(rules: Mapping[str, Any], value: float, path: str) -> Iterator[Cause]:
    step = rules.get("multipleOf")
    if step and value % step:
        yield causes.invalid(path, value, f"{path} in body should be a multiple of {_number(step)}")
    for rule, (words, exclusive, inside) in _RANGE.items():
        strict = bool(rules.get(exclusive))
        bound = rules.get(rule)
        if bound is not None and not inside(value, bound) and (strict or value != bound):
            equal = "" if strict else " or equal to"
            yield causes.invalid(
                path, value, f"{path} in body should be {words} than{equal} {_number(bound)}"
            )


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _text_causes(rules: Mapping[str, Any], value: str, path: str) -> Iterator[Cause]:
    if len(value) > rules.get("maxLength", len(value)):
        yield causes.too_long(path, rules["maxLength"])
    if len(value) < rules.get("minLength", 0):
        yield causes.invalid(
            path, value, f"{path} in body should be at least {rules['minLength']} chars long"
        )
    pattern = _compiled(rules.get("pattern", ""))
    if pattern is not None and len(value) <= _LONGEST_MATCHED and pattern.search(value) is None:
        yield causes.invalid(path, value, f"{path} in body should match '{rules['pattern']}'")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return a pattern, None for those of Go's that Python does not read alike: they are not checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            return re.compile(pattern)
        except (re.error, FutureWarning):
            return None


def _duplicate_causes(schema: Schema, value: list[Any], path: str) -> Iterator[Cause]:
    if schema.list_type == "atomic" or any(schema.keys and not isinstance(item, dict) for item in value):
        return
    seen = set()
    for n, (element, _, item) in enumerate(parts(schema, value)):
        if element in seen:
            shown = {key: item.get(key) for key in schema.keys} if schema.keys else item
            yield causes.duplicate(f"{path}[{n}]", shown)
        seen.add(element)


def definition_causes(definition: Object) -> Iterator[Cause]:
    """Yield what is wrong with a definition itself."""
    spec = definition.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    name = definition["metadata"].get("name", "")
    if name != f"{names.get('plural', '')}.{spec.get('group', '')}":
        yield causes.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if not spec.get("group"):
        yield causes.required("spec.group")
    yield from (causes.required(f"spec.names.{key}") for key in ("plural", "kind") if not names.get(key))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield causes.unsupported("spec.scope", spec.get("scope", ""), ["Cluster", "Namespaced"])
    if sum(bool(version.get("storage")) for version in versions) != 1:
        shown = [version.get("name", "") for version in versions]
        yield causes.invalid(
            "spec.versions", shown, "must have exactly one version marked as storage version"
        )
    for n, version in enumerate(versions):
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        if root is None:
            yield causes.required(f"spec.versions[{n}].schema.openAPIV3Schema")
        else:
            place = f"versions[{n}].schema" if len(versions) > 1 else "validation"
            yield from _structural_causes(root, f"spec.{place}.openAPIV3Schema")


def _structural_causes(node: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Yield where a schema does not say what type a field has: such a schema is not structural."""
    free = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    if not node.get("type") and not free:
        yield causes.required(f"{path}.type", "must not be empty for specified object fields")
    if node.get("type") == "array" and not node.get("items"):
        yield causes.required(f"{path}.items", "must be specified")
    for name, inner in (node.get("properties") or {}).items():
        yield from _structural_causes(inner, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from _structural_causes(node[name], f"{path}.{name}")
