"""For whom: what slow or failing calls bear more often than normal calls, over all attributes and values seen.

Slow is a call of the incident beyond the 95th percentile of its operation in the baseline, or one that failed where
failures rose. Normal are the incident's other calls, so that what changed with time does not show; where hardly any is
left, the baseline's. Every value seen often enough is a test, and the threshold holds over all of them (Benjamini and
Hochberg 1995, see `statistics.critical_z`). Of values that say the same the one that an operator would act on leads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.core.evidence import Evidence, SpanBlock
from opslib.core.model import ScopeItem
from opslib.diagnosis import weights
from opslib.diagnosis.attributes import Mark, MarkedCall, marked_calls, sample_of
from opslib.diagnosis.clues import Clue
from opslib.diagnosis.compare import CallShift
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.statistics import critical_z, share_shift

_FIRST = ("version", "tenant", "customer", "operation", "region", "zone", "node", "pod")
_MOST = 8  # values told
_SAME = 0.05  # associations nearer than this say the same


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which calls are slow: thresholds by operation, and whether failing counts."""

    limit_ns: dict[str, int]
    failing: bool

    def slow(self, operation: str, duration_ns: int, *, error: bool) -> bool | None:
        """Return None where the operation is too rare in the baseline to say."""
        if self.failing and error:
            return True
        limit = self.limit_ns.get(operation)
        return None if limit is None else duration_ns > limit


def scope_of(
    evidence: Evidence,
    calls: pd.DataFrame,
    shift: CallShift,
    service: str,
    lead: Clue,
) -> tuple[ScopeItem, ...]:
    """Return what sets slow calls apart, strongest first. calls: of `Partial`. lead: the first suspect's first clue."""
    rule = _rule(calls, shift)
    slow, normal = _sides(calls, rule)
    few = min(len(slow), len(normal)) < weights.SCOPE_CALLS
    if few and not lead.version:
        return ()
    traces = frozenset(sample_of(slow, weights.SCOPE_TRACES) | sample_of(normal, weights.SCOPE_TRACES))
    marked = marked_calls(_blocks(evidence, traces), service, evidence.windows, traces)
    chosen = _split(marked, rule, normal_is_incident=_incident_has_normal(calls, rule))
    about = tuple(dict.fromkeys((lead.service, *(lead.edge or ()), service)))
    items = () if few else _apart(*chosen, about)
    return _release_first(items, chosen, lead) if lead.version else items[:_MOST]


def _blocks(evidence: Evidence, traces: frozenset[str]) -> Iterable[SpanBlock]:
    ask: Callable[[Sequence[str]], Iterable[SpanBlock]] | None = evidence.attributed
    return ask(sorted(traces)) if ask is not None else evidence.spans


