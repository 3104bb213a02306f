"""JSON from outside, read so that whatever it holds can be written again: bounded depth, no half characters."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; half a surrogate pair in it reads as `?`. Raises ValueError for what is none."""
    try:
        value = json.loads(text)
        escaped = (b"\\u" if isinstance(text, bytes) else "\\u") in text  # type: ignore[operator]
        return json.loads(_whole(value)) if escaped else value
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def json_object(text: object) -> dict[str, Any]:
    """Return the object that a JSON text holds; of anything else an empty one."""
    if not isinstance(text, str):
        return {}
    try:
        value = read_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _whole(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
