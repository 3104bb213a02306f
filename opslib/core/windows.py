"""Time windows: half-open [start, end) in unix nanoseconds, and the words that people write for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opslib.core.errors import WindowError
from opslib.core.words import printable

NS_PER_S = 1_000_000_000
# The widths in seconds that a time axis is cut into: people read these.
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_LIMIT = (1 << 63) - 1  # of a time in nanoseconds: what every backend can hold
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_HINT = "write `last 15m`, or START/END in RFC 3339, such as 2026-01-31T03:00:00Z/2026-01-31T03:15:00Z"


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open interval [start_ns, end_ns) in unix nanoseconds; never empty."""

    start_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        if not -_LIMIT <= self.start_ns <= _LIMIT or not -_LIMIT <= self.end_ns <= _LIMIT:
            raise WindowError("the window lies beyond the years 1677 to 2262", hint=_HINT)
        if self.end_ns <= self.start_ns:
            raise WindowError(
                f"the window is empty: it starts at {rfc3339(self.start_ns)} and ends at {rfc3339(self.end_ns)}",
                hint=_HINT,
            )

    @property
    def length_ns(self) -> int:
        return self.end_ns - self.start_ns

    def __contains__(self, time_ns: int) -> bool:
        return self.start_ns <= time_ns < self.end_ns

    def before(self, length_ns: int | None = None) -> Window:
        """Return the window of `length_ns` (default: the same length) that ends where this one starts."""
        return Window(max(self.start_ns - (length_ns or self.length_ns), -_LIMIT), self.start_ns)

    def __str__(self) -> str:
        return f"{rfc3339(self.start_ns)}/{rfc3339(self.end_ns)}"


@dataclass(frozen=True, slots=True)
class Windows:
    """The two windows that a diagnosis compares; without a baseline it cannot name a cause."""

    incident: Window
    baseline: Window | None = None


def parse_duration_s(text: str) -> float:
    """Parse `90s`, `15m`, `1h30m`, Prometheus' way of writing durations. Raises WindowError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", text.strip())
    if not parts or "".join(n + u for n, u in parts) != text.strip():
        raise WindowError(f"not a duration: {text!r}", hint="write it as Prometheus does: 90s, 15m, 1h30m")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if seconds > _LIMIT / NS_PER_S:
        raise WindowError(f"a duration of centuries: {printable(text)!r}", hint=_HINT)
    return seconds


def parse_instant_ns(text: str, now_ns: int) -> int:
    """Parse `now`, RFC 3339 with an offset, or integer unix nanoseconds. Raises WindowError."""
    word = text.strip()
    if word == "now":
        return now_ns
    if re.fullmatch(r"\d{16,19}", word):
        return int(word)
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*(Z|[+-]\d\d:\d\d)", word, re.IGNORECASE
    )
    if match is None:
        raise WindowError(f"not an instant: {text!r}", hint=_HINT + "; the time zone is needed")
    try:
        whole = datetime.fromisoformat(match[1] + match[3].upper().replace("Z", "+00:00"))
    except ValueError as error:
        raise WindowError(f"not an instant: {text!r} ({error})", hint=_HINT) from error
    seconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return seconds * NS_PER_S + int((match[2] or "0").ljust(9, "0"))


def parse_window(text: str, now_ns: int) -> Window | None:
    """Parse `last 15m` or `START/END`; an empty text is None, the source's own choice. Raises WindowError."""
    word = text.strip()
    if not word:
        return None
    if word.startswith("last"):
        return Window(now_ns - round(parse_duration_s(word[4:].strip()) * NS_PER_S), now_ns)
    start, slash, end = word.partition("/")
    if not slash:
        raise WindowError(f"not a window: {text!r}", hint=_HINT)
    return Window(parse_instant_ns(start, now_ns), parse_instant_ns(end, now_ns))


def rfc3339(time_ns: int) -> str:
    """Write unix nanoseconds as RFC 3339 in UTC, with as many fractional digits as are needed."""
    seconds, ns = divmod(int(time_ns), NS_PER_S)
    try:
        whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{time_ns} ns"
    fraction = f".{ns:09d}".rstrip("0").rstrip(".") if ns else ""
    return whole.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
