"""Where the time of one mean call goes, in integers that add up exactly.

Columns are means at the incident's operation mix; `mix` holds what the change of mix explains, and operations that the
baseline does not have. Every column is an exact fraction floored once; what the floors leave goes to `unexplained`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import pandas as pd

from opslib.core.model import Budget, Segment
from opslib.diagnosis.critical_path import Bools, Ints
from opslib.diagnosis.groups import group
from opslib.diagnosis.knowledge import UNEXPLAINED, Knowledge
from opslib.diagnosis.partial import BASELINE, INCIDENT, Partial

MIX = "mix"
_TAIL = 20  # the slow cohort is the slowest call of every twenty


@dataclass(frozen=True, slots=True)
class Times:
    """Exact sums in ns by operation: calls, and time by (operation, label). One window's cohort."""

    calls: dict[str, int]
    total: dict[str, int]
    by_label: dict[tuple[str, str], int]

    @property
    def n(self) -> int:
        return sum(self.calls.values())


def budgets(partial: Partial, knowledge: Knowledge) -> tuple[Budget, Budget]:
    """Return the budget of all calls and the one of the slowest ceil(n/20) of each window."""
    labels = [knowledge.place(segment).label for segment in partial.segments]
    window = partial.calls["window"].to_numpy()
    everything = np.ones(len(window), np.bool_)
    slow = _slowest(partial.calls, window)
    return (
        _budget(_times(partial, labels, window, everything), "all"),
        _budget(_times(partial, labels, window, slow), "slow"),
    )


def _slowest(calls: pd.DataFrame, window: Ints) -> Bools:
    """Mark the slowest calls of each window; of equal ones the first by trace id."""
    slow = np.zeros(len(calls), np.bool_)
    duration = calls["duration_ns"].to_numpy()
    for index in (INCIDENT, BASELINE):
        rows = np.flatnonzero(window == index)
        order = rows[np.argsort(-duration[rows], kind="stable")]
        slow[order[: -(-len(rows) // _TAIL)]] = True
    return slow


def _times(partial: Partial, labels: list[str], window: Ints, cohort: Bools) -> dict[int, Times]:
    names, operation = np.unique(partial.calls["operation"].to_numpy(dtype=object), return_inverse=True)
    label_names, label_of = np.unique(np.array(labels, dtype=object), return_inverse=True)
    kept = cohort[partial.part_call]
    call, label = partial.part_call[kept], label_of[partial.part_segment[kept]]
    times = {}
    for index in (INCIDENT, BASELINE):
        rows = np.flatnonzero(cohort & (window == index))
        parts = np.flatnonzero(window[call] == index)
        by_label = _sums([operation[call[parts]], label[parts]], partial.part_ns[kept][parts])
        total = _sums([operation[rows]], partial.calls["duration_ns"].to_numpy()[rows])
        count = _sums([operation[rows]], np.ones(len(rows), np.int64))
        times[index] = Times(
            {names[o]: n for (o,), n in count.items()},
            {names[o]: ns for (o,), ns in total.items()},
            {(names[o], label_names[s]): ns for (o, s), ns in by_label.items()},
        )
    return times


def _sums(keys: list[Ints], value: Ints) -> dict[tuple[int, ...], int]:
    found = group(keys)
    columns = [key[found.sample].tolist() for key in keys]
    return dict(zip(zip(*columns, strict=True), found.sum(value).tolist(), strict=True))


def _budget(times: dict[int, Times], cohort: Literal["all", "slow"]) -> Budget:
    baseline, incident = times[BASELINE], times[INCIDENT]
    before, mix_before = _at_mix(baseline, incident)
    after, mix_after = _by_label(incident, set(baseline.calls))
    totals = _mean(baseline), _mean(incident)
    labels = sorted({*before, *after} - {UNEXPLAINED.label})
    columns = [
        _column({**dict.fromkeys(labels, Fraction(0)), **means}, mix, total)
        for means, mix, total in ((before, mix_before, totals[0]), (after, mix_after, totals[1]))
    ]
    ordered = sorted(labels, key=lambda name: (columns[0][name] - columns[1][name], name))
    segments = tuple(
        Segment(name, columns[0][name], columns[1][name]) for name in (*ordered, MIX, UNEXPLAINED.label)
    )
    return Budget(baseline.n, incident.n, Segment("total", *totals), segments, cohort)


def _mean(times: Times) -> int:
    return sum(times.total.values()) // times.n if times.n else 0


def _at_mix(baseline: Times, incident: Times) -> tuple[dict[str, Fraction], Fraction]:
    """Baseline means weighted by the incident's share of each operation, and what the mix leaves of the plain mean."""
    means: dict[str, Fraction] = defaultdict(Fraction)
    if not baseline.n:
        return means, Fraction(0)
    for (operation, label), ns in sorted(baseline.by_label.items()):
        calls = incident.calls.get(operation, 0)
        if calls:
            means[label] += Fraction(calls * ns, baseline.calls[operation] * incident.n)
    plain = Fraction(sum(baseline.total.values()), baseline.n)
    return means, plain - sum(means.values(), Fraction(0))


def _by_label(incident: Times, common: set[str]) -> tuple[dict[str, Fraction], Fraction]:
    """Incident means; operations that the baseline does not have are mix, unless there is no baseline at all."""
    means: dict[str, Fraction] = defaultdict(Fraction)
    mix = Fraction(0)
    for (operation, label), ns in sorted(incident.by_label.items()):
        part = Fraction(ns, incident.n)
        if operation in common or not common:
            means[label] += part
        else:
            mix += part
    return means, mix


def _column(means: dict[str, Fraction], mix: Fraction, total: int) -> dict[str, int]:
    floors = {name: int(value // 1) for name, value in means.items() if name != UNEXPLAINED.label}
    floors[MIX] = int(mix // 1)
    floors[UNEXPLAINED.label] = total - sum(floors.values())
    return floors
