"""The three patches: JSON (RFC 6902), merge (RFC 7386) and Kubernetes' strategic merge. None changes its arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opslib.lab.cluster.decode import as_go_prints
from opslib.lab.cluster.schema import Schema
from opslib.lab.cluster.statuses import StatusError, bad_patch, bad_request

_MOST_OPERATIONS = 10_000
_MOST_COPIED = 3_000_000
"""Bytes that the copy operations of one patch may add: doubling a value forty times is three lines."""
_ORDER, _DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"


def merge_patch(value: Any, patch: Any) -> Any:
    """Return the value with what the patch says; null removes a field, lists are replaced."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), change)
    return merged


def json_patch(value: Any, operations: Any) -> Any:
    """Return the value after all operations, in order.

    Raises:
        StatusError: 400 when it is no list; else 422 and always the same text, as Kubernetes answers.
    """
    if not isinstance(operations, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    if len(operations) > _MOST_OPERATIONS:
        raise bad_patch()
    copied = 0
    try:
        for operation in operations:
            if operation["op"] == "copy":
                copied += len(json.dumps(_at(value, _path(operation["from"]))))
                if copied > _MOST_COPIED:
                    raise bad_patch()
            value = _operated(value, operation)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise bad_patch() from None
    return value


def _operated(value: Any, operation: Mapping[str, Any]) -> Any:
    path, verb = _path(operation["path"]), operation["op"]
    if verb == "add":
        return _put(value, path, operation["value"], adds=True)
    if verb == "replace":
        _at(value, path)
        return _put(value, path, operation["value"], adds=False)
    if verb == "remove":
        return _removed(value, path)
    if verb == "test":
        if _at(value, path) != operation["value"]:
            raise ValueError(path)
        return value
    if verb not in ("move", "copy"):
        raise ValueError(verb)
    source = _path(operation["from"])
    moved = _at(value, source)
    return _put(_removed(value, source) if verb == "move" else value, path, moved, adds=True)


def _path(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(pointer)
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _at(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        value = value[_index(value, part)]
    return value


def _index(value: Any, part: str) -> Any:
    if not isinstance(value, list):
        return part
    if not part.isdecimal():
        raise ValueError(part)
    return int(part)


def _put(value: Any, path: Sequence[str], new: Any, *, adds: bool) -> Any:
    if not path:
        return new
    key, rest = path[0], path[1:]
    if rest:
        return _with(value, key, _put(value[_index(value, key)], rest, new, adds=adds))
    if adds and isinstance(value, list):
        position = len(value) if key == "-" else _index(value, key)
        if position > len(value):
            raise IndexError(position)
        return [*value[:position], new, *value[position:]]
    return _with(value, key, new)


def _with(value: Any, key: str, new: Any) -> Any:
    if isinstance(value, list):
        position = _index(value, key)
        return [*value[:position], new, *value[position + 1 :]]
    return {**value, key: new}


def _removed(value: Any, path: Sequence[str]) -> Any:
    key, rest = path[0], path[1:]
    index = _index(value, key)
    if rest:
        return _with(value, key, _removed(value[index], rest))
    _ = value[index]  # an error where it is not there
    if isinstance(value, list):
        return [*value[:index], *value[index + 1 :]]
    return {name: content for name, content in value.items() if name != key}


def strategic_merge(value: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the object with what the patch says: maps merge, lists merge by their merge key, null removes.

    Raises:
        StatusError: 400, a directive makes no sense; 500, an item lacks its merge key (so answers Kubernetes).
    """
    directive = patch.get("$patch")
    if directive is not None:
        if directive not in ("replace", "delete"):
            raise bad_request(f"unknown patch type: {directive} in {as_go_prints(patch)}")
        return {k: v for k, v in patch.items() if k != "$patch"} if directive == "replace" else {}
    merged = _retained(value, patch)
    orders = {key.removeprefix(_ORDER): order for key, order in patch.items() if key.startswith(_ORDER)}
    for name in orders.keys() - patch.keys():
        if isinstance(merged.get(name), list):
            merged[name] = _ordered(merged[name], merged[name], orders[name], schema.at(name))
    for key, change in patch.items():
        name = key.removeprefix(_DELETE_FROM)
        if key.startswith((_ORDER, "$retainKeys")):
            continue
        if key != name:
            gone = _listed(change)
            merged[name] = [each for each in _listed(merged.get(name, [])) if each not in gone]
        elif change is None:
            merged.pop(name, None)
        elif name in merged or not _directs(change):
            merged[name] = _merged(merged.get(name), change, schema.at(name), orders.get(name))
    return merged


def _retained(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that `$retainKeys` leaves; a patch may only set what it retains."""
    retained = patch.get("$retainKeys")
    if retained is None:
        return dict(value)
    named = [key for key, change in patch.items() if change is not None and not key.startswith("$")]
    if not isinstance(retained, list) or any(key not in retained for key in named):
        raise bad_request("invalid patch format of retainKeys")
    return {key: content for key, content in value.items() if key in retained}


def _merged(old: Any, change: Any, schema: Schema, order: Any) -> Any:
    if isinstance(old, dict) and isinstance(change, dict):
        return strategic_merge(old, change, schema)
    if isinstance(old, list) and isinstance(change, list) and "merge" in schema.strategy:
        return _merged_lists(old, change, schema, order)
    return _clean(change)


def _clean(value: Any) -> Any:
    """Return a value that meets nothing to merge with: no directives and what they stand in, no nulls in maps."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if v is not None and not k.startswith("$")}
        return {key: _clean(content) for key, content in kept.items() if not _directs(content)}
    if isinstance(value, list):
        return [_clean(item) for item in value if not _directs(item)]
    return value


def _directs(value: Any) -> bool:
    return isinstance(value, dict) and "$patch" in value


def _merged_lists(old: list[Any], patch: list[Any], schema: Schema, order: Any) -> list[Any]:
    key = schema.merge_key
    if not key:
        both = list(dict.fromkeys([*old, *map(_scalar, patch)]))
        return _ordered(both, old, patch if order is None else order, schema)
    directives = [item for item in patch if _directs(item)]
    items = [item for item in patch if not _directs(item)]
    if any(item["$patch"] == "replace" for item in directives):
        return _clean(items)  # type: ignore[no-any-return]
    gone = [_key(item, key) for item in directives]
    kept = [item for item in old if _key(item, key) not in gone]
    merged = list(kept)
    places = {_key(item, key): n for n, item in reversed(list(enumerate(kept)))}
    for item in items:
        place = places.get(_key(item, key))
        if place is None:
            merged.append(_clean(item))
        else:
            merged[place] = strategic_merge(merged[place], item, schema.items or schema)
    return _ordered(merged, kept, items if order is None else order, schema)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise bad_request("invalid patch format of primitive list")
    return value


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise bad_request("invalid patch format of primitive list")
    return value


def _key(item: Any, merge_key: str) -> Any:
    """Return what tells the item apart from the others. Raises StatusError 500 where it says nothing."""
    if not isinstance(item, dict) or merge_key not in item or isinstance(item[merge_key], dict | list):
        text = f"map: {as_go_prints(item)} does not contain declared merge key: {merge_key}"
        raise StatusError(500, "", text)
    return item[merge_key]


def _ordered(merged: list[Any], old: list[Any], order: Any, schema: Schema) -> list[Any]:
    """Return the items in the patch's order, those that it does not name where they stood among the others."""

    def name(item: Any) -> Any:
        return _key(item, schema.merge_key) if schema.merge_key else _scalar(item)

    wanted = {name(item): n for n, item in enumerate(_listed(order))}
    stood = {name(item): n for n, item in enumerate(old)}
    right = sorted((m for m in merged if name(m) in wanted), key=lambda item: wanted[name(item)])
    left = [item for item in merged if name(item) not in wanted]
    left.sort(key=lambda item: stood.get(name(item), len(stood)))
    result = []
    while left and right:
        places = stood.get(name(left[0])), stood.get(name(right[0]))
        before = places[0] is not None and places[1] is not None and places[0] < places[1]
        result.append((left if before else right).pop(0))
    return [*result, *left, *right]
