"""Calls of a service: a call starts where its caller starts to wait.

That is the caller's client span, or the root if the service is the root, else the service's own first span with the
edge unseen. Each client attempt is a call, also one that was never answered. A call within another call of the same
service belongs to that one. Without a service every root operation is a call of its own service.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opslib.core.evidence import ORPHAN, PEER_TYPES, ROOT, SpanBlock
from opslib.diagnosis.critical_path import Bools, Ints, nearest_marked
from opslib.diagnosis.roles import Roles, where


@dataclass(frozen=True, slots=True)
class Calls:
    """k calls of one block, by row of their root, ascending.

    root: (k,) row where the call starts. entry: (k,) row of the service's own first span, -1 where it is unseen.
    unseen: (k,) no caller's wait is known. call_of: (n,) the call that each span belongs to, -1 for none.
    """

    root: Ints
    entry: Ints
    unseen: Bools
    call_of: Ints


def find_calls(block: SpanBlock, role: Roles, service: str | None) -> Calls:
    """Return the calls of `service` in the block, or all root operations if it is None."""
    n = len(block)
    entry_of = np.full(n, -1, np.int64)
    starts = np.zeros(n, np.bool_)
    unseen = np.zeros(n, np.bool_)
    if service is None:
        rows = _tops(block)
        starts[rows], entry_of[rows] = True, rows
    else:
        own = np.flatnonzero(role.entry & where(block.service, service))[::-1]  # the first row wins
        root = _start_of(block, role, own)
        starts[root], entry_of[root] = True, own
        unseen[root] = (root == own) & (block.parent[own] != ROOT)
        silent = role.silent & where(block.peer, service) & (block.peer_type != PEER_TYPES.index("none"))
        starts |= silent
    root, call_of = _outermost(role.parent, starts)
    return Calls(root, entry_of[root], unseen[root], call_of)


def _tops(block: SpanBlock) -> Ints:
    """Return the roots; where a trace has none, its orphans."""
    roots = block.parent == ROOT
    has_root = np.zeros(len(block.trace_ids), np.bool_)
    has_root[block.trace[roots]] = True
    return np.flatnonzero(roots | ((block.parent == ORPHAN) & ~has_root[block.trace]))


def _start_of(block: SpanBlock, role: Roles, own: Ints) -> Ints:
    """Return where the wait for each entry span starts: its parent's row if that waits for it, else itself."""
    above = np.maximum(block.parent[own], 0)
    asked = (block.parent[own] >= 0) & where(block.kind, "CLIENT")[above]
    return np.where(role.answers[own] | asked, above, own)


def _outermost(parent: Ints, starts: Bools) -> tuple[Ints, Ints]:
    n = len(parent)
    label = nearest_marked(parent, starts)
    label_above = np.where(parent >= 0, label[np.maximum(parent, 0)], n)
    outer = starts & (label_above == n)
    root = np.flatnonzero(outer)
    index = np.append(np.full(n, -1, np.int64), -1)
    index[root] = np.arange(len(root))
    top = label if len(root) == int(starts.sum()) else nearest_marked(parent, outer)
    return root, index[top]
