"""One service has many names: which names have data now, and what the service map should say where they differ.

Nothing is guessed silently: a proposal is a line for `opslib.toml` that a person puts there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from opslib.core.checks import Check
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment
from opslib.core.windows import NS_PER_S, Window
from opslib.core.words import printable
from opslib.telemetry import Sources

_ALIKE = 0.6  # of difflib's ratio; `payment` and `payment-service` are 0.64 alike
_SHOWN = 8
_SUFFIXES = ("-service", "-svc", "service", "svc")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of services with data in each signal, our own where the service map says them; None: not asked."""

    traces: frozenset[str] | None
    logs: frozenset[str] | None
    metrics: frozenset[str] | None

    def by_signal(self) -> dict[str, frozenset[str]]:
        found = {"traces": self.traces, "logs": self.logs, "metrics": self.metrics}
        return {signal: names for signal, names in found.items() if names is not None}


def names_in(sources: Sources, window: Window) -> Names:
    """Ask each source which services have data in the window. Raises SourceError and CaptureError."""
    logs = sources.logs and sources.logs.log_rates(window, window.length_ns / NS_PER_S).frame["service_name"]
    metrics = sources.metrics and sources.metrics.metrics(window).frame["service_name"]
    return Names(
        frozenset(sources.traces.services(window)) if sources.traces else None,
        _texts(logs),
        _texts(metrics),
    )


def _texts(column: object) -> frozenset[str] | None:
    if column is None:
        return None
    return frozenset(name for name in set(column) if isinstance(name, str) and name)  # type: ignore[call-overload]


def check_names(environment: Environment, names: Names) -> Iterator[Check]:
    """Check each service of the map, or of the traces where the map is empty, in each signal that was asked."""
    signals = names.by_signal()
    services = sorted(environment.services) or sorted(names.traces or ())
    if not services or not any(signals.values()):
        yield Check("service map", Outcome.NO_DATA, "no service has data in the last minutes")
        return
    absent = {s: [signal for signal, known in signals.items() if s not in known] for s in services}
    whole = [service for service in services if not absent[service]]
    if len(whole) == len(services):
        statement = f"{', '.join(map(printable, services[:_SHOWN]))} have data in {', '.join(signals)}"
        yield Check("service map", Outcome.PASS, statement)
        return
    for service in (s for s in services if absent[s]):
        lines = list(_proposals(environment, service, absent[service], signals))
        hint = "; ".join(lines) or "is it instrumented, and under which name? add it to the service map"
        statement = f"{printable(service)} has no {' and no '.join(absent[service])} under its name"
        yield Check(f"service {printable(service)}", Outcome.NO_DATA, statement, hint)


def _proposals(
    environment: Environment, service: str, absent: list[str], signals: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    """Yield lines for `opslib.toml` that name the likeliest name in each signal that lacks this one."""
    for signal in absent:
        others = signals[signal] - set(environment.services)
        name = _nearest(service, others)
        if name is not None:
            value = {
                "traces": f'"{name}"',
                "logs": f'{{field = "service.name", value = "{name}"}}',
                "metrics": f'{{label = "service_name", value = "{name}"}}',
            }[signal]
            yield f"[environments.{environment.name}.services.{service}] {signal} = {value}"


def _nearest(service: str, names: frozenset[str]) -> str | None:
    bare = {_bare(name): name for name in sorted(names, reverse=True)}
    if _bare(service) in bare:
        return bare[_bare(service)]
    close = difflib.get_close_matches(_bare(service), bare, n=1, cutoff=_ALIKE)
    return bare[close[0]] if close else None


def _bare(name: str) -> str:
    folded = name.casefold()
    return next((folded.removesuffix(s) for s in _SUFFIXES if folded.endswith(s) and folded != s), folded)
