"""A call of a service starts where its caller starts to wait."""

import pandas as pd
import pytest
from diagnosis_shop import BASELINE, INCIDENT, MS, Spans, evidence

from opslib.core.windows import Windows
from opslib.diagnosis import calls_of, diagnose

T = BASELINE.start_ns


def frame(*rows):
    """Rows: (span, parent, service, kind, start ms, end ms, attributes...)."""
    spans = Spans()
    ids = {}
    for name, parent, service, kind, start, end, *more in rows:
        extra = dict(more[0]) if more else {}
        status = extra.pop("status", "UNSET")
        ids[name] = spans.add(
            "a" * 32, ids.get(parent, "f" * 16 if parent == "lost" else None), service, f"{service}/{name}",
            kind, T + int(start * MS), T + int(end * MS), status, **extra,
        )  # fmt: skip
    columns = ["trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano",
               "end_time_unix_nano", "status_code", "service_name", "attributes",
           "service_version", "k8s_pod_name"]  # fmt: skip
    return pd.DataFrame(spans.rows, columns=columns)


def calls(data, service):
    found = calls_of(evidence(data).spans, service)
    return [
        ((s - T) // MS, d // MS, o)
        for s, d, o in zip(found.start_ns, found.duration_ns, found.operation, strict=True)
    ]


def segments(data, service):
    verdict = diagnose(evidence(data, windows=Windows(BASELINE, None)), service).verdict
    return {s.segment: s.incident_ns / MS for s in verdict.budget.segments if s.incident_ns}


SHOP = (
    ("root", None, "order", "SERVER", 0, 100),
    ("call", "root", "order", "CLIENT", 10, 90, {"peer_service": "payment"}),
    ("pay", "call", "payment", "SERVER", 20, 85),
    ("db", "pay", "payment", "CLIENT", 30, 60, {"db_namespace": "ledger"}),
)


def test_it_starts_at_the_caller_s_client_span():
    assert calls(frame(*SHOP), "payment") == [(10, 80, "payment/pay")]


def test_the_root_is_the_call_of_its_own_service():
    assert calls(frame(*SHOP), "order") == [(0, 100, "order/root")]


def test_without_a_service_every_root_operation_is_a_call():
    assert calls(frame(*SHOP, ("other", None, "cron", "INTERNAL", 0, 7)), None) == [
        (0, 100, "order/root"),
        (0, 7, "cron/other"),
    ]


def test_a_dependency_is_called_by_the_client_span_that_names_it():
    assert calls(frame(*SHOP), "ledger") == [(30, 30, "payment/db")]


def test_with_the_caller_s_span_lost_it_starts_at_the_service_s_own_and_the_edge_is_unseen():
    data = frame(("pay", "lost", "payment", "SERVER", 20, 85))

    assert calls(data, "payment") == [(20, 65, "payment/pay")]
    found = diagnose(evidence(data, windows=Windows(BASELINE, None)), "payment").verdict.completeness
    assert found.orphans == 1
    assert any("edge unseen" in warning for warning in found.warnings)


def test_each_client_attempt_is_a_call_also_one_that_was_never_answered():
    data = frame(
        ("root", None, "order", "SERVER", 0, 100),
        ("first", "root", "order", "CLIENT", 10, 30, {"peer_service": "payment", "status": "ERROR"}),
        ("second", "root", "order", "CLIENT", 40, 90, {"peer_service": "payment"}),
        ("pay", "second", "payment", "SERVER", 45, 85),
    )

    assert [call[:2] for call in calls(data, "payment")] == [(10, 20), (40, 50)]
    assert segments(data, "payment") == {"edge order->payment": 5, "service payment": 20, "unexplained": 10}


def test_a_call_within_a_call_of_the_same_service_belongs_to_it():
    data = frame(
        ("root", None, "payment", "SERVER", 0, 100),
        ("self", "root", "payment", "CLIENT", 10, 90, {"peer_service": "payment"}),
        ("again", "self", "payment", "SERVER", 20, 80),
    )

    assert calls(data, "payment") == [(0, 100, "payment/root")]
    assert segments(data, "payment") == {"service payment": 80, "edge payment->payment": 20}


def test_without_kinds_an_only_child_in_another_service_makes_its_parent_a_client_span():
    data = frame(
        ("root", None, "order", "UNSPECIFIED", 0, 100),
        ("call", "root", "order", "UNSPECIFIED", 10, 90),
        ("pay", "call", "payment", "UNSPECIFIED", 20, 85),
        ("both", "root", "order", "UNSPECIFIED", 91, 99),
        ("x", "both", "payment", "UNSPECIFIED", 92, 93),
        ("y", "both", "payment", "UNSPECIFIED", 94, 95),
    )

    assert [call[:2] for call in calls(data, "payment")] == [(10, 80), (92, 1), (94, 1)]
    assert segments(data, "order") == {"service order": 18, "edge order->payment": 15, "service payment": 67}


@pytest.mark.parametrize("window", [BASELINE, INCIDENT])
def test_a_trace_belongs_to_the_window_of_its_root(window):
    data = frame(*SHOP)
    data["start_time_unix_nano"] += window.start_ns - BASELINE.start_ns
    data["end_time_unix_nano"] += window.start_ns - BASELINE.start_ns
    # the payment part runs on into the other window
    late = data["service_name"] == "payment"
    data.loc[late, "end_time_unix_nano"] += BASELINE.length_ns

    found = diagnose(evidence(data), "payment").calls

    assert found["window"].tolist() == ["baseline" if window is BASELINE else "incident"]
