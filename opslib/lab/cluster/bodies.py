"""The text of a request as an object: JSON, bounded, with the keys that it names twice.

What comes out is plain JSON data that every later step may walk: no deeper than 100 levels, no numbers that
JSON cannot say, no halves of surrogate pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from opslib.lab.cluster.statuses import bad_request

_DEEPEST = 100


def parse(body: bytes) -> tuple[Any, list[str]]:
    """Return what a body says, and the paths of keys that stand in it twice (the last one counts).

    Raises:
        StatusError: 400, it cannot be read, or it is nested too deeply.
    """
    text = body.decode("utf-8", "replace")
    twice: dict[int, list[str]] = {}
    try:
        value = _json(text, twice)
    except ValueError as error:
        raise bad_request(f"couldn't read the body; json parse error: {error}") from None
    except RecursionError:
        raise bad_request("the body is nested too deeply") from None
    return value, list(_paths(value, twice))


def _json(text: str, twice: dict[int, list[str]]) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        return _object(found, twice)

    value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant, parse_float=_finite)
    return _storable(value) if "\\ud" in text.lower() else value


def _storable(value: Any) -> Any:
    """Return the value. Raises ValueError for half a surrogate pair and for numbers that JSON cannot say."""
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"number {text[:20]} is out of range")
    return number


def _object(found: list[tuple[str, Any]], twice: dict[int, list[str]]) -> dict[str, Any]:
    value = dict(found)
    if len(value) < len(found):
        keys = [key for key, _ in found]
        twice[id(value)] = sorted(key for key in value if keys.count(key) > 1)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _paths(value: Any, twice: dict[int, list[str]]) -> Iterator[str]:
    """Walk without recursion: this is what bounds the depth."""
    left = [("", value, 0)]
    while left:
        path, here, depth = left.pop()
        if depth > _DEEPEST:
            raise bad_request(f"the body is nested deeper than {_DEEPEST} levels")
        if isinstance(here, dict):
            yield from (f"{path}.{key}".lstrip(".") for key in twice.get(id(here), ()))
            inside = [(f"{path}.{key}" if path else key, each, depth + 1) for key, each in here.items()]
            left += reversed(inside)
        elif isinstance(here, list):
            left += reversed([(f"{path}[{n}]", each, depth + 1) for n, each in enumerate(here)])
