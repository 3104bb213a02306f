"""Each nanosecond of a call goes to exactly one segment, and each column adds up."""

import pandas as pd
import pytest
from diagnosis_shop import BASELINE, INCIDENT, MS, Fault, Spans, evidence, shop
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.windows import Windows
from opslib.diagnosis import diagnose

COLUMNS = ["trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano",
           "end_time_unix_nano", "status_code", "service_name", "attributes",
           "service_version", "k8s_pod_name"]  # fmt: skip


def trace(spans, number, window, *rows):
    """Add one trace; rows: (span, parent, service, kind, start ms, end ms, attributes)."""
    ids, t = {}, window.start_ns + number * MS
    for name, parent, service, kind, start, end, *more in rows:
        extra = dict(more[0]) if more else {}
        operation = extra.pop("name", f"{service}/{name}")
        ids[name] = spans.add(
            f"{number:032x}", ids.get(parent), service, operation, kind,
            t + int(start * MS), t + int(end * MS), extra.pop("status", "UNSET"), **extra,
        )  # fmt: skip


def budget(*traces, service="pay", windows=None, **more):
    """Return the segments of the incident column in ms; traces: rows, all in the incident window."""
    spans = Spans()
    for number, rows in enumerate(traces):
        trace(spans, number, INCIDENT, *rows)
    data = pd.DataFrame(spans.rows, columns=COLUMNS)
    verdict = diagnose(evidence(data, windows=windows or Windows(INCIDENT, None), **more), service).verdict
    assert sum(s.incident_ns for s in verdict.budget.segments) == verdict.budget.total.incident_ns
    return {s.segment: s.incident_ns / MS for s in verdict.budget.segments if s.incident_ns}, verdict


ASK = (
    ("root", None, "pay", "SERVER", 0, 100),
    ("ask", "root", "pay", "CLIENT", 10, 60, {"peer_service": "risk"}),
)


def test_edge_time_is_client_duration_minus_server_duration():
    found, _ = budget((*ASK, ("score", "ask", "risk", "SERVER", 25, 45)))

    assert found == {"service pay": 50, "edge pay->risk": 30, "service risk": 20}


@pytest.mark.parametrize("skew", [-2000, -20, 30, 2000])
def test_a_server_span_that_does_not_fit_is_centred_and_counted(skew):
    below = ("part", "score", "risk", "INTERNAL", 30 + skew, 40 + skew)
    found, verdict = budget((*ASK, ("score", "ask", "risk", "SERVER", 25 + skew, 45 + skew), below))

    assert found == {"service pay": 50, "edge pay->risk": 30, "service risk": 20}
    assert verdict.completeness.skewed == 1


def test_a_server_span_that_outlives_its_client_is_clipped_to_it():
    found, verdict = budget((*ASK, ("score", "ask", "risk", "SERVER", 20, 400)))

    assert found == {"service pay": 50, "edge pay->risk": 10, "service risk": 40}
    assert verdict.completeness.skewed == 1


def test_a_client_span_without_a_server_span_is_a_dependency_when_nothing_knows_its_peer():
    found, _ = budget((ASK[0], ("sql", "root", "pay", "CLIENT", 10, 60, {"db_namespace": "ledger"})))

    assert found == {"service pay": 50, "dependency ledger": 50}


@pytest.mark.parametrize("how", ["logs", "metrics", "topology", "map"])
def test_a_silent_service_is_an_edge_of_low_confidence(how):
    named = {
        "logs": {"logs": pd.DataFrame({"service_name": ["risk"], "time_unix_nano": [0], "body": ["x"], "severity_text": ["INFO"]})},
        "metrics": {"metrics": pd.DataFrame({"service_name": ["risk"], "time_unix_nano": [0], "name": ["x"], "value": [1.0]})},
        "topology": {"topology": pd.DataFrame({"caller": ["risk"], "callee": ["z"]})},
        "map": {"known": ("risk",)},
    }[how]  # fmt: skip

    found, _ = budget(ASK, **named)

    assert found == {"service pay": 50, "edge pay->risk": 50}


def test_where_other_calls_of_the_edge_are_answered_a_silent_one_is_unexplained():
    found, _ = budget((*ASK, ("score", "ask", "risk", "SERVER", 10, 60)), ASK)

    assert found == {"service pay": 50, "service risk": 25, "unexplained": 25}


def test_an_address_that_some_calls_resolve_is_that_service_everywhere():
    by_address = (ASK[0], (*ASK[1][:6], {"server_address": "10.0.0.7"}))

    found, _ = budget((*by_address, ("score", "ask", "risk", "SERVER", 10, 60)), by_address)

    assert found == {"service pay": 50, "service risk": 25, "unexplained": 25}


def test_the_gap_between_attempts_is_the_caller_s_time():
    found, _ = budget(
        (
            ASK[0],
            ("one", "root", "pay", "CLIENT", 10, 30, {"peer_service": "risk", "status": "ERROR"}),
            ("s1", "one", "risk", "SERVER", 12, 28, {"status": "ERROR"}),
            ("two", "root", "pay", "CLIENT", 50, 70, {"peer_service": "risk"}),
            ("s2", "two", "risk", "SERVER", 52, 68),
        )
    )

    assert found == {"service pay": 60, "edge pay->risk": 8, "service risk": 32}


