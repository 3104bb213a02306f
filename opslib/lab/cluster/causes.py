"""Why a field is refused: the causes of an invalid object, in the words of Kubernetes' field errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from opslib.lab.cluster.statuses import Cause


def shown(value: Any) -> str:
    """Return a value as Kubernetes shows it: text quoted, numbers bare, the rest compact JSON with sorted keys."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", _with("Required value", detail), path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", _with(f"Invalid value: {shown(value)}", detail), path)


def duplicate(path: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", path)


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", _with("Forbidden", detail), path)


def unsupported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    values = ", ".join(shown(each) for each in supported)
    return Cause(
        "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {values}", path
    )


def not_found(path: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {shown(value)}", path)


def too_long(path: str, length: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {length} bytes", path)


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def not_one_of(path: str, value: Any, supported: Sequence[str]) -> Iterator[Cause]:
    """Yield a cause where the value is none of those supported; nothing is said of one that is missing."""
    if value and value not in supported:
        yield unsupported(path, value, supported)


def complaining(path: str, value: Any, complaints: Iterable[str]) -> Iterator[Cause]:
    return (invalid(path, value, complaint) for complaint in complaints)


def unchanged(path: str, old: Any, new: Any) -> Iterator[Cause]:
    """Yield a cause where a field that must stay is another one."""
    if old != new:
        yield invalid(path, new, "field is immutable")
