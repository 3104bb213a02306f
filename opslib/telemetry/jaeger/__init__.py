"""Jaeger, of any version that has `/api/v3` or the older JSON of its pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opslib.core.checks import Check
from opslib.core.clock import Clock
from opslib.core.errors import UsageError
from opslib.core.settings import Environment, SourceSettings

if TYPE_CHECKING:
    from opslib.telemetry.fetched import FetchedTraces
    from opslib.telemetry.jaeger.traces import JaegerTraces

__all__ = ["backend", "check", "connect"]

_OWN = frozenset({"max_traces", "budget_s", "roots"})


def connect(
    settings: SourceSettings,
    environment: Environment,
    where: str,
    clock: Clock,
    progress: Callable[[str], None] | None = None,
) -> FetchedTraces:
    """Return the TraceSource of one table of settings. Raises UsageError for options that cannot be."""
    from opslib.telemetry.fetched import FetchedTraces  # noqa: PLC0415 - duckdb with it

    return FetchedTraces(backend(settings, environment, where, clock, progress), clock)


def backend(
    settings: SourceSettings,
    environment: Environment,
    where: str,
    clock: Clock,
    progress: Callable[[str], None] | None = None,
) -> JaegerTraces:
    """Return what answers each question anew, also those for the slowest calls and for checks. Raises UsageError.

    Own options: about how many traces of both windows together (`max_traces`), `budget_s` for fetching them, and `roots`, the services where
    traces begin, where the others share a Jaeger that is not theirs alone.
    """
    from opslib.telemetry.endpoint import endpoint  # noqa: PLC0415 - the client with it
    from opslib.telemetry.http import Http  # noqa: PLC0415
    from opslib.telemetry.jaeger.slices import Pace  # noqa: PLC0415
    from opslib.telemetry.jaeger.traces import JaegerTraces  # noqa: PLC0415

    http = Http(endpoint(settings, where, _OWN, environment.origin), clock=clock)
    most, budget_s = (
        _number(settings, where, name, usual) for name, usual in (("max_traces", 40_000), ("budget_s", 40))
    )
    roots = settings.options.get("roots", [])
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise UsageError(f"{where}: roots is a list of services", hint='roots = ["storefront"]')
    names = {name: str(table.get("traces", name)) for name, table in environment.services.items()}
    return JaegerTraces(
        http, clock, names=names, pace=Pace(int(most), float(budget_s)), roots=roots, progress=progress
    )


def check(settings: SourceSettings, environment: Environment, where: str, clock: Clock) -> tuple[Check, ...]:
    """Return what `opslib doctor` says of a Jaeger. Raises UsageError for options that cannot be."""
    from opslib.telemetry.jaeger.checks import check as checked  # noqa: PLC0415

    return checked(backend(settings, environment, where, clock))


def _number(settings: SourceSettings, where: str, name: str, usual: int) -> float:
    value = settings.options.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 10_000_000:
        raise UsageError(f"{where}: {name} is a number from 1 on", hint=f"{name} = {usual}")
    return value
