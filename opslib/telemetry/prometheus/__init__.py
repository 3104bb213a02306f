"""Metrics from Prometheus, and from what speaks its query API: Thanos, Mimir, VictoriaMetrics."""

from __future__ import annotations

from opslib.core.checks import Check
from opslib.core.clock import Clock
from opslib.core.errors import UsageError
from opslib.core.settings import Environment, SourceSettings
from opslib.telemetry.endpoint import endpoint
from opslib.telemetry.http import Http
from opslib.telemetry.prometheus import checks
from opslib.telemetry.prometheus.counting import increase, quantile
from opslib.telemetry.prometheus.naming import naming
from opslib.telemetry.prometheus.source import PrometheusMetrics

__all__ = ["PrometheusMetrics", "check", "connect", "increase", "quantile"]


def connect(
    settings: SourceSettings, environment: Environment, where: str, clock: Clock
) -> PrometheusMetrics:
    """Return the metrics of the environment's namespace, where they bear one. Raises UsageError.

    `match = ["up", ...]`: selectors, asked beside the metrics that a diagnosis understands. A service of the
    environment's map may say `metrics = {label = "app", value = "NAME"}`, or its name alone.
    """
    match = settings.options.get("match", [])
    if not isinstance(match, list) or not all(isinstance(text, str) for text in match):
        raise UsageError(f"{where}: match is a list of selectors", hint="match = ['up{job=\"payment\"}']")
    found = endpoint(settings, where, frozenset({"match"}), environment.origin)
    http = Http(found, clock=clock)
    return PrometheusMetrics(http, clock, naming(environment, where), environment.namespace, tuple(match))


def check(settings: SourceSettings, environment: Environment, where: str, clock: Clock) -> tuple[Check, ...]:
    """Return what `opslib doctor` says of the metric server. Raises UsageError as `connect`."""
    return checks.check(connect(settings, environment, where, clock), tuple(environment.services))
