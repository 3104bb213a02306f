"""Metric shifts: each series against its own baseline, robustly; the word for it and how strong it is.

z is the difference of medians in units of the baseline's MAD (Rousseeuw & Croux 1993), which single samples cannot move.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from opslib.core.model import Finding
from opslib.core.windows import Windows
from opslib.core.words import printable, quantity
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.series import Floats, Series

_MAD = 1.4826  # MAD to standard deviation of normal values
_LEAST = 0.05  # the spread is taken for at least this part of the median: few samples show too little of it


@dataclass(frozen=True, slots=True)
class MetricShift:
    """How one series changed: medians, numbers of samples, robust z, share of incident samples beyond the baseline's."""

    series: Series
    before: float
    after: float
    n: tuple[int, int]
    z: float
    beyond: float
    mean_before: float
    mean_after: float

    @property
    def log_ratio(self) -> float:
        least = 1e-9 + 0.01 * max(abs(self.before), abs(self.after))
        return math.log((abs(self.after) + least) / (abs(self.before) + least))

    @property
    def sure(self) -> float:
        """How little chance explains it that all samples of one window lie beyond the other's: 1 at one in a thousand."""
        return min(1.0, math.log10(math.comb(sum(self.n), self.n[1])) / 3)

    @property
    def is_large(self) -> bool:
        """Tell whether it shifted by more than its baseline's spread, and by enough to act on."""
        return abs(self.z) >= weights.METRIC_Z and abs(self.log_ratio) >= math.log(weights.METRIC_RATIO)

    @property
    def is_bad(self) -> bool:
        return self.z * self.series.direction > 0 or self.series.direction == 0


def metric_shifts(series: Iterable[Series], windows: Windows, *, least: int = 2) -> list[MetricShift]:
    """Compare every series that has at least `least` samples in the baseline and one in the incident."""
    found = []
    for one in series:
        before, after = (_within(one, windows, name) for name in ("baseline", "incident"))
        if len(before) >= least and len(after):
            found.append(_shift(one, before, after))
    return found


def _within(one: Series, windows: Windows, name: str) -> Floats:
    incident, baseline = windows.incident, windows.baseline
    in_incident = (one.time >= incident.start_ns) & (one.time < incident.end_ns)
    if name == "incident":
        return one.value[in_incident]
    if baseline is None:
        return one.value[:0]
    return one.value[(one.time >= baseline.start_ns) & (one.time < baseline.end_ns) & ~in_incident]


def _shift(one: Series, before: Floats, after: Floats) -> MetricShift:
    old, new = float(np.median(before)), float(np.median(after))
    spread = max(_MAD * float(np.median(np.abs(before - old))), _LEAST * abs(old), 1e-9)
    beyond = float(np.mean(after > before.max())) if new >= old else float(np.mean(after < before.min()))
    means = float(before.mean()), float(after.mean())
    return MetricShift(one, old, new, (len(before), len(after)), (new - old) / spread, beyond, *means)


def metric_clues(found: Iterable[MetricShift], involved: Collection[str], source: str) -> list[Clue]:
    """Return for each service its strongest shifts in the bad direction. `involved`: as for logs."""
    by_service: dict[str, list[Clue]] = defaultdict(list)
    for shift in found:
        service = shift.series.service
        if service and shift.is_large and shift.is_bad and (not involved or service in involved):
            by_service[service].append(_clue(shift, source))
    return [
        clue
        for service in sorted(by_service)
        for clue in sorted(by_service[service], key=lambda c: (-c.strength, c.finding.statement))[:3]
    ]


def _clue(shift: MetricShift, source: str) -> Clue:
    one = shift.series
    known = 1.0 if one.direction else weights.METRIC_EITHER_WAY
    strength = known * shift.sure * shift.beyond * saturate(abs(shift.log_ratio), weights.HALF_LOG_RATIO)
    way = "rose" if shift.after > shift.before else "fell"
    at = f"{printable(one.service, 80)}{f' ({printable(one.pod, 80)})' if one.pod else ''}"
    statement = (
        f"{at}: {printable(one.name, 80)} {way} from {quantity(shift.before, one.unit)} to "
        f"{quantity(shift.after, one.unit)}"
    )
    finding = metric_finding(one, statement, (shift.before, shift.after), source)
    return Clue("metric", one.service, "service", strength, finding, pod=one.pod or None)


def metric_finding(one: Series, statement: str, values: tuple[float, float], source: str) -> Finding:
    """Return what is said of one series; values: (before, after) in its unit."""
    before, after = (round(value, 6) for value in values)
    query = f"{one.name}{printable(one.labels, 80)}"
    return Finding("metric", statement, after, before, one.unit, source, query)
