"""Numbers and foreign text as people read them. Full precision stays in the JSON."""

from __future__ import annotations


def printable(text: str, limit: int = 200) -> str:
    """Return foreign text safe for a terminal and a report: no control or bidi characters, bounded length.

    White space becomes a space and every other character that Unicode calls unprintable becomes U+FFFD, so nothing can
    move the cursor, reverse the reading order or end a line; longer text is shortened in its middle.
    """
    head = text if len(text) <= 4 * limit else text[: 2 * limit] + text[-2 * limit :]
    clean = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in head)
    if len(text) <= limit:
        return clean
    keep = (limit - 1) // 2
    return f"{clean[:keep]}…{clean[-keep:]}"


def figures(value: float, digits: int = 3) -> str:
    """Write a number with at most `digits` significant digits, thousands separated, no exponent."""
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN differs from itself
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - _exponent(rounded)) if rounded else 0
    return f"{rounded:,.{min(decimals, 6)}f}".rstrip("0").rstrip(".") if decimals else f"{rounded:,.0f}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def duration(ns: float) -> str:
    """Write nanoseconds as `2 ns`, `0.26 ms`, `512 ms`, `1.4 s` or `3 min 20 s`; the sign is kept."""
    sign, size = ("-" if ns < 0 else ""), abs(ns)
    if 0 < size < 1e3:
        return f"{sign}{figures(size)} ns"
    if size < 1e9:
        return f"{sign}{figures(size / 1e6)} ms"
    if size < 60e9:
        return f"{sign}{figures(size / 1e9)} s"
    minutes, seconds = divmod(round(size / 1e9), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours} h {minutes} min"
    return f"{sign}{minutes} min {seconds} s" if seconds else f"{sign}{minutes} min"


def share(part: int, whole: int) -> str:
    """Write `2.1 % (17 of 812)`; of nothing it says so."""
    if not whole:
        return "no calls"
    return f"{figures(100 * part / whole, 2)} % ({part:,} of {whole:,})"


def quantity(value: float, unit: str) -> str:
    """Write a value of evidence with its unit; times are brought to a readable unit first."""
    per_unit_ns = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}.get(unit)
    if per_unit_ns is not None:
        return duration(value * per_unit_ns)
    # UCUM writes what has no dimension as 1, and what is counted in braces
    return f"{figures(value)} {'' if unit == '1' else unit.strip('{}')}".strip()


def for_whom(attribute: str, value: str, share_slow: float, share_normal: float) -> str:
    """Write which calls are slow: `tenant acme: 97 % of the slow calls, 12 % of the others`."""
    slow, normal = (figures(100 * part, 2) for part in (share_slow, share_normal))
    who = f"{printable(attribute, 60)} {printable(value, 80)}"
    return f"{who}: {slow} % of the slow or failing calls, {normal} % of the others"
