"""How calls came to be as they are: when the present state began, and since when there had been no other change.

Durations, failures and what calls consist of are looked at apart: where calls become quicker by chance while they begin
to fail, the one would hide the other. What was before is no single state: faults come and end. The present one has an
onset where it is worse than calls of its kind were at their best; where calls never consisted of the same, and nothing
is worse, they changed too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opslib.core.model import Onset
from opslib.diagnosis import weights
from opslib.diagnosis.changepoints import SHORTEST, Floats, SeriesOf, Split, find_splits, shortest

Ints = NDArray[np.int64]

_FAILURES = 3  # fewer failed calls are no state
_UPPER = (0.75, 0.9, 0.97)  # faults often come in bursts and leave the median alone
_NEAR = 1 / 3  # of the way from the best state to the present one
_MOST = 20_000  # calls that are looked at; of more, every second, third ...


@dataclass(frozen=True, slots=True)
class Course:
    """The onset of the present state, None where calls are as they were before.

    steady_ns: since when calls had been alike up to the onset, or without one up to now; None: as far back as they go.
    """

    onset: Onset | None = None
    steady_ns: int | None = None


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls by time: start and duration in ns, 1.0 where failed, number of spans."""

    times: Ints
    durations: Ints
    failed: Floats
    spans: Ints

    def size(self, part: Ints) -> float:
        """Return how many spans a call of the part has in the mean."""
        return float(self.spans[part].mean())


@dataclass(frozen=True, slots=True)
class _Aspect:
    """Calls seen from one side: its splits, the parts between them (rows), how bad a part is, which of two is worse."""

    splits: tuple[Split, ...]
    parts: tuple[Ints, ...]
    level: Callable[[Ints], float]
    worse: Callable[[Ints, Ints], bool]
    drained: Callable[[Ints, Ints], bool]  # are most calls of the second as well as those of the first

    def alike(self, one: Ints, other: Ints) -> bool:
        return not self.worse(one, other) and not self.worse(other, one)

    def cut_also_by(self, *others: _Aspect) -> _Aspect:
        """Return the aspect with what others show as changes too, the surest first, where it saw none nearby."""
        n, splits = len(np.concatenate(self.parts)), list(self.splits)
        for split in sorted((s for o in others for s in o.splits), key=lambda s: (-s.z, s.at)):
            if all(abs(split.at - kept.at) >= shortest(n) for kept in splits):
                splits.append(split)
        splits.sort(key=lambda s: s.at)
        return replace(self, splits=tuple(splits), parts=_parts(n, splits))


def find_onset(times_ns: Ints, durations_ns: Ints, errors: NDArray[np.bool_]) -> Onset | None:
    """Return when calls became as bad as they are now, None where they are not worse than before. As `find_course`."""
    return find_course(times_ns, durations_ns, errors, np.ones_like(times_ns)).onset


