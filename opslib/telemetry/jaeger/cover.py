"""By which services traces are searched, so that each trace is found and few are found twice.

A storage that searches without a service is asked so: that finds every trace once. Else a few traces of every service
are looked at, and those services are searched that all of these traces pass through: mostly the ones where they begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from opslib.core.errors import SourceError, UsageError, near_names
from opslib.core.windows import Window
from opslib.core.words import printable
from opslib.telemetry.jaeger.dialects import Dialect, Search

OWN = frozenset(
    {"jaeger", "jaeger-all-in-one", "jaeger-collector", "jaeger-query"}
)  # traces that our questions cause
_MOST = 60  # services that are looked at


@dataclass(frozen=True, slots=True)
class Cover:
    """Services to search one after the other, one empty name for any service; what was not looked at."""

    services: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def cover(dialect: Dialect, roots: Sequence[str], wanted: Sequence[str], windows: Sequence[Window]) -> Cover:
    """Choose the services: `roots` where given, else what finds all traces of `wanted`, or of every service.

    Raises UsageError where Jaeger knows none of the roots, SourceError.
    """
    known = [name for name in dialect.services() if name not in OWN]
    if roots:
        unknown = sorted(set(roots) - set(known))
        if len(unknown) == len(set(roots)):
            raise UsageError(
                f"Jaeger knows no service {printable(unknown[0])!r}", hint=near_names(unknown[0], known)
            )
        missing = tuple(f"Jaeger knows no service {printable(name)!r}" for name in unknown)
        return Cover(tuple(name for name in dict.fromkeys(roots) if name in known), missing)
    names = [name for name in known if name in wanted] or known
    if len(names) == len(known) and _answers_for_all(dialect, windows):
        return Cover(("",))
    looked = names[:_MOST]
    chosen = fewest(_passed(dialect, looked, windows))
    said = [
        f"searched by the services {', '.join(map(printable, chosen))}: the last traces of all others pass there too"
    ]
    if len(looked) < len(names):
        said.append(
            f"only {_MOST} of {len(names)} services were looked at; name those where traces begin: roots = [...]"
        )
    return Cover(tuple(chosen), tuple(said) if 0 < len(chosen) < len(names) else ())


def searchable(dialect: Dialect, window: Window) -> list[str]:
    """Return by which services what lies in a window is found, each trace by one of them at least."""
    if _answers_for_all(dialect, [window]):
        return [""]
    return [name for name in dialect.services() if name not in OWN][:_MOST]


def _answers_for_all(dialect: Dialect, windows: Sequence[Window]) -> bool:
    """Tell whether the storage searches without a service: some refuse, some find nothing."""
    if not dialect.anonymous:
        return False
    try:
        return any(dialect.search(Search("", window, 1)).rows for window in windows)
    except SourceError:
        return False


def _passed(dialect: Dialect, names: Sequence[str], windows: Sequence[Window]) -> list[set[str]]:
    """Return which of the services each of some traces passes through."""
    passed: dict[str, set[str]] = {}
    for name in names:
        for window in windows:
            passed |= dialect.passed(Search(name, window))
    return [services & set(names) for services in passed.values()]


def fewest(traces: Collection[set[str]]) -> list[str]:
    """Return few services such that each trace passes one of them: always the one that most of the rest pass."""
    chosen: list[str] = []
    rest = list(traces)
    while rest:
        counts = Counter(service for services in rest for service in services)
        best = min(counts, key=lambda service: (-counts[service], service))
        chosen.append(best)
        rest = [services for services in rest if best not in services]
    return chosen
