"""Logs, metrics, changes and topology that lie: they can weaken or back what the traces say, never break or hide it."""

from __future__ import annotations

from pathlib import Path

import pytest

from opslib.diagnosis import cohorts
from tests.cli.hostile import EVIL, WINDOWS, Ask, Rows, rows, write_capture

S = 1_000_000_000
BEFORE, AFTER = WINDOWS["baseline"][0], WINDOWS["incident"][0]
DEEP = "[" * 10_000 + "]" * 10_000


def holds(ask: Ask, tmp_path: Path, **signals: Rows) -> str:
    """The cause in the traces is found all the same, and nothing that reaches a terminal is dangerous."""
    folder = write_capture(tmp_path / "capture", **signals)
    said = ask("diagnose", folder, "--service", "payment", "--json")
    assert (said.code, said.suspect) == (1, ("edge", "risk"))
    shown = ask("diagnose", folder, "--service", "payment")
    assert not set("\x1b\0\u202e") & set(shown.out + shown.err)
    return said.warnings


def samples(values: list[float], **columns: object) -> Rows:
    """One half of the values in the baseline, the other in the incident."""
    half = len(values) // 2
    at = [(BEFORE if i < half else AFTER) + i % half * S for i in range(len(values))]
    return [
        {"time_unix_nano": t, "name": "cpu_usage", "value": v, "service_name": "order"} | columns
        for t, v in zip(at, values, strict=True)
    ]


RISE = [1.0] * 20 + [50.0] * 20
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "values",
    [[NAN] * 40, [1.0] * 20 + [INF] * 20, [INF, -INF, NAN, 1e308] * 10, [-1e308] * 20 + [1e308] * 20, [5e-324, 0.0] * 20],
    ids=["no number", "infinite", "all at once", "beyond a double", "next to nothing"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["cpu_usage", "requests_total"])
def test_samples_that_cannot_be_added(ask: Ask, tmp_path: Path, values: list[float], name: str) -> None:
    warned = holds(ask, tmp_path, metrics=samples(values, name=name))

    beyond = sum(abs(value) > 1e100 for value in values)
    assert (f"{beyond} samples of metrics are infinite, or beyond any measure" in warned) == (beyond > 0)


@pytest.mark.parametrize(
    "columns",
    [
        {"labels": DEEP},
        {"labels": f'{{"pool": {DEEP}}}', "name": "db.client.connection.pending"},
        {"labels": f'{{"le": {"9" * 6000}}}', "name": "latency_bucket"},
        {"labels": '{"le": ["x"], "source_workload": {}, "reporter": 5}', "name": "istio_request_duration_bucket"},
        {"labels": r'{"pool": "\ud800"}', "name": "db.client.connection.pending"},
        {"name": EVIL, "unit": EVIL, "k8s_pod_name": EVIL},
        {"service_name": None},
        {"name": "m" * 1_000_000},
    ],
    ids=["deep", "deep in an object", "digits", "other types", "half a character", "evil", "nobody's", "a megabyte"],
)  # fmt: skip
def test_samples_with_hostile_names(ask: Ask, tmp_path: Path, columns: dict) -> None:
    warned = holds(ask, tmp_path, metrics=samples(RISE, **columns))

    assert ("name of metrics longer than 16,384 bytes: shortened" in warned) == (
        columns.get("name", "")[-2:] == "mm"
    )


@pytest.mark.parametrize(
    "body",
    [None, "", EVIL, DEEP, "{" * 10_000, " " * 10_000 + "x", "http://" + "a:" * 5_000 + "@", "password=" * 1_000,
     "-----BEGIN PRIVATE KEY-----" * 500, "eyJ" + "a" * 5_000 + "." + "b" * 5_000, "0123456789abcdef-" * 900, "%{x}$1\\" * 900],
    ids=["null", "empty", "evil", "deep", "braces", "blank", "address", "secrets", "keys", "token", "ids", "templates"],
)  # fmt: skip
def test_log_lines_of_any_kind(ask: Ask, tmp_path: Path, body: str | None) -> None:
    lines = [
        {
            "time_unix_nano": at + i,
            "severity_text": EVIL,
            "body": body,
            "service_name": "order",
            "trace_id": EVIL,
        }
        for at, n in ((BEFORE, 2), (AFTER, 40))
        for i in range(n)
    ]

    holds(ask, tmp_path, logs=lines)


def test_a_log_line_of_a_megabyte_is_shortened_and_told(ask: Ask, tmp_path: Path) -> None:
    line = {"time_unix_nano": AFTER, "body": "x " * 500_000, "service_name": "risk"}

    assert "1 x body of logs longer than 16,384 bytes: shortened" in holds(ask, tmp_path, logs=[line] * 1)


@pytest.mark.parametrize(
    "columns",
    [
        {"attributes": DEEP},
        {"attributes": f'{{"from": {DEEP}, "to": {DEEP}}}'},
        {"attributes": f'{{"to": {"9" * 6000}, "from": [], "pods": 5}}'},
        {"attributes": r'{"from": "\ud800", "to": "\udfff"}'},
        {"message": EVIL, "name": EVIL, "kind": EVIL, "reason": EVIL},
        {"message": None, "name": None, "kind": None, "reason": None, "type": None},
        {"message": "m" * 100_000, "name": "n" * 100_000},
        {"time_unix_nano": -(2**63)},
        {"time_unix_nano": 2**63 - 1},
    ],
)
def test_changes_of_any_kind(ask: Ask, tmp_path: Path, columns: dict) -> None:
    change = {
        "time_unix_nano": AFTER,
        "type": "Change",
        "reason": "Rollout",
        "message": "v2",
        "name": "order",
    }

    holds(ask, tmp_path, events=[change | columns] * 3)


def test_a_topology_of_loops_and_long_names(ask: Ask, tmp_path: Path) -> None:
    chain = [{"caller": f"s{i}", "callee": f"s{i + 1}"} for i in range(3_000)]
    odd = [
        {"caller": "x", "callee": "x"},
        {"caller": EVIL, "callee": "r" * 100_000},
        {"caller": None, "callee": ""},
    ]

    holds(ask, tmp_path, topology=[*chain, {"caller": "s3000", "callee": "s0"}, *odd])


def test_pods_without_end_are_compared_once_each(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[int] = []
    plus = cohorts.Sums.__add__
    monkeypatch.setattr(cohorts.Sums, "__add__", lambda a, b: (added.append(1), plus(a, b))[1])
    first = next(r for r in rows() if r["parent_span_id"] is None and r["start_time_unix_nano"] >= AFTER)
    more = [
        first | {"trace_id": f"{i + 1:032x}", "service_name": "payment", "k8s_pod_name": f"pod-{i // 10}"}
        for i in range(3_000)
    ]
    said = ask(
        "diagnose", write_capture(tmp_path / "capture", rows() + more), "--service", "payment", "--json"
    )

    assert said.code in {0, 1, 7}
    assert len(added) < 5_000
