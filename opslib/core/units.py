"""Times and durations from anywhere become integer nanoseconds, exactly; what cannot is None, never an exception.

Understood: integers, floats and texts of either. A float keeps what it holds: its whole part is not put through a
multiplication that would lose digits. The range is int64 without its last value, so that one can be added to an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

Unit = Literal["ns", "us", "ms", "s"]
NS_PER: dict[Unit, int] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
MIN_NS, MAX_NS = -(1 << 63), (1 << 63) - 2
_LONGEST = 64  # characters of a number as text
_LARGEST = 40  # decimal digits before the point; far more than any time has


def to_ns(value: object, unit: Unit = "ns") -> int | None:
    """Return `value`, counted in `unit`, in nanoseconds; None if it is no finite number or beyond 64 bits."""
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, float):
        value = (
            Decimal(value) if value - value == 0 else None
        )  # NaN and the infinities differ from themselves
    if isinstance(value, Decimal):
        scaled = value * NS_PER[unit] if value.adjusted() < _LARGEST else None
        value = None if scaled is None else int(scaled.to_integral_value())
    elif isinstance(value, int) and not isinstance(value, bool):
        value *= NS_PER[unit]
    else:
        return None
    return value if value is not None and MIN_NS <= value <= MAX_NS else None


def _number(text: str) -> int | Decimal | None:
    if len(text) > _LONGEST or not text.isascii() or "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def to_ns_column(values: Sequence[object], unit: Unit = "ns") -> list[int | None]:
    """Return a column in ns as `to_ns` returns each."""
    quick = _quick(values, NS_PER[unit])
    return [to_ns(value, unit) for value in values] if quick is None else quick


def _quick(values: Sequence[object], factor: int) -> list[int | None] | None:
    """Convert a column that holds only integers, or only texts of digits, in one go."""
    kinds = set(map(type, values))
    several: Any = values
    if kinds == {str}:
        whole = "".join(several)
        if not (
            whole.isascii()
            and whole.isdecimal()
            and min(map(len, several)) > 0
            and max(map(len, several)) < 20
        ):
            return None
        several = list(map(int, several))
    elif kinds != {int}:
        return None
    if min(several) * factor < MIN_NS or max(several) * factor > MAX_NS:
        return None
    return [value * factor for value in several]
