"""Call-structure shift: calls that a parent span no longer makes, makes more often, or after which it stops.

Charged to the caller whose calls change. Two exceptions: extra calls that follow failed ones are charged to the failing
callee; and where callers stop after calling the same callee in two or more contexts, that callee is charged.
A mix of known shapes that shifts below a caller whose own shapes shift is only what that caller asks for.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from opslib.core.model import Finding
from opslib.core.words import figures, printable, share
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.compare import Clustering
from opslib.diagnosis.groups import by_key, most_frequent
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.statistics import share_shift
from opslib.diagnosis.structure_tables import SEPARATOR

Context = tuple[str, str]  # service and operation of the parent


@dataclass(frozen=True, slots=True)
class ShapeShift:
    """How the shapes of one parent operation changed: shares of parents that moved, and the strongest new shape."""

    context: Context
    new: float  # share of incident parents in shapes that rose and were next to absent
    mixed: float  # share that moved between known shapes
    z: float
    shape: str
    n_shape: tuple[int, int]
    n: tuple[int, int]


def structure_clues(
    shapes: Sequence[ShapeShift],
    children: pd.DataFrame,
    edges: set[tuple[str, str]],
    critical: float,
    source: str,
) -> list[Clue]:
    """Return the clues of both tables. edges: (caller, callee) pairs seen, to tell who is upstream of whom."""
    shifts = [s for s in shapes if s.z >= critical / 2]
    stops = _stops(children, critical)
    blamed = {callee for callee, contexts in stops.items() if len(contexts) >= 2}
    moved = {s.context[0] for s in shifts}
    explained = {context for callee in blamed for context in stops[callee]}
    clues = []
    for shift in shifts:
        below = _is_below(shift.context[0], moved, edges)
        clue = _shape_clue(shift, weights.MIXED_BELOW if below else weights.MIXED, critical, source)
        clues.append(_soften(clue, explained))
    clues += [_stop_clue(callee, stops[callee], shifts, critical, source) for callee in sorted(blamed)]
    clues += _count_clues(children, critical, source)
    return [c for c in clues if c.strength > 0]


def shape_shifts(shapes: pd.DataFrame, clustering: Clustering) -> Iterator[ShapeShift]:
    """Compare the shares of shapes of each parent operation that occurs in both windows."""
    keys = ["service", "operation"]
    for (service, operation), rows in by_key(most_frequent(shapes, keys, weights.MOST_OPERATIONS), keys):
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for window, shape, n in zip(rows["window"], rows["shape"], rows["n"], strict=True):
            counts[shape][window] += int(n)
        after, before = (sum(c[w] for c in counts.values()) for w in (INCIDENT, BASELINE))
        if not before or not after or len(counts) < 2:
            continue
        yield _shape_shift((service, operation), counts, before, after, clustering)


def _shape_shift(
    context: Context, counts: dict[str, list[int]], before: int, after: int, clustering: Clustering
) -> ShapeShift:
    new = mixed = 0.0
    best: tuple[float, str] = (0.0, "")
    for shape, n in sorted(counts.items()):
        z = share_shift(n[BASELINE], before, n[INCIDENT], after)
        rose = n[INCIDENT] / after - n[BASELINE] / before
        if rose <= 0:
            continue
        if n[BASELINE] / before < weights.NEXT_TO_ABSENT * n[INCIDENT] / after:
            new += rose
        else:
            mixed += rose
        best = max(best, (z, shape), key=lambda b: (b[0], b[1]))
    z, shape = clustering.tame(best[0], before, after), best[1]
    n = counts[shape]
    return ShapeShift(context, new, mixed, z, shape, (n[BASELINE], n[INCIDENT]), (before, after))


def _is_below(service: str, moved: set[str], edges: set[tuple[str, str]]) -> bool:
    """Tell whether a service that moved, other than this one, calls it directly or through others."""
    above, todo = set(), [service]
    while todo:
        callee = todo.pop()
        for caller, called in edges:
            if called == callee and caller not in above:
                above.add(caller)
                todo.append(caller)
    return bool((above - {service}) & moved)


def _shape_clue(shift: ShapeShift, mixed: float, critical: float, source: str) -> Clue:
    moved = shift.new + shift.mixed * mixed
    service, operation = shift.context
    strength = min(1.0, shift.z / critical) * saturate(moved, weights.HALF_STRUCTURE)
    what = " + ".join(shift.shape.split(SEPARATOR)) if shift.shape else "no calls"
    statement = (
        f"{printable(service, 80)}: what {printable(operation, 80)} calls changed: {printable(what, 160)} in "
        f"{share(shift.n_shape[1], shift.n[1])}, {share(shift.n_shape[0], shift.n[0])} before"
    )
    value, base = (100 * k / n for k, n in zip(shift.n_shape[::-1], shift.n[::-1], strict=True))
    finding = Finding(
        "trace",
        statement,
        round(value, 4),
        round(base, 4),
        "%",
        source,
        f"children of {printable(operation, 80)}",
    )
    significant = shift.z >= critical and moved >= weights.STRUCTURE_SHARE
    return Clue("structure", service, "service", strength, finding, None, operation, significant=significant)


def _stops(children: pd.DataFrame, critical: float) -> dict[str, dict[Context, tuple[float, float]]]:
    """Return callees after which parents stop more often than before: by callee, context and shares."""
    found: dict[str, dict[Context, tuple[float, float]]] = defaultdict(dict)
    keys = ["service", "operation", "child_operation", "target"]
    named = most_frequent(children[children["target"] != ""], keys, weights.MOST_OPERATIONS, "parents")
    for (service, operation, _, target), rows in by_key(named, keys):
        n = {w: rows[rows["window"] == w][["last", "parents"]].sum().tolist() for w in (BASELINE, INCIDENT)}
        if not n[BASELINE][1] or not n[INCIDENT][1] or target == service:
            continue
        z = share_shift(*n[BASELINE], *n[INCIDENT])
        before, after = (last / parents for last, parents in (n[BASELINE], n[INCIDENT]))
        if z >= critical / 2 and after - before >= weights.STRUCTURE_SHARE:
            found[target][service, operation] = (before, after)
    return found


def _soften(clue: Clue, explained: set[Context]) -> Clue:
    """Weaken what is charged to a caller that stops where a blamed callee answered."""
    if (clue.service, clue.operation or "") not in explained:
        return clue
    return clue.weaker(weights.MIXED_BELOW)


def _stop_clue(
    callee: str,
    contexts: dict[Context, tuple[float, float]],
    shifts: list[ShapeShift],
    critical: float,
    source: str,
) -> Clue:
    strengths = [
        min(1.0, s.z / critical) * saturate(s.new + s.mixed, weights.HALF_STRUCTURE)
        for s in shifts
        if s.context in contexts
    ]
    (service, operation), (before, after) = max(
        contexts.items(), key=lambda item: (item[1][1] - item[1][0], item[0])
    )
    statement = (
        f"callers stop after calling {printable(callee, 80)} in {len(contexts)} operations, most in "
        f"{printable(service, 80)} {printable(operation, 80)}: {figures(100 * after, 2)} %, {figures(100 * before, 2)} % before"
    )
    finding = Finding(
        "trace",
        statement,
        round(100 * after, 4),
        round(100 * before, 4),
        "%",
        source,
        "last child of each parent span",
    )
    return Clue(
        "structure",
        callee,
        "service",
        max(strengths, default=0.0),
        finding,
        (service, callee),
        significant=True,
    )


def _count_clues(children: pd.DataFrame, critical: float, source: str) -> list[Clue]:
    """Compare calls per parent span that has any; z from the spread of counts, as parents differ in how often they call."""
    clues = []
    keys = ["service", "operation", "child_service", "child_operation", "target"]
    for key, rows in by_key(most_frequent(children, keys, weights.MOST_OPERATIONS, "parents"), keys):
        sides = [_counts(rows[rows["window"] == window]) for window in (BASELINE, INCIDENT)]
        found = _count_shift(sides[0], sides[1], critical)
        if found is not None:
            clues.append(_count_clue(key, found, critical, source))
    return clues


def _counts(rows: pd.DataFrame) -> tuple[int, int, int, int]:
    """Return parents, children, the sum of squares of children per parent, and failed children."""
    parents, n, squares, errors = (int(rows[c].sum()) for c in ("parents", "n", "squares", "errors"))
    return parents, n, squares, errors


def _count_clue(
    key: tuple[str, ...], found: tuple[float, float, float, bool], critical: float, source: str
) -> Clue:
    service, operation, child_service, child_operation, target = key
    z, before, after, failing = found
    change = abs(after - before) / max(after, before)
    statement = (
        f"{printable(service, 80)}: {printable(operation, 80)} calls {printable(target or child_operation, 80)} "
        f"{figures(after)} times, {figures(before)} before" + (", after failed attempts" if failing else "")
    )
    counted = "calls per parent span that calls"
    finding = Finding("trace", statement, round(after, 6), round(before, 6), "calls", source, counted)
    return Clue(
        "structure",
        (target or child_service) if failing else service,
        "service",
        min(1.0, abs(z) / critical) * saturate(change, weights.HALF_STRUCTURE),
        finding,
        (service, target) if target else None,
        operation,
        significant=abs(z) >= critical and change >= weights.STRUCTURE_CHANGE,
    )


def _count_shift(
    before: tuple[int, int, int, int], after: tuple[int, int, int, int], critical: float
) -> tuple[float, float, float, bool] | None:
    if min(before[0], after[0]) < 5:
        return None
    rates, variance = [], 0.0
    for parents, n, squares, _ in (before, after):
        mean = n / parents
        rates.append(mean)
        variance += max(squares / parents - mean * mean, 0.05) / parents
    z = (rates[1] - rates[0]) / math.sqrt(variance)
    change = abs(rates[1] - rates[0]) / max(rates)
    if abs(z) < critical / 2 or change < weights.STRUCTURE_CHANGE:
        return None
    extra = rates[1] - rates[0]
    failed = after[3] / after[0] - before[3] / before[0]
    return z, rates[0], rates[1], extra > 0 and failed >= extra / 2
