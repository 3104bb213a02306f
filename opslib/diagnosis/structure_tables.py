"""Who calls whom how often, per parent span: counts of children by kind, which came last, and the set of kinds.

A *kind* of child is its service, its operation and whom it waits for. A *shape* is the set of kinds of one parent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opslib.diagnosis.critical_path import Ints
from opslib.diagnosis.groups import Groups, group
from opslib.diagnosis.mapped import Mapped
from opslib.diagnosis.segments import name_of

_PARENT = ["window", "group", "service", "operation"]
STRUCTURE_KEYS = {
    # parent operations by the set of kinds below them: n
    "shapes": [*_PARENT, "shape"],
    # kinds of children per parent operation: n children, sum of squares per parent, parents that have one, parents
    # where it started last, errors
    "children": [*_PARENT, "child_service", "child_operation", "target"],
}
STRUCTURE_VALUES = {"shapes": ("n",), "children": ("n", "squares", "parents", "last", "errors")}
_LONGEST = 400  # characters of a shape; longer ones are named by their digest
SEPARATOR = " + "


@dataclass(frozen=True, slots=True)
class _Children:
    """All children inside calls, and their groups by (parent, kind)."""

    rows: Ints
    kind: Ints  # of each row
    target: Ints  # code of each row, see target_of
    per_parent: Groups


def structure_tables(mapped: Mapped) -> dict[str, pd.DataFrame]:
    """Return the tables `shapes` and `children` of one block."""
    children = _children_of(mapped)
    return {"shapes": _shapes(mapped, children), "children": _child_table(mapped, children)}


def _children_of(mapped: Mapped) -> _Children:
    block, role = mapped.block, mapped.role
    starts = np.zeros(len(block), np.bool_)
    starts[mapped.calls.root] = True
    rows = np.flatnonzero((mapped.window >= 0) & (role.parent >= 0) & ~starts)
    target = target_of(mapped, rows)
    kind = group([block.service.codes[rows], block.name.codes[rows], target]).of_row
    return _Children(rows, kind, target, group([role.parent[rows], kind]))


def target_of(mapped: Mapped, rows: Ints) -> Ints:
    """Return whom a child waits for: a service's code, or beyond these a peer's; -1 if it waits for nobody."""
    block, role = mapped.block, mapped.role
    callee = role.callee[rows]
    peer = block.peer.codes[rows].astype(np.int64)
    silent = np.where(role.silent[rows] & (peer >= 0), len(block.service.values) + peer, -1)
    return np.where(callee >= 0, block.service.codes[callee], silent)


def _target_name(mapped: Mapped, code: int) -> str:
    services, peers = mapped.block.service, mapped.block.peer
    return (
        name_of(services, code)
        if code < len(services.values)
        else name_of(peers, code - len(services.values))
    )


def _parent_columns(mapped: Mapped, rows: Ints) -> dict[str, object]:
    block, calls = mapped.block, mapped.calls
    entry = np.where(calls.entry >= 0, calls.entry, calls.root)[calls.call_of[rows]]
    return {
        "window": mapped.window[rows],
        "group": [name_of(block.service, c) for c in block.service.codes[entry].tolist()],
        "service": [name_of(block.service, c) for c in block.service.codes[rows].tolist()],
        "operation": [name_of(block.name, c) for c in block.name.codes[rows].tolist()],
    }


def _parent_keys(mapped: Mapped, rows: Ints) -> list[Ints]:
    block, calls = mapped.block, mapped.calls
    entry = np.where(calls.entry >= 0, calls.entry, calls.root)[calls.call_of[rows]]
    return [
        mapped.window[rows],
        block.service.codes[entry].astype(np.int64),
        block.service.codes[rows].astype(np.int64),
        block.name.codes[rows].astype(np.int64),
    ]


def _shapes(mapped: Mapped, children: _Children) -> pd.DataFrame:
    """Count parents by shape. Client spans are left out: a missing answer is missing evidence, not a skipped call."""
    role, sample = mapped.role, children.per_parent.sample
    parent, kind = role.parent[children.rows[sample]], children.kind[sample]
    mark = np.random.default_rng(0).integers(1, 1 << 62, int(kind.max()) + 1 if len(kind) else 1)
    signature = np.zeros(len(mapped.block), np.int64)
    np.add.at(signature, parent, mark[kind])  # the set's sum, modulo 2**64: equal sets, equal sums
    client = mapped.clients
    rows = np.flatnonzero((mapped.window >= 0) & ~client)
    shape = np.unique(signature[rows], return_inverse=True)[1].astype(np.int64)
    found = group([*_parent_keys(mapped, rows), shape])
    examples = rows[found.sample]
    names = _shape_names(mapped, children, parent, examples)
    return pd.DataFrame({**_parent_columns(mapped, examples), "shape": names, "n": found.count()})


def _shape_names(mapped: Mapped, children: _Children, parent: Ints, examples: Ints) -> list[str]:
    """Write each example parent's set of kinds; `parent` is sorted, as groups are in ascending order of their keys."""
    first, last = np.searchsorted(parent, examples, "left"), np.searchsorted(parent, examples, "right")
    sample = children.per_parent.sample
    cache: dict[int, str] = {}
    names = []
    for lo, hi in zip(first.tolist(), last.tolist(), strict=True):
        kinds = [_kind_name(mapped, children, int(i), cache) for i in sample[lo:hi]]
        name = SEPARATOR.join(sorted(kinds))
        names.append(
            name if len(name) <= _LONGEST else hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        )
    return names


def _kind_name(mapped: Mapped, children: _Children, index: int, cache: dict[int, str]) -> str:
    kind = int(children.kind[index])
    if kind not in cache:
        block, row = mapped.block, int(children.rows[index])
        target = int(children.target[index])
        name = name_of(block.name, int(block.name.codes[row]))
        service = name_of(block.service, int(block.service.codes[row]))
        cache[kind] = f"{name} -> {_target_name(mapped, target)}" if target >= 0 else f"{service}: {name}"
    return cache[kind]


def _child_table(mapped: Mapped, children: _Children) -> pd.DataFrame:
    block, role, per_parent = mapped.block, mapped.role, children.per_parent
    rows, count = children.rows[per_parent.sample], per_parent.count()
    parent, kind = role.parent[rows], children.kind[per_parent.sample]
    failed = per_parent.sum(mapped.failed[children.rows])
    last = _started_last(mapped, children)
    found = group([*_parent_keys(mapped, parent), kind])
    sample = rows[found.sample]
    target = children.target[per_parent.sample][found.sample]
    return pd.DataFrame(
        {
            **_parent_columns(mapped, parent[found.sample]),
            "child_service": [name_of(block.service, c) for c in block.service.codes[sample].tolist()],
            "child_operation": [name_of(block.name, c) for c in block.name.codes[sample].tolist()],
            "target": [_target_name(mapped, c) if c >= 0 else "" for c in target.tolist()],
            "n": found.sum(count),
            "squares": found.sum(count * count),
            "parents": found.count(),
            "last": found.sum(last),
            "errors": found.sum(failed),
        }
    )


def _started_last(mapped: Mapped, children: _Children) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return for each (parent, kind) whether the parent's last child by start is of that kind; ties by row."""
    parent = mapped.role.parent[children.rows]
    order = np.lexsort((children.rows, mapped.block.start[children.rows], parent))
    ends = np.flatnonzero(np.append(parent[order][1:] != parent[order][:-1], True)) if len(order) else order
    last = np.zeros(len(children.per_parent), np.bool_)
    last[children.per_parent.of_row[order[ends]]] = True
    return last
