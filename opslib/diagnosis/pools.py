"""Waiting inside a service before its client span starts is seen in traces as its own work; a full pool says why.

A pool clue never accuses: it joins a service whose own work grew beyond chance, and names the pool in its evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from opslib.core.foreign import json_object
from opslib.core.words import printable, quantity
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.metrics import MetricShift, metric_finding
from opslib.diagnosis.series import Series

# OpenTelemetry's db.client.connection(s).*, and what HikariCP, pgbouncer and thread pools call the same
_OF_POOL = re.compile(r"pool|(?:^|[._])connections?[._]", re.IGNORECASE)
_FULL = re.compile(r"wait|pending|queue|timeout|usage|used|active|in_use|count", re.IGNORECASE)
_NAME = re.compile(r"pool(?:[._]name)?$", re.IGNORECASE)


def is_pool(series: Series) -> bool:
    """Tell whether a metric says how full a pool is or how long one waits for it."""
    return bool(_OF_POOL.search(f"{series.name} {' '.join(_labels(series))}") and _FULL.search(series.name))


def pool_clues(found: Iterable[MetricShift], clues: Sequence[Clue], source: str) -> list[Clue]:
    """Return for each service whose own work grew what its pools say, most telling first."""
    waiting = {c.service for c in clues if c.family == "time" and c.kind == "service" and c.significant}
    pools = [_clue(shift, source) for shift in found if shift.series.service in waiting and _fuller(shift)]
    return sorted(pools, key=lambda c: (c.service, -c.strength, c.finding.statement))


def _fuller(shift: MetricShift) -> bool:
    """Means, not medians: a pool may be full in bursts. Idle connections fall where used ones rise: only rises count."""
    return (
        shift.mean_after > weights.POOL_RATIO * shift.mean_before
        and shift.beyond >= weights.POOL_BEYOND
        and "idle" not in _labels(shift.series).values()
    )


def _labels(series: Series) -> dict[str, str]:
    labels = json_object(series.labels).items()
    return {name: str(value) for name, value in labels if isinstance(value, str | int | float)}


def _clue(shift: MetricShift, source: str) -> Clue:
    one = shift.series
    names = [value for name, value in sorted(_labels(one).items()) if _NAME.search(name)]
    pool = f"pool {printable(names[0], 80)}" if names else "its pool"
    before, after = quantity(shift.mean_before, one.unit), quantity(shift.mean_after, one.unit)
    statement = (
        f"{printable(one.service, 80)} waits for {pool}: {printable(one.name, 80)} rose from {before} to "
        f"{after} in the mean"
    )
    finding = metric_finding(one, statement, (shift.mean_before, shift.mean_after), source)
    growth = (shift.mean_after + 1e-9) / (shift.mean_before + 1e-9) - 1
    strength = saturate(growth, weights.HALF_LOG_RATIO)
    return Clue("metric", one.service, "service", strength, finding, pod=one.pod or None)
