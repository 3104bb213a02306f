"""Which fields an object has, gained, changed or lost: the arithmetic under managedFields and server-side apply.

A field is a path of elements as `fieldsV1` writes them (`f:spec`, `k:{"name":"c"}`, `v:"x"`); a set of fields is a
frozenset of paths, so union, intersection and difference are Python's. The rules of what counts as one field follow
Kubernetes' structured-merge-diff: atomic lists and maps are one, list items go by their keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opslib.lab.cluster.schema import ABSENT, ANY, Schema

Path = tuple[str, ...]
FieldSet = frozenset[Path]
NOTHING: FieldSet = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a new state of an object added, modified and removed; the sets are filled while comparing."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def fields_of(schema: Schema, value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the fields that a value sets, as server-side apply counts them."""
    if is_leaf(schema, value):
        yield path
        return
    for element, inner, item in parts(schema, value):
        yield from fields_of(inner, item, (*path, element))
        if element[0] != "f" or item is None or item == {} or element[2:] not in schema.fields:
            yield (*path, element)


def is_leaf(schema: Schema, value: Any) -> bool:
    """Tell whether a value is one field as a whole."""
    if isinstance(value, dict):
        return schema.atomic
    return not isinstance(value, list) or schema.type != "list" or schema.list_type == "atomic"


