"""The verdict's JSON has the contract's keys, in the contract's shapes."""

import json

import pytest

from opslib.core.checks import Check, worst
from opslib.core.errors import OpslibError, UsageError, near_names
from opslib.core.model import Budget, Candidate, Completeness, Finding, Onset, ScopeItem, Segment, Verdict
from opslib.core.outcome import EXIT_CODE, ExitCode, Outcome, outcome_of_verdict
from opslib.core.windows import Window, Windows

VERDICT = Verdict(
    service="payment",
    verdict="edge",
    summary="calls are slow",
    windows=Windows(Window(100, 200), Window(0, 100)),
    candidates=(
        Candidate(1, "edge", "payment", 0.93, "high", edge=("checkout", "payment"),
                  evidence=(Finding("trace", "waits", 532.6, 9.8, "ms", "capture", "spans"),)),
    ),
    onset=Onset(100, 1.5),
    scope=(ScopeItem("tenant", "acme", 0.9, 0.1),),
    budget=Budget(30, 40, Segment("total", 10, 30), (Segment("edge checkout->payment", 4, 30), Segment("unexplained", 6, 0))),
    completeness=Completeness(traces=70, spans=280, selection={"incident": "all", "baseline": "all"}, warnings=("w",)),
)  # fmt: skip


def test_keys_and_shapes_of_the_contract() -> None:
    record = json.loads(json.dumps(VERDICT.to_dict()))

    assert list(record) == [
        "schema", "service", "verdict", "summary", "missing", "windows", "onset", "scope", "candidates", "budget",
        "tail_budget", "completeness",
    ]  # fmt: skip
    assert record["windows"] == {"incident": [100, 200], "baseline": [0, 100]}
    assert record["onset"] == {"time": 100, "uncertainty_s": 1.5}
    assert record["candidates"][0]["edge"] == ["checkout", "payment"]
    assert record["candidates"][0]["evidence"][0]["baseline"] == 9.8
    assert record["budget"]["segments"][0] == {
        "segment": "edge checkout->payment", "baseline_ns": 4, "incident_ns": 30, "delta_ns": 26,
    }  # fmt: skip
    assert record["completeness"]["selection"] == {"incident": "all", "baseline": "all"}
    assert record["completeness"]["warnings"] == ["w"]


def test_absent_parts_are_null() -> None:
    record = Verdict("payment", "undetermined", "no baseline", Windows(Window(0, 1))).to_dict()

    assert (record["windows"]["baseline"], record["onset"], record["budget"], record["tail_budget"]) == (
        None,
    ) * 4


@pytest.mark.parametrize(
    ("kind", "code"),
    [("edge", 1), ("service", 1), ("dependency", 1), ("release", 1), ("no_anomaly", 0), ("undetermined", 7)],
)
def test_verdicts_map_to_exit_codes(kind: str, code: int) -> None:
    assert EXIT_CODE[outcome_of_verdict(kind)] == code


def test_every_outcome_has_an_exit_code() -> None:
    assert set(EXIT_CODE) == set(Outcome)


def test_every_error_is_one_of_ours_and_carries_a_code() -> None:
    def tree(kind: type[OpslibError]) -> set[type[OpslibError]]:
        return {kind}.union(*(tree(below) for below in kind.__subclasses__()))

    assert all(isinstance(kind("m", hint="h").exit_code, ExitCode) for kind in tree(OpslibError))
    assert UsageError("m").exit_code == 2
    assert UsageError("m").hint == ""


def test_near_names_are_suggested_and_bounded() -> None:
    assert near_names("payments", ["payment", "risk"]) == "did you mean payment? known: payment, risk"
    assert near_names("x", []) == "nothing is known here yet"
    assert near_names("zzz", [f"s{i:02d}" for i in range(12)]).endswith("and 2 more")


def test_the_worst_check_decides() -> None:
    checks = tuple(Check("n", outcome, "s") for outcome in (Outcome.PASS, Outcome.NO_DATA, Outcome.FAIL))

    assert worst(checks) is Outcome.FAIL
    assert worst(checks[:2]) is Outcome.NO_DATA
    assert worst(()) is Outcome.PASS
    assert checks[0].to_dict() == {"name": "n", "outcome": "pass", "statement": "s", "hint": ""}
