"""A service's objective, from the environment's service map: what calls must keep to be called well.

It says that something is wrong where nothing shows a change, such as when a source begins in the middle of a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opslib.core.errors import UsageError
from opslib.core.settings import Environment
from opslib.core.words import duration, share
from opslib.diagnosis import exceeds_share

_P95 = 0.05  # of the calls may take longer


@dataclass(frozen=True, slots=True)
class Slo:
    """What is promised of calls; None where nothing is."""

    availability_pct: float | None = None
    p95_ms: float | None = None

    def breach(self, durations_ns: NDArray[np.int64], errors: NDArray[np.bool_]) -> str:
        """Say in which way calls break the objective beyond chance; empty where they keep it."""
        n, failed = len(errors), int(errors.sum())
        if self.availability_pct is not None and exceeds_share(failed, n, 1 - self.availability_pct / 100):
            return f"{share(failed, n)} fail, it allows {100 - self.availability_pct:.3g} %"
        if self.p95_ms is None:
            return ""
        limit_ns = round(self.p95_ms * 1e6)
        slow = int((durations_ns > limit_ns).sum())
        if not exceeds_share(slow, n, _P95):
            return ""
        return f"{share(slow, n)} take longer than {duration(limit_ns)}, it allows 5 %"


def slo_of(environment: Environment, service: str | None) -> Slo:
    """Return what the service map promises of a service. Raises UsageError for what is no objective."""
    mapped = environment.services.get(service or "", {})
    table = mapped.get("slo", {}) if isinstance(mapped, dict) else {}
    where = f"{environment.origin}: {environment.name}.services.{service}.slo"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table", hint="such as {availability_pct = 99.9, p95_ms = 300}")
    return Slo(
        _number(table, "availability_pct", 100.0, where), _number(table, "p95_ms", float("inf"), where)
    )


def _number(table: dict[str, Any], name: str, highest: float, where: str) -> float | None:
    value = table.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= highest:
        raise UsageError(
            f"{where}: {name} is no number above 0", hint="such as {availability_pct = 99.9, p95_ms = 300}"
        )
    return float(value)
