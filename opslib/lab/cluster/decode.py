"""From what a client sent to an object of its kind, as a typed server reads it.

Unknown fields are dropped and named, wrong types are refused with 400 in the words of Go's decoder, quantities become
canonical, nulls and empty optional lists vanish, and fields that Go always writes (`status: {}`) are there.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opslib.core.errors import QuantityError
from opslib.core.quantity import parse_quantity
from opslib.lab.cluster.causes import invalid
from opslib.lab.cluster.crds import shaped
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.schema import ABSENT, Schema
from opslib.lab.cluster.statuses import StatusError, bad_request

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)", re.ASCII)
_RANGES = {"int32": range(-(2**31), 2**31), "int64": range(-(2**63), 2**63)}
_GO = {"boolean": "bool", "number": "float64", "bytes": "[]uint8", "int-or-string": "int32", "time": "string"}


class _Place:
    """Where the decoder is: the path with list positions, the same as Go tells it, and the struct around."""

    __slots__ = ("go", "path", "struct")

    def __init__(self, path: str = "", go: str = "", struct: str = "") -> None:
        self.path, self.go, self.struct = path, go, struct

    def field(self, name: str, struct: str) -> _Place:
        return _Place(f"{self.path}.{name}".lstrip("."), f"{self.go}.{name}", struct)

    def item(self, position: int) -> _Place:
        return _Place(f"{self.path}[{position}]", self.go, self.struct)

    def key(self, name: str) -> _Place:
        return _Place(f"{self.path}.{name}", self.go, self.struct)

    def wrong(self, value: Any, schema: Schema) -> ValueError:
        found = f"json: cannot unmarshal {_kind(value, schema)} into Go struct field"
        return ValueError(f"{found} {self.struct}{self.go} of type {_go_type(schema)}")


def decode(schema: Schema, resource: Resource, obj: Object, patch: Any = None) -> tuple[Object, list[str]]:
    """Return the object that the kind's fields allow, and the paths of the fields that were dropped.

    Raises:
        StatusError: 400, a value has the wrong type; 422 where a patch made it so (`patch`: see `strict_patch`).
    """
    unknown: list[str] = []
    try:
        if not resource.custom:
            return _object(schema, obj, _Place(), unknown), unknown
        metadata = _value(schema.at("metadata"), obj.get("metadata", {}), _Place("metadata"), unknown)
        rest = {key: value for key, value in obj.items() if key != "metadata"}
        return {**shaped(schema, rest, unknown), "metadata": metadata}, unknown
    except (ValueError, QuantityError) as error:
        if patch is not None:
            raise _bad_patch(patch, str(error)) from None
        raise bad_request(f"{_handled(resource)}: {error}") from None


def strict(resource: Resource, unknown: Iterable[str], duplicates: Iterable[str] = ()) -> StatusError:
    """Return the refusal of a create or update with fieldValidation=Strict."""
    found = ", ".join(warnings(unknown, duplicates))
    return bad_request(f"{_handled(resource)}: strict decoding error: {found}")


def strict_patch(patch: Any, unknown: Iterable[str], duplicates: Iterable[str] = ()) -> StatusError:
    """Return the refusal of a patch with fieldValidation=Strict.

    `patch` is what it shows: a strategic patch itself, of other patches the text of the object that they made.
    """
    return _bad_patch(patch, f"strict decoding error: {', '.join(warnings(unknown, duplicates))}")


def _bad_patch(patch: Any, complaint: str) -> StatusError:
    cause = invalid("patch", as_go_prints(patch), complaint)
    return StatusError(422, "Invalid", f' "" is invalid: patch: {cause.message}', details={}, causes=[cause])


def warnings(unknown: Iterable[str], duplicates: Iterable[str] = ()) -> list[str]:
    """Return what fieldValidation=Warn tells: one text for each field that had no effect."""
    return [f'duplicate field "{path}"' for path in duplicates] + [
        f'unknown field "{path}"' for path in unknown
    ]


def as_go_prints(value: Any) -> str:
    """Return a value as Go prints it with %v: `map[spec:map[replicas:1]]`."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{as_go_prints(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(as_go_prints, value))}]"
    return "<nil>" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _handled(resource: Resource) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'


def _value(schema: Schema, value: Any, place: _Place, unknown: list[str]) -> Any:
    read = _READERS.get(schema.type)
    return read(schema, value, place, unknown) if read else value


