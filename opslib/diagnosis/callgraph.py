"""Where there are no traces: metrics of each service on the call graph below the service asked about.

What a service adds to one call of the service asked about is its added latency times its requests per such call; the same
for failures. What a callee adds is taken from its callers. A callee that adds more than the service asked about lost is
not waited for, nor is anything below it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from opslib.core.model import Finding
from opslib.core.words import figures, printable, quantity
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.metrics import MetricShift
from opslib.diagnosis.statistics import share_shift

_LATENCY = re.compile(r"latency|duration", re.IGNORECASE)
_MEAN = re.compile(r"average|mean|avg", re.IGNORECASE)
_MEDIAN = re.compile(r"p50|median", re.IGNORECASE)
_REQUESTS = re.compile(r"requests?|workload|calls", re.IGNORECASE)
_SUCCESS = re.compile(r"availability|success", re.IGNORECASE)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0}


@dataclass(frozen=True, slots=True)
class Health:
    """What metrics say of one service; latency in the series' own unit, success in percent, requests per sample."""

    latency: MetricShift | None = None
    success: MetricShift | None = None
    requests: MetricShift | None = None

    def added_s(self) -> float:
        if self.latency is None:
            return 0.0
        return (self.latency.after - self.latency.before) * _SECONDS.get(self.latency.series.unit, 1.0)

    def lost(self) -> float:
        """Return the share of requests that fail more than before."""
        return (self.success.mean_before - self.success.mean_after) / 100 if self.success else 0.0


@dataclass(frozen=True, slots=True)
class Graph:
    """The call graph below `service`: callees and health by name, requests per its call, seconds added to its call."""

    service: str
    callees: Mapping[str, list[str]]
    health: Mapping[str, Health]
    loads: Mapping[str, float]
    added_s: Mapping[str, float]
    source: str

    def of(self, name: str) -> Health:
        return self.health.get(name, Health())


def graph_clues(
    shifts: Iterable[MetricShift], topology: pd.DataFrame, service: str, source: str
) -> list[Clue]:
    """Return the clues against the service and all that it calls, directly or through others."""
    graph = _graph(shifts, topology, service, source)
    aside = _not_waited_for(graph)
    clues = []
    for name in sorted(graph.loads):
        found = [c for c in (_latency_clue(name, graph), _failure_clue(name, graph)) if c is not None]
        clues += [clue.weaker(weights.MIXED_BELOW) for clue in found] if name in aside else found
    return clues


def _graph(shifts: Iterable[MetricShift], topology: pd.DataFrame, service: str, source: str) -> Graph:
    health, callees = _health_of(shifts), _callees(topology)
    top = health.get(service, Health())
    loads = {name: _per_call(health.get(name, Health()), top) for name in _reach(callees, service)}
    added = {name: health.get(name, Health()).added_s() * load for name, load in loads.items()}
    return Graph(service, callees, health, loads, added, source)


def is_health(shift: MetricShift) -> bool:
    """Tell whether a metric is a service's latency, success or number of requests, which the call graph weighs."""
    return any(kind.search(shift.series.name) for kind in (_LATENCY, _SUCCESS, _REQUESTS))


def _health_of(shifts: Iterable[MetricShift]) -> dict[str, Health]:
    by_service: dict[str, list[MetricShift]] = defaultdict(list)
    for shift in shifts:
        by_service[shift.series.service].append(shift)
    return {
        name: Health(
            _first(found, _LATENCY, (_MEAN, _MEDIAN)),
            _first(found, _SUCCESS, ()),
            _first(found, _REQUESTS, ()),
        )
        for name, found in by_service.items()
    }


def _first(
    found: list[MetricShift], kind: re.Pattern[str], prefer: tuple[re.Pattern[str], ...]
) -> MetricShift | None:
    fitting = [s for s in found if kind.search(s.series.name)]
    for wish in prefer:
        fitting = [s for s in fitting if wish.search(s.series.name)] or fitting
    return min(fitting, key=lambda s: (s.series.name, s.series.pod, s.series.labels), default=None)


