"""A large call graph is folded to the paths that matter, and no call is lost on the way."""

import pandas as pd

from opslib import ui
from opslib.core.model import Candidate
from opslib.ui.fold import MAX_NODES, fold, links_of


def edges(pairs):
    return pd.DataFrame(
        [
            {
                "caller": caller, "callee": callee, "dependency": False, "calls_baseline": 10, "calls_incident": 10,
                "errors_baseline": 0, "errors_incident": 0, "p50_baseline_ns": 1e6, "p50_incident_ns": 1e6 + change,
            }
            for caller, callee, change in pairs
        ]
    )  # fmt: skip


WIDE = edges(
    [("root", f"leaf{i:02}", i * 1000) for i in range(60)] + [("leaf03", "deep", 0), ("deep", "deeper", 0)]
)


def test_small_graphs_stay_whole():
    links = links_of(edges([("a", "b", 0)]))

    assert fold(links, "a", None) == (links, 0)


def test_a_wide_graph_keeps_the_culprit_its_way_and_what_changed_most():
    guilty = Candidate(1, "service", "deeper", 0.9, "high")
    links, folded = fold(links_of(WIDE), "root", guilty)
    nodes = {name for link in links for name in (link.caller, link.callee)}

    assert len(nodes) == MAX_NODES
    assert {"root", "leaf03", "deep", "deeper", "leaf59", "leaf58"} <= nodes
    assert "leaf00" not in nodes
    assert f"other ({folded})" in nodes
    assert sum(link.calls_incident for link in links) == WIDE["calls_incident"].sum()


def test_the_title_counts_what_was_folded(edge):
    import dataclasses

    wide = dataclasses.replace(edge, diagnosis=dataclasses.replace(edge.diagnosis, edges=WIDE))

    assert ui.call_graph(wide).title.endswith("nodes folded)")


def test_a_median_of_no_calls_is_none():
    frame = edges([("a", "b", 0)]).assign(calls_baseline=0, p50_baseline_ns=0.0)
    (link,) = links_of(frame)

    assert link.p50_baseline_ns != link.p50_baseline_ns
    assert link.change_ns == 0


def test_where_the_median_hides_what_a_few_calls_take_the_mean_is_told(edge):
    import dataclasses

    frame = edges([("payment", "risk", 20_000), ("payment", "ledger", 0)]).assign(
        mean_baseline_ns=1.1e6, mean_incident_ns=[1.2e6, 51.1e6]
    )
    hidden = dataclasses.replace(edge, diagnosis=dataclasses.replace(edge.diagnosis, edges=frame))
    drawn = ui.call_graph(hidden)

    assert {link.callee: (link.statistic, round(link.change_ns)) for link in links_of(frame)} == {
        "risk": ("p50", 20_000),
        "ledger": ("mean", 50_000_000),
    }
    assert "payment → ledger +50 ms mean" in drawn.words
    assert list(drawn.table["mean now, ms"]) == [51.1, 1.2]
