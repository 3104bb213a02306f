"""A layered drawing of a directed graph: callers left of callees, few crossings, the same graph always in the same places.

Layers are longest paths from a source; a cycle is broken at the edge that returns to a node still being walked. Edges
that skip layers pass through a slot of their own in each, so no two things share a slot. Ties go by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Edge = tuple[str, str]
_SWEEPS = 8
_Slot = tuple[str, ...]  # (node,) or (caller, callee, layer as text) where an edge passes


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each node stands (layer, row) and the points that each edge runs through, its ends included."""

    nodes: Mapping[str, tuple[int, float]]
    routes: Mapping[Edge, tuple[tuple[int, float], ...]]
    backward: frozenset[Edge]  # edges that close a cycle, and edges of a node to itself


def layered(nodes: Iterable[str], edges: Iterable[Edge]) -> Layout:
    """Lay out a graph; rows are counted from the middle of each layer and differ by at least 1 within it."""
    names = sorted(set(nodes))
    arcs = sorted({(a, b) for a, b in edges if a in names and b in names})
    backward = _backward(names, arcs)
    forward = [(b, a) if (a, b) in backward else (a, b) for a, b in arcs if a != b]
    layer = _layers(names, sorted(set(forward)))
    chains = {arc: _chain(arc, layer) for arc in sorted(set(forward))}
    columns = _sweep(_columns(names, layer, chains), chains)
    place = {
        slot: (depth, i - (len(c) - 1) / 2) for depth, c in enumerate(columns) for i, slot in enumerate(c)
    }
    routes = {}
    for a, b in arcs:
        if a != b:
            points = tuple(place[slot] for slot in chains.get((a, b)) or chains[(b, a)])
            routes[(a, b)] = points if (a, b) in chains and (a, b) not in backward else points[::-1]
    return Layout({name: place[(name,)] for name in names}, routes, backward)


def _backward(names: Sequence[str], arcs: Sequence[Edge]) -> frozenset[Edge]:
    """Walk depth first, sources before others, and return the edges that lead back into the path walked."""
    callees: dict[str, list[str]] = {name: [] for name in names}
    for a, b in arcs:
        callees[a].append(b)
    called = {b for a, b in arcs if a != b}
    found, done = set(), set()
    for start in sorted(names, key=lambda name: (name in called, name)):
        path: dict[str, list[str]] = {}
        todo = [] if start in done else [start]
        while todo:
            node = todo[-1]
            left = path.setdefault(node, list(callees[node]))
            if not left:
                done.add(todo.pop())
                del path[node]
                continue
            callee = left.pop(0)
            if callee in path:
                found.add((node, callee))
            elif callee not in done:
                todo.append(callee)
    return frozenset(found)


def _layers(names: Sequence[str], arcs: Sequence[Edge]) -> dict[str, int]:
    layer = dict.fromkeys(names, 0)
    for _ in names:
        moved = False
        for a, b in arcs:
            if layer[b] < layer[a] + 1:
                layer[b], moved = layer[a] + 1, True
        if not moved:
            break
    return layer


def _chain(arc: Edge, layer: Mapping[str, int]) -> list[_Slot]:
    a, b = arc
    return [(a,), *((a, b, str(depth)) for depth in range(layer[a] + 1, layer[b])), (b,)]


def _columns(
    names: Sequence[str], layer: Mapping[str, int], chains: Mapping[Edge, list[_Slot]]
) -> list[list[_Slot]]:
    columns: list[list[_Slot]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in names:
        columns[layer[name]].append((name,))
    for (caller, _), chain in chains.items():
        for step, slot in enumerate(chain[1:-1], start=1):
            columns[layer[caller] + step].append(slot)
    return columns


def _sweep(columns: list[list[_Slot]], chains: Mapping[Edge, list[_Slot]]) -> list[list[_Slot]]:
    """Order each layer by the mean place of its neighbours, forth and back; keep the order with fewest crossings."""
    links = [pair for chain in chains.values() for pair in itertools.pairwise(chain)]
    before: dict[_Slot, list[_Slot]] = {}
    after: dict[_Slot, list[_Slot]] = {}
    for a, b in links:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    best = current = [sorted(column) for column in columns]
    for sweep in range(_SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        current = [list(column) for column in current]
        depths = range(len(current)) if sweep % 2 == 0 else reversed(range(len(current)))
        for depth in depths:
            at = {slot: i - (len(c) - 1) / 2 for c in current for i, slot in enumerate(c)}
            current[depth].sort(key=lambda slot: (_mean([at[n] for n in neighbours.get(slot, [slot])]), slot))
        best = min(best, current, key=lambda c: crossings(c, links))
    return best


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def crossings(columns: Sequence[Sequence[_Slot]], links: Iterable[tuple[_Slot, _Slot]]) -> int:
    """Count the pairs of links between the same two layers that cross."""
    at = {slot: (depth, i) for depth, column in enumerate(columns) for i, slot in enumerate(column)}
    ends = sorted((at[a], at[b]) for a, b in links)
    return sum(
        (a1 - a2) * (b1 - b2) < 0
        for ((d1, a1), (_, b1)), ((d2, a2), (_, b2)) in itertools.combinations(ends, 2)
        if d1 == d2
    )