def _object(schema: Schema, value: Any, place: _Place, unknown: list[str]) -> Any:
    if not isinstance(value, dict):
        raise place.wrong(value, schema)
    struct, found = schema.name.rpartition(".")[2], {}
    for name, content in value.items():
        field = schema.fields.get(name)
        if field is None:
            unknown.append(place.field(name, struct).path)
            continue
        if content is not None:
            content = _value(field, content, place.field(name, struct), unknown)  # noqa: PLW2901
        if content is not None and not (
            content in ({}, []) and field.type in ("list", "map") and not field.required
        ):
            found[name] = content
    for name, field in schema.fields.items():
        if name not in found and field.default is not ABSENT and not field.default:
            found[name] = _always_written(field)
    return found


def _always_written(schema: Schema) -> Any:
    """Return what Go writes for a field that is no pointer and was never set."""
    if schema.type != "object":
        return schema.default
    fields = schema.fields.items()
    return {n: _always_written(f) for n, f in fields if f.default is not ABSENT and not f.default}


def _map(schema: Schema, value: Any, place: _Place, unknown: list[str]) -> Any:
    if not isinstance(value, dict):
        raise place.wrong(value, schema)
    items = schema.items or schema
    return {key: _item(items, content, place.key(key), unknown) for key, content in value.items()}


def _list(schema: Schema, value: Any, place: _Place, unknown: list[str]) -> Any:
    if not isinstance(value, list):
        raise place.wrong(value, schema)
    items = schema.items or schema
    return [_item(items, content, place.item(n), unknown) for n, content in enumerate(value)]


def _item(schema: Schema, value: Any, place: _Place, unknown: list[str]) -> Any:
    """Read an item of a list or a map; null is its type's zero."""
    if value is None:
        value = {"object": {}, "string": "", "quantity": "0", "map": {}, "list": []}.get(schema.type)
    return _value(schema, value, place, unknown)


def _string(schema: Schema, value: Any, place: _Place, _: list[str]) -> Any:
    if not isinstance(value, str):
        raise place.wrong(value, schema)
    return value


def _boolean(schema: Schema, value: Any, place: _Place, _: list[str]) -> Any:
    if not isinstance(value, bool):
        raise place.wrong(value, schema)
    return value


def _integer(schema: Schema, value: Any, place: _Place, _: list[str]) -> Any:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value not in _RANGES.get(schema.type, _RANGES["int32"])
    ):
        raise place.wrong(value, schema)
    return value


def _number(schema: Schema, value: Any, place: _Place, _: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise place.wrong(value, schema)
    return value


def _int_or_string(schema: Schema, value: Any, place: _Place, unknown: list[str]) -> Any:
    return value if isinstance(value, str) else _integer(schema, value, place, unknown)


def _object_or_boolean(schema: Schema, value: Any, place: _Place, unknown: list[str]) -> Any:
    return value if isinstance(value, bool) else _object(schema, value, place, unknown)


def _quantity(_: Schema, value: Any, _place: _Place, _unknown: list[str]) -> Any:
    return str(parse_quantity("?" if isinstance(value, bool | dict | list) else value))


def _time(schema: Schema, value: Any, place: _Place, _: list[str]) -> Any:
    text = _string(schema, value, place, _)
    if not _TIME.fullmatch(text):
        raise ValueError(
            f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"'
        )
    return text


def _bytes(schema: Schema, value: Any, place: _Place, _: list[str]) -> Any:
    text = _string(schema, value, place, _)
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        good = re.match("[A-Za-z0-9+/]*", text)
        raise ValueError(f"illegal base64 data at input byte {good.end() if good else 0}") from None
    return text


_READERS: dict[str, Callable[[Schema, Any, _Place, list[str]], Any]] = {
    "object": _object,
    "object-or-boolean": _object_or_boolean,
    "map": _map,
    "list": _list,
    "string": _string,
    "boolean": _boolean,
    "int32": _integer,
    "int64": _integer,
    "number": _number,
    "int-or-string": _int_or_string,
    "quantity": _quantity,
    "time": _time,
    "bytes": _bytes,
}


def _kind(value: Any, schema: Schema) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if schema.type in ("int32", "int64", "int-or-string") else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _go_type(schema: Schema) -> str:
    if schema.type in ("list", "map") and schema.items is not None:
        return ("[]" if schema.type == "list" else "map[string]") + _go_type(schema.items)
    return schema.name or _GO.get(schema.type, schema.type)
