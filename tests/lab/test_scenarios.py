"""The ground-truth table, and the grading of verdicts against it."""

import pytest

from opslib.core.errors import UsageError
from opslib.lab.grading import grade_verdict
from opslib.lab.process import ROLES
from opslib.lab.scenarios import SCENARIOS, scenario, scenario_names
from opslib.lab.supervisor.helpers import RELEASE
from opslib.lab.supervisor.plan import NETWORK, SERVICES

TRUTH = {
    "healthy": ("no_anomaly", None, None),
    "risk-cpu": ("service", "risk", None),
    "ledger-lock": ("dependency", "ledger", ("payment", "ledger")),
    "edge-delay": ("edge", "risk", ("payment", "risk")),
    "payment-exception": ("service", "payment", None),
    "ledger-missing-index": ("dependency", "ledger", ("payment", "ledger")),
    "pool-exhausted": ("service", "payment", None),
    "retry-storm": ("service", "risk", None),
    "payment-cpu-starved": ("service", "payment", None),
    "early-return": ("service", "payment", None),
    "red-herring": ("dependency", "ledger", ("payment", "ledger")),
    "two-faults": ("service", "risk", None),
    "slow-only-for-one-tenant": ("service", "risk", None),
    "bad-release": ("release", "payment", None),
    "uninstrumented": ("undetermined", "risk", None),
    "tail-sampled": ("undetermined", None, None),
    "clock-skew": ("no_anomaly", None, None),
    "clock-skew-edge-delay": ("edge", "risk", ("payment", "risk")),
    "cold-start": ("undetermined", None, None),
}
EDGE = {"kind": "edge", "service": "risk", "edge": ["payment", "risk"]}
RISK = {"kind": "service", "service": "risk", "edge": None}
PAYMENT = {"kind": "service", "service": "payment", "edge": None}
LEDGER = {"kind": "dependency", "service": "ledger", "edge": ["payment", "ledger"]}
LOUD = {"kind": "service", "service": "storefront", "edge": None}


def verdict_of(kind: str, service: str | None, edge: tuple[str, str] | None) -> dict:
    candidate = {"rank": 1, "kind": kind, "service": service, "edge": list(edge) if edge else None}
    return {"verdict": kind, "candidates": [candidate] if service else []}


def test_the_table_says_what_is_true() -> None:
    table = {name: (s.truth.kind, s.truth.service, s.truth.edge) for name, s in SCENARIOS.items()}

    assert table == TRUTH
    assert scenario_names() == tuple(sorted(TRUTH))


@pytest.mark.parametrize("name", TRUTH)
def test_a_fault_only_addresses_processes_that_there_are(name: str) -> None:
    fault = scenario(name).fault()

    assert set(fault["knobs"]) <= {*SERVICES, NETWORK}
    assert {helper["role"] for helper in fault["helpers"]} <= {*ROLES, RELEASE}
    assert (name == "healthy") == (not fault["knobs"] and not fault["helpers"])


PLAIN = ("healthy", "risk-cpu", "ledger-lock", "edge-delay", "payment-exception")


@pytest.mark.parametrize("name", PLAIN)
def test_only_the_right_verdict_is_right(name: str) -> None:
    grades = {other: grade_verdict(scenario(name), verdict_of(*TRUTH[other])) for other in PLAIN}

    assert [other for other, grade in grades.items() if grade.right] == [name]
    assert all(grade.statement.startswith("right" if grade.right else "wrong") for grade in grades.values())
    assert grades[name].to_dict()["right"] is True


@pytest.mark.parametrize(
    "verdict",
    [
        None,
        {},
        {"verdict": "edge"},
        {"verdict": "edge", "candidates": "x"},
        {"verdict": "edge", "candidates": [1]},
        verdict_of("edge", "risk", ("risk", "payment")),
        verdict_of("edge", "payment", ("payment", "risk")),
        {"verdict": "edge", "candidates": [{"service": "risk", "edge": "payment->risk"}]},
        verdict_of("undetermined", "risk", ("payment", "risk")),
    ],
)
def test_what_is_no_right_verdict_is_wrong(verdict: dict | None) -> None:
    assert not grade_verdict(scenario("edge-delay"), verdict).right


