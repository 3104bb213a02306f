"""The ground-truth table, and the grading of verdicts against it."""

import pytest

from opslib.core.errors import UsageError
from opslib.lab.grading import grade_verdict
from opslib.lab.process import ROLES
from opslib.lab.scenarios import SCENARIOS, scenario, scenario_names
from opslib.lab.supervisor.plan import PROCESSES

TRUTH = {
    "healthy": ("no_anomaly", None, None),
    "risk-cpu": ("service", "risk", None),
    "ledger-lock": ("dependency", "ledger", ("payment", "ledger")),
    "edge-delay": ("edge", "risk", ("payment", "risk")),
    "payment-exception": ("service", "payment", None),
}


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

    assert set(fault["knobs"]) <= set(PROCESSES)
    assert {helper["role"] for helper in fault["helpers"]} <= set(ROLES)
    assert (name == "healthy") == (not fault["knobs"] and not fault["helpers"])


@pytest.mark.parametrize("name", TRUTH)
def test_only_the_right_verdict_is_right(name: str) -> None:
    grades = {other: grade_verdict(scenario(name), verdict_of(*said)) for other, said in TRUTH.items()}

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