def _callees(topology: pd.DataFrame) -> dict[str, list[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for caller, callee in zip(topology["caller"], topology["callee"], strict=True):
        found[str(caller)].add(str(callee))
    return {caller: sorted(names) for caller, names in found.items()}


def _reach(callees: Mapping[str, list[str]], start: str) -> set[str]:
    seen, todo = {start}, [start]
    while todo:
        for name in callees.get(todo.pop(), []):
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return seen


def _per_call(own: Health, top: Health) -> float:
    """Return requests of a service per request of the service asked about; 1 where that is not known."""
    if own.requests is None or top.requests is None or top.requests.mean_after <= 0:
        return 1.0
    return own.requests.mean_after / top.requests.mean_after


def _not_waited_for(graph: Graph) -> set[str]:
    top = graph.of(graph.service)
    if top.latency is None:
        return set()
    room = max(top.added_s(), 0.0) + weights.PART_SHARE * _seconds(top.latency)
    aside: set[str] = set()
    for name in sorted(graph.added_s):
        if name != graph.service and graph.added_s[name] > room:
            aside |= _reach(graph.callees, name) - {graph.service}
    return aside


def _seconds(latency: MetricShift) -> float:
    """Return a latency of the baseline in seconds."""
    return abs(latency.before) * _SECONDS.get(latency.series.unit, 1.0)


def _latency_clue(name: str, graph: Graph) -> Clue | None:
    shift, top = graph.of(name).latency, graph.of(graph.service).latency
    if shift is None or top is None or not shift.is_large or shift.after <= shift.before:
        return None
    below = ((c, graph.of(c).latency) for c in graph.callees.get(name, []))
    grown = [c for c, latency in below if latency is not None and latency.is_large]
    passed_on = sum(max(graph.added_s.get(c, 0.0), 0.0) for c in grown)
    share = max(graph.added_s[name] - passed_on, 0.0) / max(_seconds(top), 1e-9)
    strength = math.sqrt(
        saturate(share, weights.HALF_SHARE) * saturate(shift.log_ratio, weights.HALF_LOG_RATIO)
    )
    one = shift.series
    statement = (
        f"{printable(name, 80)}: {printable(one.name, 80)} rose from {quantity(shift.before, one.unit)} to "
        f"{quantity(shift.after, one.unit)}"
    )
    figures_of = round(shift.after, 6), round(shift.before, 6)
    finding = Finding("metric", statement, *figures_of, one.unit, graph.source, one.name)
    return Clue("time", name, "service", strength * shift.sure, finding, significant=strength > 0)


def _failure_clue(name: str, graph: Graph) -> Clue | None:
    own = graph.of(name)
    shift = own.success
    if shift is None or own.lost() <= 0:
        return None
    passed_on = sum(max(graph.of(c).lost(), 0.0) * graph.loads[c] for c in graph.callees.get(name, []))
    rose = max(own.lost() * graph.loads[name] - passed_on, 0.0)
    if _z_of_failures(own, shift) < weights.METRIC_Z or rose <= 0:
        return None
    statement = (
        f"{printable(name, 80)}: {printable(shift.series.name, 80)} fell from {figures(shift.mean_before)} to "
        f"{figures(shift.mean_after)} %"
    )
    means = round(shift.mean_after, 6), round(shift.mean_before, 6)
    finding = Finding("metric", statement, *means, "%", graph.source, shift.series.name)
    significant = own.lost() >= weights.FAILING_SHARE / 2
    return Clue(
        "errors", name, "service", saturate(rose, weights.HALF_FAILING), finding, significant=significant
    )


def _z_of_failures(own: Health, success: MetricShift) -> float:
    """Return z of the share of failed requests, their numbers estimated from samples times requests per sample."""
    requests = own.requests.mean_after if own.requests else 1.0
    sides = []
    for samples, mean in zip(success.n, (success.mean_before, success.mean_after), strict=True):
        n = max(round(samples * requests), 1)
        sides += [min(round((100 - mean) / 100 * n), n), n]
    return share_shift(*sides)
