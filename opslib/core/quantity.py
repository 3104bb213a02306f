"""Kubernetes quantities (`500m`, `1Gi`, `2e3`): exact integers of nano units, one canonical text for each value.

Parsing, rounding and formatting follow `k8s.io/apimachinery/pkg/api/resource`: values below one nano round away from
zero, binary values are whole and at most 2^63 - 1, and the suffix chosen is the largest that needs no fraction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from opslib.core.errors import QuantityError

Notation = Literal["decimal", "binary", "exponent"]

NANO = 10**9
_SUFFIXES: dict[str, tuple[int, int, Notation]] = {
    **{text: (10, power, "decimal") for text, power in zip("num", (-9, -6, -3), strict=True)},
    "": (10, 0, "decimal"),
    **{text: (10, 3 * (n + 1), "decimal") for n, text in enumerate("kMGTPE")},
    **{text + "i": (2, 10 * (n + 1), "binary") for n, text in enumerate("KMGTPE")},
}
_DECIMAL = {power: text for text, (base, power, _) in _SUFFIXES.items() if base == 10}
_BINARY = {power: text for text, (base, power, _) in _SUFFIXES.items() if base == 2} | {0: ""}
_SPLIT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]{1,3})", re.ASCII)
_LARGEST_BINARY = 2**63 - 1
_LONGEST = 64
"""Characters; nothing that anybody writes is longer, and a longer one would cost time to compute."""


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An exact amount in nano units, and the notation that its canonical text uses; `str()` gives that text.

    `text` is how it was written, where Kubernetes takes that as canonical already.
    """

    nano: int
    notation: Notation = field(default="decimal", compare=False)
    text: str = field(default="", compare=False)

    @property
    def milli(self) -> int:
        """Thousandths, rounded away from zero: the unit of CPU."""
        return _divide_up(self.nano, NANO // 1000)

    @property
    def whole(self) -> int:
        """Units, rounded away from zero: bytes of memory, numbers of things."""
        return _divide_up(self.nano, NANO)

    def __str__(self) -> str:
        if self.text:
            return self.text
        if self.notation == "binary" and abs(self.nano) >= 1024 * NANO and self.nano % NANO == 0:
            return _scaled(self.whole, 1024, 10, _BINARY)
        if self.notation == "exponent":
            return _scaled(self.nano, 1000, 3, {p: f"e{p}" if p else "" for p in range(-9, 400, 3)}, -9)
        return _scaled(self.nano, 1000, 3, _DECIMAL, -9)


def parse_quantity(value: str | float) -> Quantity:
    """Read a quantity as manifests write it, text or JSON number.

    Raises:
        QuantityError: with Kubernetes' own words; also for more than 64 characters.
    """
    text = value if isinstance(value, str) else repr(value)
    match = _SPLIT.fullmatch(text) if 0 < len(text) <= _LONGEST else None
    if match is None:
        raise QuantityError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    whole, fraction = match[2].lstrip("0") or "0", match[3] or ""
    base, power, notation = _suffix(match[4])
    nano = _nano(int(whole + fraction), len(fraction), base, power)
    kept = text if nano and _is_canonical(whole, fraction, base, power) else ""
    if notation == "binary":
        nano = min(nano, _LARGEST_BINARY * NANO)
        if 0 < nano < NANO:
            notation = "decimal"
    return Quantity(-nano if match[1] == "-" else nano, notation, kept)


def _is_canonical(whole: str, fraction: str, base: int, power: int) -> bool:
    """Tell whether Kubernetes keeps the text: few digits, a scale that has a suffix, nothing more to take out."""
    digits = whole + fraction
    if base == 2:
        return not fraction and len(digits) + power * 3 // 10 <= 14 and int(digits) % 8 != 0
    scale = power - len(fraction)
    return len(digits) <= 18 and scale >= -9 and scale % 3 == 0 and digits[0] != "0" and digits[-3:] != "000"


def _suffix(text: str) -> tuple[int, int, Notation]:
    if text in _SUFFIXES:
        return _SUFFIXES[text]
    exponent = _EXPONENT.fullmatch(text)
    if exponent is None:
        raise QuantityError("unable to parse quantity's suffix")
    return 10, int(exponent[1]), "exponent"


def _nano(digits: int, places: int, base: int, power: int) -> int:
    up, down = (base**power, 1) if power >= 0 else (1, base**-power)
    return _divide_up(digits * NANO * up, down * 10**places)


def _divide_up(amount: int, by: int) -> int:
    return -(-amount // by) if amount >= 0 else amount // by


def _scaled(amount: int, factor: int, step: int, suffixes: dict[int, str], power: int = 0) -> str:
    """Take `factor` out of the amount while it divides and a suffix for the higher power exists."""
    if amount == 0:
        return "0"
    while amount % factor == 0 and power + step in suffixes:
        amount, power = amount // factor, power + step
    return f"{amount}{suffixes[power]}"
