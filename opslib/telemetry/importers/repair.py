"""JSON is decoded into types; where its characters are no UTF-8, or half a surrogate pair, they are repaired first."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

MAX_REPAIRED = 64_000_000  # bytes
# A whole surrogate pair and any other escape are passed over; group 1 is half a pair.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
_T = TypeVar("_T")
FAILURES = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def decoded(decoder: msgspec.json.Decoder[_T], text: Any) -> tuple[_T | None, bool]:
    """Return what a text holds, and whether it is what was asked for, its characters repaired or not."""
    try:
        return decoder.decode(text), True
    except FAILURES:
        pass
    try:
        repaired = _repaired(text)
        return (None, False) if repaired is None else (decoder.decode(repaired), True)
    except FAILURES:
        return None, False


def _repaired(text: Any) -> bytes | None:
    """Return a text with U+FFFD for what is no UTF-8 and for half a surrogate pair; None if it has neither, or is huge."""
    if len(memoryview(text)) > MAX_REPAIRED:
        return None
    plain = bytes(text)
    good = plain.decode("utf-8", "replace").encode()
    good = _ESCAPE.sub(lambda found: found[0] if found[1] is None else rb"\ufffd", good)
    return good if good != plain else None
