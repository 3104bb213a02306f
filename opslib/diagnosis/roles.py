"""What each span is to its neighbours: who waits, who answers, where a service is entered, where a wait is silent.

Everything here follows from kinds, services and parents of one block; no span's meaning depends on another trace.
Where kinds are absent, a parent in another service whose only child is this span counts as its client span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opslib.core.blocks import root_rows
from opslib.core.evidence import SpanBlock, Strings
from opslib.core.windows import Window
from opslib.diagnosis.critical_path import Bools, Ints, nearest_marked, sum_upwards


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns of shape (n,), n spans of the block.

    parent: row of the parent for the walk (-1 at a root; consumers are roots: nobody waits for them).
    answers: this span is the server side of its parent's wait. waits: this span is such a wait.
    silent: a client span whose server side is unseen. entry: the work of a service begins here.
    callee: row of the span that answers, -1 where nobody does. owner: the span whose kind of time this one spends.
    shift: ns added to this span's times for the arithmetic. skewed, clipped: children that did not fit, as counted.
    """

    parent: Ints
    answers: Bools
    waits: Bools
    silent: Bools
    entry: Bools
    callee: Ints
    owner: Ints
    shift: Ints
    skewed: Bools
    clipped: Bools
    consumer: Bools


def roles(block: SpanBlock) -> Roles:
    """Derive the roles of one block's spans."""
    kind, service = _Kinds.of(block.kind), block.service.codes
    has_parent = block.parent >= 0
    above = np.where(has_parent, block.parent, 0)
    cross = has_parent & (service != service[above])
    answers = _answers(block, kind, has_parent, above, cross)
    callee = _callee(block.parent, answers, len(block))
    waits = callee >= 0
    silent = kind.client & ~waits & ~_wraps(block.parent, kind.client & has_parent & ~cross, len(block))
    entry = ~has_parent | answers | cross | kind.server | kind.consumer
    parent = np.where(kind.consumer, -1, block.parent)
    inner = has_parent & ~entry & ~kind.client & ~kind.producer
    owner = nearest_marked(block.parent, ~inner)
    owner = np.where((waits | silent)[owner], owner, np.arange(len(block)))
    shift, skewed = _shifts(block, answers)
    clipped = _clipped(block, has_parent & ~answers & ~kind.consumer, above)
    return Roles(
        parent,
        answers,
        waits,
        silent,
        entry,
        callee,
        owner,
        shift,
        skewed,
        clipped,
        kind.consumer & has_parent,
    )


@dataclass(frozen=True, slots=True)
class _Kinds:
    client: Bools
    server: Bools
    producer: Bools
    consumer: Bools
    absent: Bools

    @staticmethod
    def of(column: Strings) -> _Kinds:
        client, server, producer, consumer, internal = (
            where(column, name) for name in ("CLIENT", "SERVER", "PRODUCER", "CONSUMER", "INTERNAL")
        )
        absent = ~(client | server | producer | consumer | internal)
        return _Kinds(client, server, producer, consumer, absent)


def where(column: Strings, value: str) -> Bools:
    """Return which rows of a dictionary-encoded column hold `value`."""
    return np.asarray(column.codes == column.code(value))


def _answers(block: SpanBlock, kind: _Kinds, has_parent: Bools, above: Ints, cross: Bools) -> Bools:
    """Server side of a client span, by kind; where the parent has no kind, an only child in another service."""
    asks = kind.client | kind.producer | kind.consumer
    by_kind = has_parent & kind.client[above] & (kind.server | (cross & ~asks))
    siblings = np.bincount(block.parent[has_parent], minlength=len(block))
    without = cross & kind.absent[above] & (kind.absent | kind.server) & (siblings[above] == 1)
    return np.asarray(by_kind | without)


def _callee(parent: Ints, answers: Bools, n: int) -> Ints:
    callee = np.full(n, -1, np.int64)
    rows = np.flatnonzero(answers)[::-1]  # of several answers the first row is kept
    callee[parent[rows]] = rows
    return callee


def _wraps(parent: Ints, attempts: Bools, n: int) -> Bools:
    """Client spans that hold client spans of their own service (a library's retries) are no wait themselves."""
    wraps = np.zeros(n, np.bool_)
    rows = np.flatnonzero(attempts)
    wraps[parent[rows]] = True
    return wraps


def _shifts(block: SpanBlock, answers: Bools) -> tuple[Ints, Bools]:
    """Centre the answers that do not fit their wait; each shift moves all below it.

    Several answers to one wait move together. An answer longer than its wait outlives it: it is moved only if it
    does not even start within, and clipped like every other child.
    """
    n = len(block)
    rows = np.flatnonzero(answers)
    wait = block.parent[rows]
    first, last = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).min)
    np.minimum.at(first, wait, block.start[rows])
    np.maximum.at(last, wait, block.end[rows])
    skewed = np.zeros(n, np.bool_)
    skewed[rows] = (first[wait] < block.start[wait]) | (last[wait] > block.end[wait])
    moved = np.flatnonzero(skewed)
    if not len(moved):
        return np.zeros(n, np.int64), skewed
    wait = block.parent[moved]
    spare = (block.end[wait] - block.start[wait]) - (last[wait] - first[wait])
    starts_within = (first[wait] >= block.start[wait]) & (first[wait] < block.end[wait])
    target = np.where((spare < 0) & starts_within, first[wait], block.start[wait] + np.maximum(spare, 0) // 2)
    shift = np.zeros(n, np.int64)
    shift[moved] = target - first[wait]
    return sum_upwards(block.parent, shift), skewed


def _clipped(block: SpanBlock, children: Bools, above: Ints) -> Bools:
    outside = (block.start < block.start[above]) | (block.end > block.end[above])
    return np.asarray(children & outside)


def trace_windows(block: SpanBlock, windows: tuple[Window | None, ...]) -> Ints:
    """Return the window of each trace (rows of `trace_ids`): the first of `windows` that holds its root's start, or -1."""
    root_start = block.start[root_rows(block)]
    index = np.full(len(block.trace_ids), -1, np.int64)
    for number, window in reversed(list(enumerate(windows))):
        if window is not None:
            index[(root_start >= window.start_ns) & (root_start < window.end_ns)] = number
    return index
