"""The critical path on arrays equals the plain recursion, span by span, on any trace."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.diagnosis.critical_path import nearest_marked, sum_upwards, tree, walk

DAY = 86_400_000_000_000


def recursive(parent, start, end):
    """Return own time per span by the definition, one span at a time."""
    kids = {}
    for row in range(len(parent)):
        kids.setdefault(int(parent[row]), []).append(row)
    own = [0] * len(parent)

    def visit(span, lo, hi):
        left = hi
        for kid in sorted(kids.get(span, []), key=lambda k: (-end[k], start[k], k)):
            a, b = max(start[kid], lo), min(end[kid], left)
            if b > a:
                own[span] += left - b
                visit(kid, a, b)
                left = a
        own[span] += left - lo

    for root in np.flatnonzero(parent < 0).tolist():
        visit(root, start[root], max(end[root], start[root]))
    return own


@st.composite
def forests(draw, longest=40, latest=60):
    """Return parents (always an earlier or later row, never a cycle), starts and ends of any shape."""
    n = draw(st.integers(1, longest))
    shuffled = draw(st.permutations(range(n)))
    parent = np.full(n, -1, np.int64)
    for place in range(1, n):
        above = draw(st.integers(-1, place - 1))
        parent[shuffled[place]] = shuffled[above] if above >= 0 else -1
    start = np.array(draw(st.lists(st.integers(-5, latest), min_size=n, max_size=n)), np.int64)
    length = np.array(draw(st.lists(st.integers(-3, latest), min_size=n, max_size=n)), np.int64)
    return parent, start, start + length


@given(forests())
@settings(max_examples=400, deadline=None)
def test_own_time_equals_the_recursion_span_by_span(forest):
    parent, start, end = forest

    own, _ = walk(tree(parent, start, end), np.flatnonzero(parent < 0))

    assert own.tolist() == recursive(parent, start.tolist(), np.maximum(start, end).tolist())


@given(forests())
@settings(max_examples=200, deadline=None)
def test_own_times_below_a_root_sum_to_its_duration(forest):
    parent, start, end = forest
    roots = np.flatnonzero(parent < 0)

    own, reached = walk(tree(parent, start, end), roots)
    root_of = nearest_marked(parent, parent < 0)

    assert (own >= 0).all()
    assert (own[~reached] == 0).all()
    for root in roots.tolist():
        assert own[root_of == root].sum() == max(end[root] - start[root], 0)


@given(forests(), st.integers(0, 39))
@settings(max_examples=100, deadline=None)
def test_a_walk_from_within_sees_only_what_is_below(forest, pick):
    parent, start, end = forest
    root = pick % len(parent)
    alone = np.where(np.arange(len(parent)) == root, -1, parent)

    own, _ = walk(tree(parent, start, end), np.array([root]))
    inside = nearest_marked(parent, np.arange(len(parent)) == root) == root

    expected = np.array(recursive(alone, start.tolist(), np.maximum(start, end).tolist()))
    assert own[inside].tolist() == expected[inside].tolist()
    assert own[~inside].sum() == 0


def test_a_day_long_span_among_many_traces_changes_nothing():
    n = 200_000
    parent = np.repeat(np.arange(n) * 4, 4)
    parent[::4] = -1
    start = np.tile(np.array([0, 10, 30, 35]), n) + np.repeat(np.arange(n), 4) * 1_000
    end = np.tile(np.array([100, 40, 60, 90]), n) + np.repeat(np.arange(n), 4) * 1_000
    end[4 * 777] += DAY
    expected = np.tile(np.array([20, 20, 5, 55]), n)
    expected[4 * 777] += DAY

    own, _ = walk(tree(parent, start, end), np.arange(0, 4 * n, 4))

    assert (own == expected).all()


def test_times_at_the_edge_of_int64_do_not_overflow():
    edge = np.iinfo(np.int64)
    parent = np.array([-1, 0, 0, -1, 3, -1, 5], np.int64)
    start = np.array([edge.min, 0, 5, edge.min, edge.min, 0, 2])
    end = np.array([edge.max, 10, 7, edge.max, edge.max, 9, 4])

    own, _ = walk(tree(parent, start, end), np.array([0, 3, 5]))

    assert own.tolist()[1:3] == [10, 0]
    assert (own >= 0).all()
    assert own[5:].tolist() == [7, 2]


def test_a_chain_of_ten_thousand_spans_needs_no_recursion():
    n = 10_000
    parent = np.arange(-1, n - 1)
    start, end = np.arange(n), 2 * n - np.arange(n)

    own, _ = walk(tree(parent, start, end), np.array([0]))

    assert own.tolist() == [2] * (n - 1) + [2]


def test_a_hundred_thousand_siblings_are_one_level():
    n = 100_000
    parent = np.zeros(n, np.int64)
    parent[0] = -1
    start = np.concatenate(([0], np.arange(n - 1) * 10))
    end = start + 15
    end[0] = 10 * n

    own, _ = walk(tree(parent, start, end), np.array([0]))

    assert own.sum() == 10 * n
    assert (own[1:-1] == 10).all()


@given(forests())
@settings(max_examples=100, deadline=None)
def test_ancestors_are_found_and_summed_by_doubling(forest):
    parent, start, _ = forest
    marked = start % 3 == 0

    nearest, total = nearest_marked(parent, marked), sum_upwards(parent, start)

    for row in range(len(parent)):
        at, seen, found = row, 0, len(parent)
        while at >= 0:
            seen += int(start[at])
            if found == len(parent) and marked[at]:
                found = at
            at = int(parent[at])
        assert (nearest[row], total[row]) == (found, seen)
