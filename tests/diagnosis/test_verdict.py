"""The answer on faults of each kind, in noise, and when not to answer."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from diagnosis_shop import BASELINE, INCIDENT, Fault, empty, evidence, shop

from opslib.core.windows import Windows
from opslib.diagnosis import diagnose

FAULTS = {
    "risk-cpu": (Fault(risk_ms=60), "service", "risk", None),
    "ledger-lock": (Fault(ledger_ms=250, ledger_share=0.5), "dependency", "ledger", ("payment", "ledger")),
    "edge-delay": (Fault(edge_ms=80), "edge", "risk", ("payment", "risk")),
    "payment-exception": (Fault(payment_error=0.4), "service", "payment", None),
    "payment-slow": (Fault(payment_ms=40), "service", "payment", None),
    "into-payment": (Fault(order_edge_ms=60), "edge", "payment", ("order", "payment")),
    "early-return": (Fault(risk_skip=0.5), "service", "payment", None),
    "retries": (Fault(retries=0.5), "service", "risk", None),
}


@pytest.mark.parametrize("service", ["payment", None])
@pytest.mark.parametrize("calls", [(30, 30), (100, 40), (60, 300)])
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named(name, calls, service):
    fault, kind, blamed, edge = FAULTS[name]

    found = diagnose(evidence(shop(11, *calls, fault)), service).verdict

    first = found.candidates[0]
    assert (found.verdict, first.kind, first.service) == (kind, kind, blamed), found.summary
    assert first.edge == edge or edge is None
    assert found.service == (service or "storefront")
    assert first.evidence[0].statement in found.summary


def test_the_added_time_is_in_the_statement():
    found = diagnose(evidence(shop(2, 100, 100, Fault(edge_ms=80))), "payment").verdict

    finding = found.candidates[0].evidence[0]
    assert finding.statement.startswith("payment -> risk: waiting between caller and callee rose from 0.")
    assert "% of the added time" in finding.statement
    assert finding.unit == "ms"
    assert 78 < finding.value - finding.baseline < 82


def test_propagated_errors_are_not_blamed():
    found = diagnose(evidence(shop(3, 80, 80, Fault(payment_error=0.5))), "order").verdict

    assert found.candidates[0].service == "payment"
    assert not {"order", "storefront"} & {c.service for c in found.candidates}


def alarms(seeds, wobbles):
    """Return the summaries of windows that are alike but for chance and the machine's pace, 30 to 600 calls each."""
    found = []
    for seed in seeds:
        calls = np.random.default_rng(seed).integers(30, 601, 2).tolist()
        data = shop(100 + seed, *calls, wobble=wobbles[seed % len(wobbles)])
        verdict = diagnose(evidence(data), "payment" if seed % 2 else None).verdict
        found += [verdict.summary] if verdict.verdict != "no_anomaly" else []
    return found


def test_alike_windows_raise_no_alarm():
    assert alarms(range(14), (0.05, 0.3)) == []


@pytest.mark.full
def test_of_two_hundred_alike_windows_two_may_alarm():
    assert len(alarms(range(200), (0.05, 0.15, 0.3))) <= 2


def test_what_slows_all_work_alike_is_not_blamed_on_one_part():
    data = shop(4, 200, 200)
    start = data.groupby("trace_id")["start_time_unix_nano"].transform("min")
    slow = start >= INCIDENT.start_ns
    for column in ("start_time_unix_nano", "end_time_unix_nano"):
        data.loc[slow, column] = start + 3 * (data[column] - start)

    found = diagnose(evidence(data), "payment").verdict

    assert found.verdict == "undetermined"
    assert "everything" in found.missing[0]
    assert {candidate.confidence for candidate in found.candidates} <= {"low"}


def test_calls_that_changed_much_are_no_healthy_ones_where_they_are_too_few_to_blame_a_part():
    found = diagnose(evidence(shop(4, 40, 40, Fault(risk_ms=80, tenant="acme"))), "payment").verdict

    assert found.verdict == "undetermined"
    assert found.missing == ("more calls: 40 and 40 are too few to say which part of them is worse",)
    assert found.onset is not None
    assert (found.candidates[0].service, found.candidates[0].confidence) == ("risk", "low"), (
        "a suspect, no more"
    )


def test_too_few_calls_are_said_so():
    found = diagnose(evidence(shop(5, 100, 19, Fault(edge_ms=300))), "payment").verdict

    assert found.verdict == "undetermined"
    assert found.missing == ("more calls in the incident window: 19 of at least 20",)


def test_without_a_baseline_every_stage_runs_and_nothing_is_concluded():
    found = diagnose(evidence(shop(6, 0, 60), windows=Windows(INCIDENT, None)), "payment").verdict

    assert found.verdict == "undetermined"
    assert "baseline" in found.missing[0]
    assert found.budget.total.incident_ns > 0
    assert found.budget.n_baseline == 0


