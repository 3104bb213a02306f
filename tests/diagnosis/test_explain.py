"""One trace explained: the same walk, span by span, as the diagnosis makes."""

import itertools

import pandas as pd
from diagnosis_shop import Fault, evidence, shop

from opslib.diagnosis import diagnose, explain_trace
from opslib.diagnosis.partial import map_block


def one_trace(seed=1, **fault):
    data = shop(seed, 0, 1, Fault(**fault))
    return data[data["trace_id"] == data["trace_id"].iloc[0]]


def test_own_times_and_stretches_add_up_to_the_root():
    found = explain_trace(one_trace(edge_ms=80))

    root = found[found["parent_span_id"].isna()].iloc[0]
    duration = root["end_time_unix_nano"] - root["start_time_unix_nano"]
    stretches = sorted(tuple(s) for row in found["on_path"] for s in row)
    assert found["own_ns"].sum() == duration
    assert sum(hi - lo for lo, hi in stretches) == duration
    assert all(a[1] == b[0] for a, b in itertools.pairwise(stretches))


def test_it_charges_what_the_budget_charges():
    data = one_trace(risk_ms=30, skew_ms=500)
    found = explain_trace(data.sample(frac=1, random_state=3))

    by_segment = found.groupby("segment")["own_ns"].sum()
    budget = diagnose(evidence(data), "storefront").verdict.budget
    assert {s.segment: s.incident_ns for s in budget.segments if s.incident_ns} == by_segment[
        by_segment > 0
    ].to_dict()


def test_it_equals_the_array_walk_span_by_span():
    data = shop(2, 0, 6, Fault(retries=1.0, skew_ms=5))
    for trace_id, rows in data.groupby("trace_id"):
        ev = evidence(rows)
        (block,) = ev.spans
        own = map_block(block, None, ev.windows)
        assert sum(explain_trace(rows)["own_ns"]) == own.calls["duration_ns"].sum(), trace_id


def test_display_order_depth_and_waits():
    found = explain_trace(one_trace(edge_ms=80))

    assert found["depth"].tolist()[:5] == [0, 1, 2, 3, 4]
    waits = found.set_index("name")["edge_wait_ns"]
    assert waits.loc["POST"].notna().all()
    assert pd.isna(waits.loc["POST /pay"])
    asks = found[(found["name"] == "POST") & (found["service_name"] == "payment")].iloc[0]
    assert asks["edge_wait_ns"] >= 80e6
    assert asks["segment"] == "edge payment->risk"


def test_a_repeated_span_appears_once_and_nothing_stays_nothing():
    data = one_trace()
    twice = data.loc[[*data.index, data.index[0]]]

    assert len(explain_trace(twice)) == len(data)
    assert len(explain_trace(data.iloc[:0])) == 0