def test_an_unknown_scenario_is_refused_with_near_names() -> None:
    with pytest.raises(UsageError) as caught:
        scenario("edge-dealy")

    assert "edge-delay" in caught.value.hint


def said(kind: str, *candidates: dict, **rest) -> dict:
    ranked = [{"confidence": "high", **c, "rank": n} for n, c in enumerate(candidates, 1)]
    return {"verdict": kind, "candidates": ranked, **rest}


def low(candidate: dict) -> dict:
    return {**candidate, "confidence": "low"}


SPANS = ["risk: its server spans"]
ALIKE = ["alike-selected windows: one was tail-sampled"]


@pytest.mark.parametrize(
    ("name", "verdict", "lacks"),
    [
        ("retry-storm", said("service", RISK), None),
        ("retry-storm", said("edge", EDGE), None),
        ("retry-storm", said("service", PAYMENT), ""),
        (
            "payment-cpu-starved",
            said("edge", {**EDGE, "service": "payment", "edge": ["order", "payment"]}),
            None,
        ),
        ("payment-cpu-starved", said("edge", EDGE), ""),
        (
            "pool-exhausted",
            said("service", {**PAYMENT, "evidence": [{"statement": "the pool is empty"}]}),
            None,
        ),
        ("pool-exhausted", said("service", PAYMENT), "pool"),
        ("red-herring", said("dependency", LEDGER, PAYMENT, LOUD), None),
        ("red-herring", said("dependency", LEDGER, LOUD), "storefront"),
        ("two-faults", said("service", RISK, LEDGER), None),
        ("two-faults", said("dependency", LEDGER, RISK), None),
        ("two-faults", said("service", RISK, PAYMENT, LEDGER), "first in rank"),
        ("two-faults", said("service", RISK), "first in rank"),
        ("slow-only-for-one-tenant", said("service", RISK), "scope"),
        (
            "slow-only-for-one-tenant",
            said("service", RISK, scope=[{"attribute": "tenant.id", "value": "initech"}]),
            None,
        ),
        (
            "slow-only-for-one-tenant",
            said("service", RISK, scope=[{"attribute": "tenant.id", "value": "acme"}]),
            "tenant.id acme",
        ),
        (
            "bad-release",
            said("release", PAYMENT, scope=[{"attribute": "service.version", "value": "1.5.0"}]),
            None,
        ),
        ("bad-release", said("release", PAYMENT, scope=[{"attribute": "pod", "value": "1.5.0"}]), "pod"),
        ("uninstrumented", said("undetermined", low(RISK), missing=SPANS), None),
        ("uninstrumented", said("edge", low(EDGE), missing=SPANS), None),
        ("uninstrumented", said("undetermined", low(RISK)), "server spans"),
        ("uninstrumented", said("undetermined", RISK, missing=SPANS), ""),
        ("uninstrumented", said("undetermined", low(RISK), PAYMENT, missing=SPANS), "sure of payment"),
        ("tail-sampled", said("undetermined", EDGE, missing=ALIKE), None),
        ("tail-sampled", said("undetermined", PAYMENT, missing=ALIKE), "sure of payment"),
        ("tail-sampled", said("edge", EDGE, missing=ALIKE), ""),
        ("clock-skew", said("no_anomaly", completeness={"skewed": 3}), None),
        ("clock-skew", said("no_anomaly", completeness={"skewed": 0}), "skewed"),
        ("clock-skew-edge-delay", said("edge", EDGE, completeness={"skewed": 3}), None),
        ("cold-start", said("undetermined", missing=["a baseline window"]), None),
        ("cold-start", said("undetermined", missing=[]), "baseline"),
    ],
)
def test_a_grade_asks_all_that_the_truth_says(name: str, verdict: dict, lacks: str | None) -> None:
    grade = grade_verdict(scenario(name), verdict)

    assert grade.right == (lacks is None), grade.statement
    assert (lacks or "") in grade.statement


def test_what_stands_before_a_fault_stays_under_it() -> None:
    blind = scenario("uninstrumented")

    assert blind.before() == {"knobs": {"risk": {"spans": 0.0}}, "helpers": []}
    assert blind.fault()["knobs"]["risk"] == {"spans": 0.0, "score_cpu_ms": 44.0}
