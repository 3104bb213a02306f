"""Critical path of many intervals at once, level by level on arrays; each nanosecond goes to exactly one span.

A span's window is walked backwards. Its children are taken latest end first (ties: earlier start, then row); each takes
[max(start, lo), min(end, t)] if that is not empty, the gap above it is the span's own time, and t falls to the child's
start. So t is a running minimum within siblings, and one pass over sorted arrays serves a whole level of all traces.
Invariant: the own times below a root sum to the root's duration. The rule is the one of CRISP (Zhang et al., ATC'22)
without its overlap tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FAR = 1 << 61  # times beyond this are no unix nanoseconds; clipped, so that differences cannot overflow
_ROOM = float(1 << 61)  # bound of what one running minimum may span


@dataclass(frozen=True, slots=True)
class Tree:
    """Effective times (n,) with end >= start, and each span's children as a slice of `order`, latest end first."""

    start: Ints
    end: Ints
    order: Ints
    first: Ints
    count: Ints


def tree(parent: Ints, start: Ints, end: Ints) -> Tree:
    """Index the children of every span. `parent`: row of the parent, negative at a root; times in ns."""
    begin = np.clip(start, -_FAR, _FAR)
    finish = np.maximum(np.clip(end, -_FAR, _FAR), begin)
    count = np.bincount(parent[parent >= 0], minlength=len(parent)).astype(np.int64)
    kids = np.flatnonzero(parent >= 0)
    order = kids[np.argsort(parent[kids], kind="stable")]
    order = _latest_end_first(order, parent, begin, finish, count)
    return Tree(begin, finish, order, np.cumsum(count) - count, count)


def _latest_end_first(order: Ints, parent: Ints, start: Ints, end: Ints, count: Ints) -> Ints:
    """Sort siblings among themselves; only children, the most of a trace, stay where they are."""
    many = np.flatnonzero(count[parent[order]] > 1)
    rows = order[many]
    order[many] = rows[np.lexsort((start[rows], -end[rows], parent[rows]))]
    return order


def walk(spans: Tree, roots: Ints) -> tuple[Ints, Bools]:
    """Walk backwards from each root. Returns own time (n,) in ns and which spans were reached (n,).

    No root may lie below another one: a span then belongs to one root at most.
    """
    own = np.zeros(len(spans.start), np.int64)
    reached = np.zeros(len(spans.start), np.bool_)
    level, lo, hi = roots, spans.start[roots], spans.end[roots]
    while len(level):
        own[level] = hi - lo
        reached[level] = True
        has = spans.count[level] > 0
        parents, lo, hi = level[has], lo[has], hi[has]
        steps = [
            _descend(spans, own, parents[part], lo[part], hi[part])
            for part in _parts(hi - lo)
            if len(parents)
        ]
        level, lo, hi = (
            (np.concatenate(column) for column in zip(*steps, strict=True)) if steps else (roots[:0],) * 3
        )
    return own, reached


def _parts(width: Ints) -> list[slice]:
    """Cut a level where its widths would sum beyond what one int64 running minimum can hold: almost never."""
    total = np.cumsum(width.astype(np.float64) + 1.0)
    if not len(width) or total[-1] < _ROOM:
        return [slice(0, len(width))]
    bin_of = np.floor(total / _ROOM)
    cuts = [0, *(np.flatnonzero(np.diff(bin_of) > 0) + 1).tolist(), len(width)]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _descend(spans: Tree, own: Ints, parents: Ints, lo: Ints, hi: Ints) -> tuple[Ints, Ints, Ints]:
    """Let the children of one level take their parts; subtract these from the parents' own time."""
    count = spans.count[parents]
    seat = np.repeat(np.arange(len(parents)), count)  # which parent each child belongs to
    heads = np.cumsum(count) - count
    kid = spans.order[spans.first[parents][seat] + np.arange(len(seat)) - heads[seat]]
    base, width = lo[seat], (hi - lo)[seat]
    child_lo = np.maximum(spans.start[kid] - base, 0)
    child_hi = np.minimum(spans.end[kid] - base, width)
    fits = child_hi > child_lo
    before = _time_left(np.where(fits, child_lo, width), width, seat, heads, hi - lo)
    taken = fits & (child_lo < before)
    child_hi = np.minimum(child_hi, before)[taken]
    kid, seat, child_lo = kid[taken], seat[taken], child_lo[taken]
    np.subtract.at(own, parents[seat], child_hi - child_lo)
    return kid, child_lo + lo[seat], child_hi + lo[seat]


def _time_left(lowers_to: Ints, width: Ints, seat: Ints, heads: Ints, widths: Ints) -> Ints:
    """Return t before each child: the smallest start among the siblings before it, the parent's end for the first."""
    room = widths + 1
    # the shift falls from parent to parent, so that the running minimum restarts at each
    shift = (np.cumsum(room[::-1])[::-1] - room)[seat]
    running = np.minimum.accumulate(lowers_to + shift) - shift
    before = np.empty_like(running)
    before[1:] = running[:-1]
    before[heads] = widths
    return np.asarray(np.minimum(before, width))


def nearest_marked(parent: Ints, marked: Bools) -> Ints:
    """Return for each span the nearest marked span upwards, itself included, or n where there is none.

    Pointer jumping: as many passes as the logarithm of the depth.
    """
    n = len(parent)
    jump = np.append(np.where(parent >= 0, parent, n), n)
    jump[:n][marked] = np.flatnonzero(marked)
    while True:
        further = jump[jump]
        if np.array_equal(further, jump):
            return np.asarray(jump[:n])
        jump = further


def sum_upwards(parent: Ints, value: Ints) -> Ints:
    """Return for each span the sum of `value` over itself and all its ancestors, by pointer jumping."""
    n = len(parent)
    jump = np.append(np.where(parent >= 0, parent, n), n)
    total = np.append(value, 0)
    while (jump[:n] < n).any():
        total = total + total[jump]
        jump = jump[jump]
    return np.asarray(total[:n])
