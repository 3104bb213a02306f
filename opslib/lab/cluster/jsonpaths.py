"""The part of JSON path that columns of custom resources use: names, indices, stars and filters by equality."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z0-9_\-]+(?:\\.[A-Za-z0-9_\-]+)*)
      | \[(?P<index>-?\d+)\]
      | \[(?P<star>\*)\]
      | \[['"](?P<quoted>[^'"]+)['"]\]
      | \[\?\(@\.(?P<key>[A-Za-z0-9_.\-]+)\s*==\s*['"](?P<value>[^'"]*)['"]\)\]""",
    re.VERBOSE,
)


def values_at(obj: Any, path: str) -> list[Any]:
    """Return all values that a path names, none where it names nothing or cannot be read."""
    found = [obj]
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return []
        found = [child for value in found for child in _children(value, step)]
        position = step.end()
    return found


def _children(value: Any, step: re.Match[str]) -> list[Any]:
    name = step["name"].replace("\\", "") if step["name"] else step["quoted"]
    if name:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step["star"]:
        return value
    if step["index"]:
        index = int(step["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    return [v for v in value if isinstance(v, dict) and values_at(v, "." + step["key"]) == [step["value"]]]