def parts(schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:
    """Yield what a map or a list consists of: path element, schema and content of each part."""
    if isinstance(value, Mapping):
        for name, content in value.items():
            yield f"f:{name}", schema.at(name), content
    elif isinstance(value, list):
        items = schema.items or ANY
        for item in value:
            yield _element(schema, items, item), items, item


def _element(schema: Schema, items: Schema, item: Any) -> str:
    if schema.list_type == "set":
        return "v:" + _json(item)
    return "k:" + _json({key: _key(items, key, item) for key in sorted(schema.keys)})


def _key(items: Schema, key: str, item: Any) -> Any:
    """Return the value of an item's key; keys have defaults even where the field is not there."""
    value = item.get(key, ABSENT) if isinstance(item, Mapping) else ABSENT
    if value is ABSENT:
        default = items.at(key).default
        return None if default is ABSENT else default
    return value


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def compare(schema: Schema, old: Any, new: Any) -> Comparison:
    """Return which fields differ between two states of an object."""
    found = Comparison()
    _compare(schema, old, new, (), found)
    return found


def _compare(schema: Schema, old: Any, new: Any, path: Path, found: Comparison) -> None:
    if old is not ABSENT and new is not ABSENT and old == new:
        return
    there = new if old is ABSENT or old is None else old
    empty = all(value in (ABSENT, None, {}, []) for value in (old, new))
    if empty or is_leaf(schema, there) or _differ_in_shape(old, new):
        change = found.added if old is ABSENT else found.removed if new is ABSENT else found.modified
        change.add(path)
        return
    before = {element: (inner, item) for element, inner, item in parts(schema, old)}
    after = {element: (inner, item) for element, inner, item in parts(schema, new)}
    for element, (inner, item) in before.items():
        _compare(inner, item, after.get(element, (inner, ABSENT))[1], (*path, element), found)
    for element, (inner, item) in after.items():
        if element not in before:
            _compare(inner, ABSENT, item, (*path, element), found)
    if old is ABSENT:
        found.added.add(path)
    elif new is ABSENT:
        found.removed.add(path)


def _differ_in_shape(old: Any, new: Any) -> bool:
    """Tell whether one is a map and the other a list, or one has parts and the other none; nothing fits anything."""
    there = [value for value in (old, new) if value is not ABSENT and value is not None]
    shapes = {type(value) if isinstance(value, dict | list) else object for value in there}
    return len(shapes) > 1


def without(schema: Schema, value: Any, gone: Iterable[Path]) -> Any:
    """Return the value less these fields with all inside them; what is emptied by it becomes null."""
    paths = frozenset(gone)
    above = frozenset(path[:length] for path in paths for length in range(len(path)))
    return _without(schema, value, (), paths, above)


def _without(schema: Schema, value: Any, path: Path, gone: FieldSet, above: FieldSet) -> Any:
    if path not in above or is_leaf(schema, value):
        return value
    kept = [
        (element, _without(inner, item, (*path, element), gone, above))
        for element, inner, item in parts(schema, value)
        if (*path, element) not in gone
    ]
    if isinstance(value, dict):
        return {element[2:]: item for element, item in kept} or None
    return [item for _, item in kept] or None


def merge(schema: Schema, old: Any, new: Any) -> Any:
    """Return the old state with everything that the new one says; list items merge by key."""
    if new is ABSENT or old is ABSENT:
        return old if new is ABSENT else new
    there = new if old is None else old
    if is_leaf(schema, there) or (not old and not new) or _differ_in_shape(old, new):
        return new
    if isinstance(there, list):
        return _merged_items(schema, old or [], new or [])
    names = {**(old or {}), **(new or {})}
    return {
        name: merge(schema.at(name), (old or {}).get(name, ABSENT), (new or {}).get(name, ABSENT))
        for name in names
    }


def _merged_items(schema: Schema, old: list[Any], new: list[Any]) -> list[Any]:
    """Merge two lists: the order is the new one's; items of the old one alone stay where they stood among the shared."""
    before = [(element, item) for element, _, item in parts(schema, old)]
    after = [(element, item) for element, _, item in parts(schema, new)]
    was, wanted = dict(before), dict(after)
    items, shared = schema.items or ANY, [element for element, _ in after if element in was]
    merged: list[Any] = []
    left, right = 0, 0
    while left < len(before) or right < len(after):
        if left < len(before):
            element, item = before[left]
            if element not in wanted:
                merged.append(item)
                left += 1
                continue
            if right < len(after) and (element != after[right][0]) and shared and element != shared[0]:
                left += 1
                continue
            if right >= len(after) or element == after[right][0]:
                left += 1
        if right < len(after):
            element, item = after[right]
            merged.append(merge(items, was.get(element, ABSENT), item))
            shared = [each for each in shared if each != element]
            right += 1
    return merged


def with_named_parents(schema: Schema, fields: Iterable[Path]) -> FieldSet:
    """Return the set with every struct field that one of its paths leads through."""
    found = set(fields)
    for path in tuple(found):
        here = schema
        for length, element in enumerate(path[:-1], 1):
            if element[0] == "f":
                if element[2:] in here.fields:
                    found.add(path[:length])
                here = here.at(element[2:])
            else:
                here = here.items or ANY
    return frozenset(found)


def encode(fields: Iterable[Path]) -> dict[str, Any]:
    """Return a set as `fieldsV1`: one tree with sorted keys, `.` for a field that is in the set with others inside."""
    tree: dict[str, Any] = {}
    paths = frozenset(fields)
    above = frozenset(path[:length] for path in paths for length in range(1, len(path)))
    for path in sorted(paths):
        here = tree
        for element in path:
            here = here.setdefault(element, {})
        if path in above:
            here["."] = {}
    return tree


def decode(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of a `fieldsV1`. Raises ValueError for anything else."""
    if not isinstance(tree, dict):
        raise ValueError("fieldsV1 is no tree of fields")  # noqa: TRY004 - a wrong value, for callers alike
    if path and (not tree or "." in tree):
        yield path
    for element, inner in tree.items():
        if element == ".":
            continue
        if element[:2] not in ("f:", "k:", "v:", "i:"):
            raise ValueError(f"{element} is no path element")
        yield from decode(inner, (*path, element))


def text(path: Path) -> str:
    """Return a path as people read it: `.spec.containers[name="c"].image`."""
    return "".join(_readable(element) for element in path)


def _readable(element: str) -> str:
    if element.startswith("f:"):
        return "." + element[2:]
    if element.startswith("k:"):
        keys = json.loads(element[2:])
        return "[" + ",".join(f"{key}={_json(keys[key])}" for key in sorted(keys)) + "]"
    return f"[={element[2:]}]" if element.startswith("v:") else f"[{element[2:]}]"