def find_course(times_ns: Ints, durations_ns: Ints, errors: NDArray[np.bool_], spans: Ints) -> Course:
    """Return the onset of the present state and since when there had been no other change before it.

    Arrays of one length, in any order: start and duration in ns, failed or not, number of spans. A fault that was
    cleared is no onset; of a fault that grew it is the last time before which calls were as well as they ever were.
    """
    order = np.lexsort((spans, errors, durations_ns, times_ns))
    order = order[:: -(-len(order) // _MOST) or 1]
    calls = _Calls(
        times_ns[order], durations_ns[order], errors[order].astype(np.float64), spans[order].astype(np.int64)
    )
    if len(order) < 2 * SHORTEST:
        return Course()
    time, failing, structure = _time(calls), _failing(calls), _structure(calls)
    time, failing = time.cut_also_by(failing, structure), failing.cut_also_by(time, structure)
    usual = _usual(structure, calls)
    found = [split for aspect in (time, failing) if (split := _change(aspect, calls, usual)) is not None]
    split = max(found, key=lambda each: each.z) if found else _new_structure(structure, usual)
    steady = max(_steady_since(aspect, split) for aspect in (time, failing, structure))
    return Course(
        None if split is None else _onset(calls.times, split), int(calls.times[steady]) if steady else None
    )


def _time(calls: _Calls) -> _Aspect:
    durations = calls.durations
    return _aspect(
        len(durations),
        lambda part: _ranks(durations[part], _UPPER),
        level=lambda part: float(np.log(durations[part].mean() + weights.SMOOTHING_NS)),
        worse=lambda before, after: _slower(durations[before], durations[after]),
        drained=lambda before, after: not _slower(durations[before], durations[after], (np.median,)),
    )


def _failing(calls: _Calls) -> _Aspect:
    failed = calls.failed
    return _aspect(
        len(failed),
        lambda part: (failed[part],),
        level=lambda part: float(failed[part].mean()),
        worse=lambda before, after: _fails_more(failed[before], failed[after]),
    )


def _structure(calls: _Calls) -> _Aspect:
    return _aspect(
        len(calls.spans),
        lambda part: _ranks(calls.spans[part], ()),
        level=calls.size,
        worse=lambda before, after: not _same_size(calls.size(before), calls.size(after)),
    )


def _aspect(
    n: int,
    series_of: SeriesOf,
    level: Callable[[Ints], float],
    worse: Callable[[Ints, Ints], bool],
    drained: Callable[[Ints, Ints], bool] = lambda *_: False,
) -> _Aspect:
    splits = find_splits(n, series_of)
    return _Aspect(splits, _parts(n, splits), level, worse, drained)


def _parts(n: int, splits: Sequence[Split]) -> tuple[Ints, ...]:
    bounds = [0, *(split.at for split in splits), n]
    return tuple(np.arange(a, b) for a, b in pairwise(bounds))


def _ranks(values: Ints, upper: Sequence[float]) -> list[Floats]:
    """Return the ranks of values, 0 to 1, and whether they are above quantiles."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = ((np.cumsum(count) - count / 2)[place] / max(len(values), 1)).astype(np.float64)
    return [rank, *((rank > quantile).astype(np.float64) for quantile in upper)]


def _usual(structure: _Aspect, calls: _Calls) -> float:
    """Return how many spans calls usually have: in most of the stretches; of as many, where fewest calls fail."""
    stretches = [structure.parts[0]]
    for part in structure.parts[1:]:
        if structure.alike(stretches[-1], part):
            stretches[-1] = np.concatenate([stretches[-1], part])
        else:
            stretches.append(part)
    alike = [sum(structure.alike(one, other) for other in stretches) for one in stretches]
    failing = [float(calls.failed[part].mean()) for part in stretches]
    best = min(range(len(stretches)), key=lambda i: (-alike[i], round(failing[i], 2), i))
    return calls.size(stretches[best])


def _change(aspect: _Aspect, calls: _Calls, usual: float) -> Split | None:
    """Return the last split before which calls were as well as they ever were, where they are worse at the end."""
    peers = _peers(aspect.parts, calls, usual)
    if not peers:
        return None
    present = aspect.parts[-1]
    level = [aspect.level(part) for part in aspect.parts]
    best = min(peers, key=lambda i: (level[i], i))
    as_good = np.concatenate(
        [aspect.parts[i] for i in peers if not aspect.worse(aspect.parts[best], aspect.parts[i])]
    )
    if not aspect.worse(as_good, present):
        return None
    last = worst = best
    for i in range(best + 1, len(level)):
        # What is far nearer to the best than to the worst is a restless stretch, or queues that drain after a fault.
        restless = level[i] <= _near(level[best], level[-1])
        drained = level[i] <= _near(level[best], level[worst]) and aspect.drained(as_good, aspect.parts[i])
        if drained or (i in peers and (restless or not aspect.worse(as_good, aspect.parts[i]))):
            last = worst = i
        elif level[i] > level[worst]:
            worst = i
    return aspect.splits[last] if last < len(aspect.splits) else None


def _near(best: float, worst: float) -> float:
    return best + _NEAR * (worst - best)


def _peers(parts: Sequence[Ints], calls: _Calls, usual: float) -> list[int]:
    """Return the earlier parts that the last one may be compared with: calls that do less work are no better ones.

    Those whose calls consist of as much as usual; but where the present calls do not, and directly before them was
    a time of calls like them, that time.
    """
    sizes = [calls.size(part) for part in parts]
    earlier = range(len(parts) - 1)
    directly = []
    for i in reversed(earlier):
        if not _same_size(sizes[i], sizes[-1]):
            break
        directly.append(i)
    if directly and not _same_size(sizes[-1], usual):
        return directly
    return [i for i in earlier if _same_size(sizes[i], usual)] or list(earlier)


def _new_structure(structure: _Aspect, usual: float) -> Split | None:
    """Return since when calls consist of more or less than usual, None if they do not."""
    as_usual = [i for i, part in enumerate(structure.parts) if _same_size(structure.level(part), usual)]
    return structure.splits[max(as_usual)] if as_usual and max(as_usual) < len(structure.splits) else None


def _steady_since(aspect: _Aspect, onset: Split | None) -> int:
    """Return the first row from which calls were alike until the onset, or up to now."""
    end = n = int(aspect.parts[-1][-1]) + 1
    last = len(aspect.parts) - 1
    if onset is not None:
        end = onset.at
        # A split of the same change, seen from another side, is where the time before it ends.
        last = sum(split.at < end - shortest(n) for split in aspect.splits)
    start = int(aspect.parts[last][0])
    for i in reversed(range(last)):
        if end - start >= shortest(n) and not aspect.alike(aspect.parts[i], aspect.parts[last]):
            break
        start = int(aspect.parts[i][0])
    return start


def _onset(times: Ints, split: Split) -> Onset:
    at = int(times[split.at])
    early, late = int(times[max(split.first - 1, 0)]), int(times[split.last])
    return Onset(at, round(max(at - early, late - at) / 1e9, 3))


def _slower(before: Ints, after: Ints, statistics: Sequence[Callable[[Ints], Any]] = ()) -> bool:
    """Tell whether durations are longer by an amount that matters: in the mean, at the median or at the ninth decile."""
    for statistic in statistics or (np.mean, np.median, _upper):
        old, new = float(statistic(before)), float(statistic(after))
        if new >= weights.ONSET_RATIO * old and new - old >= weights.SLOWER_NS:
            return True
    return False


def _fails_more(before: Floats, after: Floats) -> bool:
    shares = float(before.mean()), float(after.mean())
    several = float(after.sum()) >= _FAILURES
    return several and shares[1] >= weights.ONSET_RATIO * shares[0] + 2 * weights.FAILING_SHARE


def _same_size(one: float, other: float) -> bool:
    return abs(one - other) <= weights.STRUCTURE_CHANGE * max(one, other)


def _upper(durations: Ints) -> float:
    return float(np.quantile(durations, 0.9))
