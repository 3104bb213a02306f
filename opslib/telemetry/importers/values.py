"""Attribute values as plain values, and attributes as JSON text. Deeper than MAX_DEPTH a value reads as null."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from opslib.core.columns import MAX_JSON, MAX_TEXT
from opslib.core.redact import Redactor, may_hold_secret

MAX_DEPTH = 32
LONG_TEXT = f"text longer than {MAX_TEXT:,} characters: shortened"
LONG_JSON = f"attributes longer than {MAX_JSON:,} characters: left out"

_REDACTOR = Redactor()
_ENCODER = msgspec.json.Encoder()


def plain(value: Any, depth: int = 0) -> Any:
    """Return an AnyValue, of JSON or of protobuf, as a value that JSON can hold; bytes become base64."""
    if value is None or depth > MAX_DEPTH:
        return None
    which = getattr(value, "WhichOneof", None)
    if which is not None:
        kind = which("value")
        return None if kind is None else _plain_of(kind, getattr(value, kind), depth)
    if value.string_value is not None:
        return value.string_value
    for kind in ("int_value", "bool_value", "double_value", "array_value", "kvlist_value", "bytes_value"):
        found = getattr(value, kind)
        if found is not None:
            return _plain_of(kind, found, depth)
    return None


def _plain_of(kind: str, value: Any, depth: int) -> Any:
    if kind == "array_value":
        return [plain(item, depth + 1) for item in value.values or ()]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value, depth + 1) for pair in value.values or ()}
    if kind == "bytes_value" and isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if kind == "int_value" and isinstance(value, str):
        return _integer(value)
    return value


def _integer(text: str) -> int | str:
    try:
        return int(text) if len(text) <= 20 else text
    except ValueError:
        return text


def plain_dict(pairs: Iterable[Any] | None) -> dict[str, Any]:
    """Return key-value pairs as a dict; of equal keys the last counts."""
    return {pair.key: plain(pair.value) for pair in pairs or ()}


def json_texts(values: Sequence[Any], refused: Counter[str]) -> list[str | None]:
    """Return each value as JSON text, secrets masked; null for what is empty, None, or longer than MAX_JSON."""
    try:
        lines: list[Any] = _ENCODER.encode_lines(values).decode().split("\n")[:-1]
    except (OverflowError, ValueError, TypeError, RecursionError):
        lines = [json_text(value) for value in values]
    if may_hold_secret("\n".join(lines)):
        lines = [
            json_text(_REDACTOR.data(value)) if may_hold_secret(line) else line
            for value, line in zip(values, lines, strict=True)
        ]
    if max(map(len, lines), default=0) > MAX_JSON:
        long = [len(line) > MAX_JSON for line in lines]
        refused[LONG_JSON] += sum(long)
        lines = [None if too_long else line for line, too_long in zip(lines, long, strict=True)]
    return [line if value else None for value, line in zip(values, lines, strict=True)]


def json_text(value: Any) -> str:
    """Write one value; integers beyond 64 bits are beyond the quick encoder, not beyond JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return "null"


def bounded(texts: list[str], refused: Counter[str]) -> list[str]:
    """Return texts, those of more than MAX_TEXT characters shortened, secrets in them masked."""
    if may_hold_secret("\n".join(set(texts))):
        texts = [_REDACTOR.text(text) for text in texts]
    if max(map(len, texts), default=0) <= MAX_TEXT:
        return texts
    refused[LONG_TEXT] += sum(len(text) > MAX_TEXT for text in texts)
    return [text[:MAX_TEXT] for text in texts]
