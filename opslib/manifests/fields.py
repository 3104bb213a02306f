"""Paths into objects, spelled as the API server spells them: `.spec.containers[name="web"].image`.

A path is a tuple of field names, of keys of list items (pairs), and of indexes. Whether a list is one of keyed items is
the schema's secret; here a list is, where each item has the same one of the keys that Kubernetes uses, none twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from opslib.core.foreign import read_json

Token = str | int | tuple[tuple[str, Any], ...]
Path = tuple[Token, ...]

_KEYS = (
    ("name",),
    ("containerPort", "protocol"),
    ("port", "protocol"),
    ("mountPath",),
    ("type",),
    ("ip",),
    ("uid",),
)
_DEFAULTS = {"protocol": "TCP"}


def path_text(path: Path) -> str:
    """Write a path; the empty one is the object."""
    return "".join(_token_text(token) for token in path)


def _token_text(token: Token) -> str:
    if isinstance(token, tuple):
        return f"[{','.join(f'{key}={json.dumps(value)}' for key, value in token)}]"
    return f"[{token}]" if isinstance(token, int) else f".{token}"


def items_by_key(*lists: list[Any]) -> list[dict[Token, Any]]:
    """Return lists as mappings by the key that fits all of them, by index where none does."""
    for keys in _KEYS:
        keyed = [_keyed(items, keys) for items in lists]
        if all(k is not None for k in keyed):
            return [k for k in keyed if k is not None]
    return [dict(enumerate(items)) for items in lists]


def _keyed(items: list[Any], keys: tuple[str, ...]) -> dict[Token, Any] | None:
    found: dict[Token, Any] = {}
    for item in items:
        if not isinstance(item, dict) or keys[0] not in item:
            return None
        values = [item.get(key, _DEFAULTS.get(key)) for key in keys]
        if any(isinstance(value, dict | list) for value in values):
            return None
        found[tuple(zip(keys, values, strict=True))] = item
    return found if len(found) == len(items) else None


def value_at(body: Any, path: Path) -> Any:
    """Return the value at a path, None where there is none."""
    for token in path:
        if isinstance(token, str):
            body = body.get(token) if isinstance(body, dict) else None
        elif isinstance(body, list):
            body = (
                items_by_key(body)[0].get(token)
                if isinstance(token, tuple)
                else dict(enumerate(body)).get(token)
            )
        else:
            return None
    return body


def path_to_json(path: Path) -> list[Any]:
    return [dict(token) if isinstance(token, tuple) else token for token in path]


def path_from_json(value: list[Any]) -> Path:
    return tuple(tuple(token.items()) if isinstance(token, dict) else token for token in value)


def owned_fields(fields: Any) -> Iterator[str]:
    """Yield the texts of the paths that one entry of managedFields (its `fieldsV1`) owns."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for key, below in node.items() if isinstance(node, dict) else ():
            if key == ".":
                yield prefix
                continue
            text = prefix + _owned_token(key)
            if below:
                yield from walk(below, text)
            else:
                yield text

    return walk(fields, "")


def _owned_token(key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "k":
        try:
            pairs = read_json(rest)
        except ValueError:
            pairs = None
        return _token_text(tuple(pairs.items())) if isinstance(pairs, dict) else f"[{rest}]"
    return {"f": f".{rest}", "v": f"[={rest}]", "i": f"[{rest}]"}.get(kind, f".{key}")


def touches(owned: str, changed: str) -> bool:
    """Tell whether one path is the other, or lies below or above it."""
    short, long = sorted((owned, changed), key=len)
    return long.startswith(short) and (len(long) == len(short) or not short or long[len(short)] in ".[")
