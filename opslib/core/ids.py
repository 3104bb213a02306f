"""Trace and span ids from anywhere become lower-case hex of full width, or None; nothing is ever cut or guessed twice.

Understood: hex in either case, without its leading zeros, 64-bit ids where 128 are usual, the dashes of a UUID,
base64 in both alphabets with and without padding, and raw bytes. A text of 11 or 22 characters can be unpadded base64
or short hex: where all its characters are hex digits, `short_hex` says which of the two its source writes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

TRACE_BYTES = 16
SPAN_BYTES = 8

_HEX = b"0123456789abcdef"
_LONGEST = 64  # characters; no spelling of 16 bytes is longer
_BASE64_LENGTHS = {11: 8, 12: 8, 22: 16, 24: 16}
_UUID_LENGTHS = (8, 4, 4, 4, 12)


def hex_id(value: object, size: int, *, short_hex: bool = False) -> str | None:
    """Return an id of `size` bytes as 2 * size lower-case hex digits; None if it is empty, zero, too long or no id."""
    if isinstance(value, bytes):
        raw: str | None = value.hex()
    elif isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isascii():
        raw = _hex_of(value, short_hex=short_hex)
    else:
        return None
    digits = (raw or "").lstrip("0")
    return digits.zfill(2 * size) if 0 < len(digits) <= 2 * size else None


def _hex_of(text: str, *, short_hex: bool) -> str | None:
    word = text.lower()
    if tuple(map(len, word.split("-"))) == _UUID_LENGTHS:
        word = word.replace("-", "")
    is_hex = not word.encode().translate(None, _HEX)
    if is_hex and (short_hex or len(text) not in (11, 22)):
        return word
    raw_size = _BASE64_LENGTHS.get(len(text))
    if raw_size is None:
        return None
    try:
        padded = (text.rstrip("=") + "==")[: -(-len(text) // 4) * 4]
        raw = base64.b64decode(padded.translate({45: "+", 95: "/"}), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) == raw_size else None


def hex_ids(values: Sequence[object], size: int, *, short_hex: bool = False) -> list[str | None]:
    """Return a column of ids as `hex_id` returns each; ids that are right already are only looked at."""
    width = 2 * size
    if all_hex(values, width) and "0" * width not in values:
        return list(values)  # type: ignore[arg-type]
    return [hex_id(value, size, short_hex=short_hex) for value in values]


def shared_hex_ids(values: Sequence[object], size: int, *, short_hex: bool = False) -> list[str | None]:
    """Return the same for a column of few distinct ids; equal ones become one object."""
    known: dict[object, str | None] = {}
    for value in values:
        if value not in known:
            known[value] = hex_id(value, size, short_hex=short_hex)
    return [known[value] for value in values]


def all_hex(values: Sequence[object], width: int) -> bool:
    """Tell whether all values are texts of `width` lower-case hex digits."""
    try:
        text = "".join(values)  # type: ignore[arg-type]
    except TypeError:
        return False
    alike = len(text) == width * len(values) and set(map(len, values)) <= {width}  # type: ignore[arg-type]
    return alike and text.isascii() and not text.encode().translate(None, _HEX)