def _rule(calls: pd.DataFrame, shift: CallShift) -> _Rule:
    before = calls[calls["window"] == BASELINE]
    limits = {}
    for operation, rows in before.groupby("operation", sort=True):
        if len(rows) >= weights.MIN_CALLS:
            ordered = np.sort(rows["duration_ns"].to_numpy())
            limits[str(operation)] = int(ordered[-(-len(ordered) * 95 // 100) - 1])
    failing = shift.failed_after / max(shift.after.n, 1) - shift.failed_before / max(shift.before.n, 1)
    return _Rule(limits, failing >= weights.FAILING_SHARE)


def _slowness(calls: pd.DataFrame, rule: _Rule) -> NDArray[np.int8]:
    """Return for each call 1 if it is slow, 0 if normal, -1 if that cannot be said."""
    limit = calls["operation"].map(rule.limit_ns).to_numpy(dtype=np.float64, na_value=np.nan)
    said = np.where(np.isnan(limit), -1, calls["duration_ns"].to_numpy() > limit)
    return np.where(calls["error"].to_numpy(dtype=np.bool_) & rule.failing, 1, said).astype(np.int8)


def _sides(calls: pd.DataFrame, rule: _Rule) -> tuple[pd.Series, pd.Series]:
    """Return the trace ids of slow and of normal calls."""
    slow, window = _slowness(calls, rule), calls["window"].to_numpy()
    normal = INCIDENT if _incident_has_normal(calls, rule) else BASELINE
    trace = calls["trace_id"]
    return trace[(window == INCIDENT) & (slow == 1)], trace[(window == normal) & (slow == 0)]


def _incident_has_normal(calls: pd.DataFrame, rule: _Rule) -> bool:
    incident = calls[calls["window"] == INCIDENT]
    normal = int((_slowness(incident, rule) == 0).sum())
    return normal >= max(weights.SCOPE_CALLS, round(weights.SCOPE_NORMAL * len(incident)))


def _split(
    marked: Iterable[MarkedCall], rule: _Rule, *, normal_is_incident: bool
) -> tuple[list[MarkedCall], list[MarkedCall]]:
    slow, normal = [], []
    for call in marked:
        said = rule.slow(call.operation, call.duration_ns, error=call.error)
        if said and call.window == INCIDENT:
            slow.append(call)
        elif said is False and (call.window == INCIDENT) == normal_is_incident:
            normal.append(call)
    return slow, normal


def _apart(
    slow: Sequence[MarkedCall], normal: Sequence[MarkedCall], about: tuple[str, ...]
) -> tuple[ScopeItem, ...]:
    """Test every mark, keep what is beyond chance and large, and order it."""
    counts = _counts(slow), _counts(normal)
    n, m = len(slow), len(normal)
    tested = {}
    for mark in sorted(set(counts[0]) | set(counts[1])):
        a, b = counts[0][mark], counts[1][mark]
        if a + b >= weights.SCOPE_OFTEN:
            tested[mark] = (share_shift(b, m, a, n), a / max(n, 1), b / max(m, 1))
    critical = critical_z((z for z, _, _ in tested.values()), weights.FALSE_ALARM)
    kept = [
        (_association(x, y, n, m), mark, x, y)
        for mark, (z, x, y) in tested.items()
        if z >= critical and x - y >= weights.SCOPE_DIFFERENCE and x >= weights.SCOPE_RATIO * y
    ]
    best = max((k[0] for k in kept), default=0.0)
    kept.sort(key=lambda k: (k[0] < best - _SAME, _preference(k[1], about), -k[0], k[1]))
    return _told(kept, about)


def _counts(calls: Sequence[MarkedCall]) -> Counter[Mark]:
    found: Counter[Mark] = Counter()
    for call in calls:
        found.update({*call.marks, Mark("operation", "", call.operation)})
    return found


def _association(x: float, y: float, n: int, m: int) -> float:
    """Return phi of the two-by-two table as if both sides were of one size: samples are."""
    middle = (x + y) / 2
    return (x - y) / 2 / math.sqrt(middle * (1 - middle)) if 0 < middle < 1 and n and m else 0.0


def _preference(mark: Mark, about: tuple[str, ...]) -> tuple[int, int]:
    near = about.index(mark.service) if mark.service in about else len(about)
    return (_FIRST.index(mark.attribute) if mark.attribute in _FIRST else len(_FIRST), near)


def _told(kept: Sequence[tuple[float, Mark, float, float]], about: tuple[str, ...]) -> tuple[ScopeItem, ...]:
    """Write the items; an attribute of another service than those the verdict is about says whose it is."""
    items: dict[tuple[str, str], ScopeItem] = {}
    for _, mark, x, y in kept:
        name = (
            mark.attribute
            if not mark.service or mark.service in about
            else f"{mark.service} {mark.attribute}"
        )
        items.setdefault((name, mark.value), ScopeItem(name, mark.value, round(x, 4), round(y, 4)))
    return tuple(items.values())


def _release_first(
    items: tuple[ScopeItem, ...],
    sides: tuple[list[MarkedCall], list[MarkedCall]],
    lead: Clue,
) -> tuple[ScopeItem, ...]:
    """A blamed release heads the list, whatever else its calls have in common, and however few they are."""
    mark = Mark("version", lead.service, lead.version)
    shares = [sum(mark in c.marks for c in side) / max(len(side), 1) for side in sides]
    blamed = ScopeItem("version", lead.version, round(shares[0], 4), round(shares[1], 4))
    rest = (i for i in items if (i.attribute, i.value) != ("version", lead.version))
    return (blamed, *rest)[:_MOST]
