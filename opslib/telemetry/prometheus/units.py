"""The unit of a metric, in UCUM as OpenTelemetry writes it: as the server's metadata tell, else as the name ends."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from opslib.core.errors import SourceError
from opslib.telemetry.http import Http
from opslib.telemetry.prometheus.answers import ask

_UCUM = {
    "seconds": "s",
    "milliseconds": "ms",
    "microseconds": "us",
    "nanoseconds": "ns",
    "bytes": "By",
    "ratio": "1",
    "percent": "%",
}
_ENDING = re.compile(r"_(bucket|sum|count|total)$")
_IN_HELP = re.compile(r"in (\S{1,40})")  # where the format has no other place for a unit
UnitOf = Callable[[str], str | None]


class _About(msgspec.Struct):
    unit: str = ""
    help: str = ""


def units(http: Http) -> UnitOf:
    """Return what tells a unit, null where nothing does; a server without metadata leaves names alone to tell."""
    try:
        told = ask(http, "metadata", {}, dict[str, list[_About]]).data
    except SourceError:
        told = {}

    def unit_of(name: str) -> str | None:
        base = _ENDING.sub("", name)
        said = [_said(about) for key in (name, base, f"{base}_total") for about in told.get(key, ())]
        return min(filter(None, said), default=None) or _UCUM.get(base.rpartition("_")[2])

    return unit_of


def _said(about: _About) -> str:
    in_help = _IN_HELP.fullmatch(about.help)
    return _UCUM.get(about.unit, about.unit) or (in_help[1] if in_help else "")
