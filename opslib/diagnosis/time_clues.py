"""Clues from time: places that take longer per occurrence than before, beyond chance and beyond what slowed everything.

A machine that is busy slows all work, some of it more. The smallest growth among all services' own work is taken for such
a common factor and charged to nobody; what grew must exceed it by as much again (of a large one, by the factor e) to be
called the cause, unless it is most of all added time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from opslib.core.model import Budget, Finding
from opslib.core.words import duration, figures, printable
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.compare import Shift, Yardstick

MS = 1_000_000


def common_growth(found: Sequence[Shift]) -> float:
    """Return the logarithm of the growth that all share, at least 0; of fewer than three parts nothing can be said.

    Of three services or more their own work counts alone: a busy machine stretches work, not the time that a packet is
    under way. Of fewer, the waits between them count too, lest one queue behind the other be taken for a busy machine.
    A dependency need not be on that machine.
    """
    often = [
        s
        for s in found
        if min(s.before.n, s.after.n) >= weights.MIN_CALLS and s.place.kind in ("service", "edge")
    ]
    work = [s for s in often if s.place.kind == "service"]
    parts = work if len({s.place.service for s in work}) >= 3 else often
    if len({s.place for s in parts}) < 3:
        return 0.0
    return max(0.0, min(s.log_ratio for s in parts))


def budget_shares(budget: Budget) -> dict[str, float]:
    """Return by segment the percent of all added time, of segments that grew."""
    grown = {s.segment: s.delta_ns for s in budget.segments if s.delta_ns > 0}
    whole = sum(grown.values())
    return {name: 100 * delta / whole for name, delta in grown.items()}


def time_clues(found: Sequence[Shift], by: Yardstick) -> list[Clue]:
    """Charge each place whose time grew."""
    callers, stopped = _callers_to_blame(found, by), _stopped(found, by)
    clues = []
    for shift in found:
        strength = _strength(shift, by)
        if strength > 0 and shift.place.kind != "unexplained":
            clue = _clue(shift, strength, by, callers)
            held_up = shift.place.kind != "service" and shift.caller in stopped
            clues.append(clue.weaker(weights.STOPPED) if held_up else clue)
    return clues


def _strength(shift: Shift, by: Yardstick) -> float:
    """How much of the calls it is in the added time is, by how much it grew, and how sure that is."""
    share, growth = by.share(shift), by.growth(shift)
    if shift.z < by.critical / 2 or share <= 0 or growth <= 0:
        return 0.0
    size = saturate(share, weights.HALF_SHARE) * saturate(growth, weights.HALF_LOG_RATIO)
    matters = 1 - weights.SHARE_MATTERS + weights.SHARE_MATTERS * by.shares.get(shift.place.label, 0.0) / 100
    return min(1.0, shift.z / by.critical) * math.sqrt(size) * matters


def is_significant(shift: Shift, by: Yardstick) -> bool:
    """Tell whether one shift is beyond chance and large enough to act on."""
    outweighs = by.shares.get(shift.place.label, 0.0) >= weights.MOST_PERCENT
    as_much_again = 0.0 if outweighs else min(by.common, weights.COMMON_MATTERS)
    return _is_large(shift, by) and by.growth(shift) >= math.log(weights.PART_RATIO) + as_much_again


def _is_large(shift: Shift, by: Yardstick) -> bool:
    """Tell whether one shift is beyond chance, and large beside what slowed everything."""
    return (
        shift.z >= by.critical
        and by.growth(shift) >= math.log(weights.PART_RATIO)
        and by.share(shift) >= weights.PART_SHARE
        and shift.added_ns >= weights.SLOWER_NS
    )


def _callers_to_blame(found: Sequence[Shift], by: Yardstick) -> set[str]:
    """Return callers whose edges to two or more callees all rose alike: the wait is theirs, not the callees'.

    But for a callee whose own work grew by more: whoever is slow is also late to begin.
    """
    own = {s.place.service: s.added_ns for s in found if s.place.kind == "service" and _is_large(s, by)}
    by_caller: dict[str, dict[str, list[Shift]]] = defaultdict(lambda: defaultdict(list))
    for shift in found:
        if shift.place.kind in ("edge", "dependency"):
            by_caller[shift.caller][shift.place.callee].append(shift)
    blamed = set()
    for caller, callees in by_caller.items():
        often = {callee: shifts for callee, shifts in callees.items() if sum(s.after.n for s in shifts) >= 3}
        added = {callee: _mean_added(shifts) for callee, shifts in often.items()}
        waits = [ns for callee, ns in added.items() if ns > own.get(callee, 0.0)]
        rose = all(max(s.z for s in shifts) >= by.critical / 2 for shifts in callees.values())
        if len(waits) >= 2 and rose and min(waits) > 0 and max(waits) <= weights.ALIKE * min(waits):
            blamed.add(caller)
    return blamed


def _stopped(found: Sequence[Shift], by: Yardstick) -> set[str]:
    """Return services that were held up as a whole: own work and every wait into and out of them grew.

    A process that gets no processor is late at both ends of every wait that it takes part in. One cause explains them
    all, so the waits out of it are weak evidence against its callees.
    """
    stopped = set()
    for own in found:
        service = own.place.service
        if own.place.kind != "service" or not _is_large(own, by):
            continue
        waits: dict[tuple[str, str], list[Shift]] = defaultdict(list)
        for s in found:
            if s.place.kind in ("edge", "dependency") and service in (s.caller, s.place.callee):
                waits[s.caller, s.place.callee].append(s)
        rose = all(max(s.z for s in group) >= by.critical / 2 for group in waits.values())
        added = {ends: _mean_added(group) for ends, group in waits.items()}
        into = [ns for (_, callee), ns in added.items() if callee == service]
        most = max(added.values(), default=0.0)
        late = all(ns >= weights.STOPPED_INTO * most for ns in into)
        if len(added) >= 2 and rose and late and own.added_ns >= weights.STOPPED_SHARE * most:
            stopped.add(service)
    return stopped


def _mean_added(shifts: Sequence[Shift]) -> float:
    n = sum(s.after.n for s in shifts)
    return sum(s.added_ns * s.after.n for s in shifts) / max(n, 1)


def _clue(shift: Shift, strength: float, by: Yardstick, callers: set[str]) -> Clue:
    place, edge = shift.place, (shift.caller, shift.place.callee) if shift.place.callee else None
    before, after = shift.before.mean_ns, shift.after.mean_ns
    statement = f"{_what(shift)} rose from {duration(before)} to {duration(after)} per call{_part(shift, by)}"
    query = f"{place.label}, operation {printable(shift.operation, 80)}"
    return Clue(
        "time",
        shift.caller if edge and shift.caller in callers else place.service,
        "edge" if place.kind == "edge" else "dependency" if place.kind == "dependency" else "service",
        strength,
        Finding("trace", statement, round(after / MS, 6), round(before / MS, 6), "ms", by.source, query),
        edge,
        shift.operation,
        silent=place.silent,
        significant=is_significant(shift, by),
    )


def _what(shift: Shift) -> str:
    place = shift.place
    if place.kind == "service":
        return f"{printable(place.service, 80)}: own work"
    what = "waiting for the dependency" if place.kind == "dependency" else "waiting between caller and callee"
    return f"{printable(shift.caller, 80)} -> {printable(place.callee, 80)}: {what}"


def _part(shift: Shift, by: Yardstick) -> str:
    part = by.shares.get(shift.place.label, 0.0)
    return f", {figures(part, 2)} % of the added time" if part >= 0.5 else ""