def test_a_library_span_around_attempts_is_the_caller_s_own_time():
    found, _ = budget(
        (
            ASK[0],
            ("sdk", "root", "pay", "CLIENT", 10, 80, {"peer_service": "risk"}),
            ("try", "sdk", "pay", "CLIENT", 20, 60, {"peer_service": "risk"}),
            ("score", "try", "risk", "SERVER", 25, 55),
        )
    )

    assert found == {"service pay": 60, "edge pay->risk": 10, "service risk": 30}


def test_inner_spans_of_a_client_span_are_part_of_the_wait():
    found, _ = budget(
        (*ASK, ("connect", "ask", "pay", "INTERNAL", 12, 22), ("score", "ask", "risk", "SERVER", 25, 45))
    )

    assert found == {"service pay": 50, "edge pay->risk": 30, "service risk": 20}


def test_a_consumer_is_waited_for_by_nobody():
    found, verdict = budget(
        (
            ASK[0],
            ("send", "root", "pay", "PRODUCER", 10, 12),
            ("work", "send", "mailer", "CONSUMER", 11, 90),
        )
    )

    assert found == {"service pay": 100}
    assert any("consumer" in warning for warning in verdict.completeness.warnings)


def test_overlapping_children_share_nothing_twice():
    found, _ = budget(
        (
            ASK[0],
            ("a", "root", "pay", "CLIENT", 0, 60, {"db_namespace": "x"}),
            ("b", "root", "pay", "CLIENT", 40, 100, {"db_namespace": "y"}),
        )
    )

    assert found == {"dependency x": 40, "dependency y": 60}


def test_a_child_that_outlives_its_parent_is_clipped_and_counted():
    found, verdict = budget((ASK[0], ("late", "root", "pay", "INTERNAL", 50, 500)))

    assert found == {"service pay": 100}
    assert verdict.completeness.clipped == 1


def two_windows(rows_before, rows_after):
    """rows: lists of (operation, ms) of root calls without children."""
    spans = Spans()
    for window, rows in ((BASELINE, rows_before), (INCIDENT, rows_after)):
        for number, (operation, ms) in enumerate(rows):
            offset = 0 if window is BASELINE else 1 << 20
            t = window.start_ns + number * MS
            spans.add(f"{number + offset:032x}", None, "pay", operation, "SERVER", t, t + int(ms * MS))
    data = pd.DataFrame(spans.rows, columns=COLUMNS)
    found = diagnose(evidence(data), "pay").verdict.budget
    return {s.segment: (s.baseline_ns / MS, s.incident_ns / MS) for s in found.segments}, found


def test_columns_are_at_the_incident_s_mix_and_mix_holds_the_rest():
    # three quick and one slow call before, one quick and three slow after, none slower than it was
    found, whole = two_windows([("q", 10)] * 3 + [("s", 50)], [("q", 10)] + [("s", 50)] * 3)

    assert (whole.total.baseline_ns, whole.total.incident_ns) == (20 * MS, 40 * MS)
    assert found["service pay"] == (40, 40)
    assert found["mix"] == (-20, 0)


def test_an_operation_that_the_baseline_does_not_have_is_mix():
    found, whole = two_windows([("q", 10)] * 2, [("q", 12)] * 2 + [("new", 100)] * 2)

    assert whole.total.incident_ns == 56 * MS
    assert found["service pay"] == (5, 6)
    assert found["mix"] == (5, 50)


def test_each_division_floors_once_and_the_rest_is_unexplained():
    found, whole = two_windows([("q", 1e-6)] * 2 + [("s", 0)], [("q", 1e-6)] * 2 + [("s", 0)])

    assert whole.total.baseline_ns == 0  # 2/3 of a nanosecond
    assert sum(s.baseline_ns for s in whole.segments) == 0
    assert found["service pay"] == (0, 0)


def test_the_tail_is_the_slowest_of_every_twenty():
    data = shop(5, 41, 60, Fault(edge_ms=80))

    found = diagnose(evidence(data), "payment")

    tail = found.verdict.tail_budget
    assert (tail.n_baseline, tail.n_incident, tail.cohort) == (3, 3, "slow")
    slowest = found.calls[found.calls.window == "incident"].duration_ns.nlargest(3)
    assert tail.total.incident_ns == int(slowest.sum()) // 3
    assert sum(s.incident_ns for s in tail.segments) == tail.total.incident_ns


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**9)), min_size=1, max_size=30),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 10**9)), min_size=1, max_size=30),
)
@settings(max_examples=20, deadline=None)
def test_every_column_adds_up_for_any_mix(before, after):
    _, whole = two_windows([(o, ns / MS) for o, ns in before], [(o, ns / MS) for o, ns in after])

    assert sum(s.baseline_ns for s in whole.segments) == whole.total.baseline_ns
    assert sum(s.incident_ns for s in whole.segments) == whole.total.incident_ns
    assert whole.segments[-1].segment == "unexplained"
