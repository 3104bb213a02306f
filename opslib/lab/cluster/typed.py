"""Whether an object that is applied fits its schema: what server-side apply refuses before it looks at owners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opslib.lab.cluster import fieldsets
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.schema import Schema
from opslib.lab.cluster.statuses import StatusError

_NUMBERS = ("int32", "int64", "number")


def require_typed(schema: Schema, applied: Object, resource: Resource) -> None:
    """Raise StatusError 500 with every misfit, in Kubernetes' words: unknown fields, wrong types, duplicate keys."""
    errors = list(_type_errors(schema, applied, ""))
    if errors:
        metadata = applied.get("metadata") if isinstance(applied.get("metadata"), dict) else {}
        named = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}" if metadata else "/"
        found = errors[0] if len(errors) == 1 else "errors:\n" + "\n".join(f"  {error}" for error in errors)
        kind = f"{resource.api_version}, Kind={resource.kind}"
        raise StatusError(500, "", f"failed to create typed patch object ({named}; {kind}): {found}")


_PLAIN: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("string", "bytes", "time"), ((str,), "string")),
    **dict.fromkeys(_NUMBERS, ((int, float), "numeric (int or float)")),
    "boolean": ((bool,), "boolean"),
    "object": ((dict,), "map"),
    "map": ((dict,), "map"),
    "list": ((list,), "list"),
}


def _type_errors(schema: Schema, value: Any, path: str) -> Iterator[str]:
    types, name = _PLAIN.get(schema.type, ((object,), ""))
    if value is None:
        return
    if not isinstance(value, types) or (isinstance(value, bool) and schema.type in _NUMBERS):
        yield f"{path}: expected {name}, got {_go_type(value)}"
        return
    if isinstance(value, dict) and schema.type in ("object", "map"):
        for key, content in value.items():
            if (
                schema.type == "object"
                and key not in schema.fields
                and not schema.items
                and not schema.preserve
            ):
                yield f"{path}.{key}: field not declared in schema"
            else:
                yield from _type_errors(schema.at(key), content, f"{path}.{key}")
    elif isinstance(value, list) and schema.items is not None:
        yield from _list_errors(schema, value, path)


def _list_errors(schema: Schema, value: list[Any], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for n, (element, inner, item) in enumerate(fieldsets.parts(schema, value)):
        if schema.list_type == "map" and not (
            isinstance(item, dict) and any(key in item for key in schema.keys)
        ):
            yield f"{path}: element {n}: associative list with keys has an element that omits all key fields"
            continue
        if schema.list_type != "atomic" and element in seen:
            yield f"{path}: duplicate entries for key {fieldsets.text((element,))}"
        seen.add(element)
        yield from _type_errors(
            inner, item, f"{path}{fieldsets.text((element,))}" if schema.keys else f"{path}[{n}]"
        )


def _go_type(value: Any) -> str:
    """Return what Go calls the type of a JSON value."""
    names = {
        dict: "map[string]interface {}",
        list: "[]interface {}",
        str: "string",
        bool: "bool",
        int: "int64",
    }
    return names.get(type(value), "float64")
