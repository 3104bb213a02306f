"""To whom a nanosecond is charged: the service that works, the edge that is waited on, or a silent callee.

A *unit* is one piece of work or one wait: an entry span with all spans of its service below it, or a client span.
Own time of every span is charged to its unit, and each unit to one segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opslib.core.evidence import PEER_TYPES, SpanBlock, Strings
from opslib.diagnosis.critical_path import Ints, nearest_marked
from opslib.diagnosis.groups import group
from opslib.diagnosis.roles import Roles

SERVICE, EDGE, SILENT = "service", "edge", "silent"
_KINDS = (SERVICE, EDGE, SILENT)


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """`service caller`, `edge caller->callee`, or a wait of `caller` on `callee` whose server side is unseen.

    named_by: which attribute named a silent callee (one of PEER_TYPES; "none": its span's own name).
    """

    kind: str
    caller: str
    callee: str = ""
    named_by: str = ""


@dataclass(frozen=True, slots=True)
class Units:
    """unit: (n,) row of each span's unit. code: (n,) index into `segments`, right at unit rows only."""

    unit: Ints
    code: Ints
    segments: tuple[Segment, ...]


def units(block: SpanBlock, role: Roles) -> Units:
    """Give each span of the block its unit, and each unit its segment."""
    waits = role.waits | role.silent
    work = nearest_marked(block.parent, role.entry)
    unit = np.where(waits[role.owner], role.owner, work)
    rows = np.flatnonzero(role.entry | waits)
    kind = np.where(role.waits[rows], 1, np.where(role.silent[rows], 2, 0))
    callee = _callee_codes(block, role, rows, kind)
    named_by = np.where((kind == 2) & (block.peer.codes[rows] >= 0), block.peer_type[rows], 0)
    found = group([kind, block.service.codes[rows], callee, named_by])
    code = np.full(len(block), -1, np.int64)
    code[rows] = found.of_row
    sample = found.sample
    segments = tuple(
        _segment(block, rows[i], int(kind[i]), int(callee[i]), int(named_by[i])) for i in sample.tolist()
    )
    return Units(unit, code, segments)


def _callee_codes(block: SpanBlock, role: Roles, rows: Ints, kind: Ints) -> Ints:
    """Return a code per row: of a service for an edge, of a peer for a silent one, or beyond these of a span name."""
    answered = block.service.codes[np.maximum(role.callee[rows], 0)]
    peer = block.peer.codes[rows]
    unnamed = len(block.peer.values) + block.name.codes[rows]
    return np.where(kind == 1, answered, np.where(kind == 0, 0, np.where(peer >= 0, peer, unnamed)))


def _segment(block: SpanBlock, row: int, kind: int, callee: int, named_by: int) -> Segment:
    caller = name_of(block.service, int(block.service.codes[row]))
    if kind == 0:
        return Segment(SERVICE, caller)
    if kind == 1:
        return Segment(EDGE, caller, name_of(block.service, callee))
    peers = len(block.peer.values)
    if callee < peers:
        return Segment(SILENT, caller, block.peer.values[callee], PEER_TYPES[named_by])
    return Segment(SILENT, caller, name_of(block.name, callee - peers), PEER_TYPES[0])


def name_of(column: Strings, code: int) -> str:
    """Return the value of a code, "" for null."""
    return column.values[code] if code >= 0 else ""