def test_windows_selected_by_different_rules_are_not_comparable():
    data = shop(7, 80, 80, Fault(edge_ms=80))

    found = diagnose(
        evidence(data, selection={"incident": "tail-sampled", "baseline": "all"}), "payment"
    ).verdict

    assert found.verdict == "undetermined"
    assert "alike-selected" in found.missing[0]
    assert found.candidates[0].service == "risk"  # what was seen is still listed
    assert found.candidates[0].confidence == "low"


def test_unstated_selection_is_a_warning_only():
    unknown = {"incident": "unknown", "baseline": "unknown"}

    found = diagnose(evidence(shop(7, 80, 80, Fault(edge_ms=80)), selection=unknown), "payment").verdict

    assert found.verdict == "edge"
    assert any("selected" in warning for warning in found.completeness.warnings)


def test_a_silent_service_is_named_with_low_confidence_and_its_spans_are_asked_for():
    data = shop(8, 80, 80, Fault(silent_risk=True, risk_ms=70), healthy_fault=Fault(silent_risk=True))

    found = diagnose(evidence(data, known=("risk",)), "payment").verdict

    assert found.verdict == "undetermined"
    assert found.missing == ("server spans of risk",)
    assert (found.candidates[0].service, found.candidates[0].confidence) == ("risk", "low")
    assert found.candidates[0].edge == ("payment", "risk")


def test_server_spans_that_stop_coming_leave_the_time_unexplained():
    data = shop(9, 80, 80, Fault(silent_risk=True, risk_ms=70))

    found = diagnose(evidence(data), "payment").verdict

    assert found.verdict == "undetermined"
    assert "server spans of risk" in found.missing[0]


def test_server_spans_that_stopped_within_the_baseline_are_asked_for_all_the_same():
    mute = Fault(silent_risk=True)
    early = shop(9, 90, 0, healthy_fault=mute)
    data = pd.concat(
        [early, shop(10, 15, 90, Fault(silent_risk=True, risk_ms=70, payment_ms=8))], ignore_index=True
    )

    found = diagnose(evidence(data), "payment").verdict

    assert found.verdict == "undetermined"
    assert found.missing == ("server spans of risk",)


def test_skew_alone_is_no_anomaly_and_hides_no_edge():
    healthy = diagnose(evidence(shop(10, 80, 80, Fault(skew_ms=2000))), "payment").verdict
    delayed = diagnose(evidence(shop(10, 80, 80, Fault(skew_ms=2000, edge_ms=80))), "payment").verdict

    assert (healthy.verdict, healthy.completeness.skewed) == ("no_anomaly", 80)
    assert (delayed.verdict, delayed.candidates[0].edge) == ("edge", ("payment", "risk"))


def test_an_unknown_service_has_no_calls():
    found = diagnose(evidence(shop(1, 30, 30)), "nobody").verdict

    assert found.verdict == "undetermined"
    assert found.missing[0].startswith("more calls in the incident window: 0")


def test_no_traces_at_all_is_undetermined():
    nothing = dataclasses.replace(evidence(shop(1, 3, 3)), spans=(), logs=empty("logs"))

    found = diagnose(nothing, None).verdict

    assert found.verdict == "undetermined"
    assert found.budget.total.incident_ns == 0


def test_the_verdict_is_plain_json_with_the_contract_s_keys():
    found = diagnose(evidence(shop(2, 60, 60, Fault(edge_ms=80))), "payment").verdict.to_dict()

    assert json.loads(json.dumps(found)) == found
    assert [s["segment"] for s in found["budget"]["segments"]][-2:] == ["mix", "unexplained"]
    assert {"rank", "kind", "service", "pod", "edge", "operation", "score", "confidence", "evidence"} == set(
        found["candidates"][0]
    )


def test_edges_to_two_callees_that_rise_alike_are_their_caller_s():
    import pandas as pd
    from diagnosis_shop import Spans
    from test_attribution import COLUMNS, trace

    spans, rng = Spans(), np.random.default_rng(0)
    for number in range(120):
        window = BASELINE if number < 60 else INCIDENT
        more = 0 if window is BASELINE else 40
        a, b, c = 5 + rng.exponential(1, 3)
        trace(
            spans, number, window,
            ("root", None, "front", "SERVER", 0, 30 + a + b + c + 2 * more),
            ("ask1", "root", "front", "CLIENT", 2, 2 + a + more, {"peer_service": "one"}),
            ("s1", "ask1", "one", "SERVER", 2 + a / 4 + more / 2, 2 + a + more / 2),
            ("ask2", "root", "front", "CLIENT", 10 + a + more, 10 + a + b + 2 * more, {"peer_service": "two"}),
            ("s2", "ask2", "two", "SERVER", 10 + a + 1.5 * more + b / 4, 10 + a + b + 1.5 * more),
        )  # fmt: skip

    found = diagnose(evidence(pd.DataFrame(spans.rows, columns=COLUMNS)), "front").verdict

    assert (found.verdict, found.candidates[0].service) == ("edge", "front")
