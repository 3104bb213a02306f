"""The layered layout: no two things in one place, callers left of callees, the same graph in the same places."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from opslib.ui.layers import crossings, layered

NAMES = [f"s{i}" for i in range(12)]
EDGES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=30)


@given(EDGES)
def test_no_two_nodes_or_passing_edges_share_a_place(edges):
    layout = layered(NAMES, edges)
    passing = {
        (min(edge), max(edge), point) for edge, route in layout.routes.items() for point in route[1:-1]
    }
    places = [*layout.nodes.values(), *(point for *_, point in passing)]

    assert set(layout.nodes) == set(NAMES)
    assert len(places) == len(set(places))
    for layer in {layer for layer, _ in places}:
        rows = sorted(row for depth, row in places if depth == layer)
        assert all(b - a >= 1 for a, b in itertools.pairwise(rows))


@given(EDGES)
def test_callers_stand_left_of_callees_but_where_a_cycle_is_closed(edges):
    layout = layered(NAMES, edges)

    for caller, callee in set(edges):
        if (caller, callee) in layout.backward or caller == callee:
            continue
        assert layout.nodes[caller][0] < layout.nodes[callee][0]
        route = layout.routes[caller, callee]
        assert (route[0], route[-1]) == (layout.nodes[caller], layout.nodes[callee])


@given(EDGES, st.randoms(use_true_random=False))
def test_order_of_input_does_not_show(edges, shuffler: random.Random):
    shuffled, names = list(edges), list(NAMES)
    shuffler.shuffle(shuffled)
    shuffler.shuffle(names)

    assert layered(names, shuffled) == layered(NAMES, edges)


def test_a_cycle_is_broken_where_it_returns():
    layout = layered(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "b")])

    assert layout.backward == {("c", "b")}
    assert [layout.nodes[name][0] for name in "abc"] == [0, 1, 2]
    assert layout.routes["c", "b"] == (layout.nodes["c"], layout.nodes["b"])


def test_sweeps_take_crossings_out():
    layout = layered("abcd", [("a", "d"), ("b", "c")])
    rows = {name: row for name, (_, row) in layout.nodes.items()}

    assert (rows["a"] - rows["b"]) * (rows["d"] - rows["c"]) > 0
    assert crossings([[("a",), ("b",)], [("c",), ("d",)]], [(("a",), ("d",)), (("b",), ("c",))]) == 1


def test_nothing_to_lay_out():
    assert layered([], []).nodes == {}
