import json

import pytest

from opslib.core.errors import (
    CaptureError,
    EnvironmentNotFoundError,
    ServiceNotFoundError,
    UsageError,
    WindowError,
)
from opslib.core.model import Onset
from opslib.core.redact import MASK
from opslib.core.settings import Settings
from opslib.core.windows import Window, Windows
from opslib.diagnosis import diagnose
from opslib.diagnosis.onset import Course
from opslib.investigate import ask, export_evidence, find_cause
from opslib.investigate import cause as module
from opslib.telemetry.capture import open_capture
from opslib.testing import ManualClock


def slower(rows, made, after, by_ns):
    """Every span takes longer from a time on."""
    changed = []
    for row in rows:
        at = (row["start_time_unix_nano"] - made.T0) // made.S
        changed.append(
            row | ({"end_time_unix_nano": row["end_time_unix_nano"] + by_ns} if at >= after else {})
        )
    return changed


def test_a_capture_is_asked_in_its_own_windows(capture_folder, made):
    found = find_cause("payment", capture=capture_folder)
    assert found.verdict.windows == Windows(
        Window(made.T0 + 20 * made.S, made.T0 + 40 * made.S), Window(made.T0, made.T0 + 20 * made.S)
    )
    assert found.window_choice == "the capture's own windows"
    assert found.verdict.service == found.service == "payment"
    assert len(found.diagnosis.calls) == 40
    assert found.capture == capture_folder
    assert set(found.timings) == {"load", "critical_path", "diagnose"}
    assert all(seconds >= 0 for seconds in found.timings.values())
    assert found.timings["load"] > 0
    json.dumps(found.verdict.to_dict(), allow_nan=False)
    assert {note.signal for note in found.evidence.notes} == {"trace", "log", "metric", "event", "topology"}


def test_the_diagnosis_gets_all_evidence_and_no_service_when_none_is_named(capture_folder):
    asked = []

    def watch(evidence, service):
        asked.append((evidence, service))
        return diagnose(evidence, service)

    find_cause("", capture=str(capture_folder), diagnose=watch)
    ((evidence, service),) = asked
    assert service is None
    assert sum(len(block) for block in evidence.spans) == 160
    assert sum(len(block) for block in evidence.spans) == 160, "a second pass reads the same"
    assert (len(evidence.logs), len(evidence.metrics), len(evidence.events), len(evidence.topology)) == (
        40,
        80,
        1,
        1,
    )


def test_slow_calls_are_read_again_with_their_attributes_and_compared(tmp_path, made):
    rows = made.shop_rows(200, spacing_ns=made.S // 5)
    for number, row in enumerate(rows):
        call, late = number // 4, row["start_time_unix_nano"] >= made.T0 + 20 * made.S
        if row["service_name"] == "payment" and row["kind"] == "SERVER":
            row["attributes"] = json.dumps(
                {"tenant.id": "acme" if call % 3 == 0 else "other", "password": "x"}
            )
        if call % 3 == 0 and late and number % 4 < 3:
            row["end_time_unix_nano"] += 400_000_000
    made.write_parquet(tmp_path / "spans.parquet", "spans", rows)
    seconds = {"incident": (20, 40), "baseline": (0, 20)}
    made.write_manifest(
        tmp_path, windows={k: [made.T0 + a * made.S, made.T0 + b * made.S] for k, (a, b) in seconds.items()}
    )

    found = find_cause("payment", capture=tmp_path)

    assert (found.verdict.verdict, found.verdict.candidates[0].service) == ("service", "payment")
    first = found.verdict.scope[0]
    assert (first.attribute, first.value) == ("tenant", "acme")
    assert (first.share_slow > 0.8, first.share_normal < 0.2) == (True, True)
    assert MASK not in json.dumps(found.verdict.to_dict())


def test_live_the_onset_is_looked_for_in_the_calls(live, made, monkeypatch):
    settings = live(made.shop_rows(120))
    clock = ManualClock(now_ns=made.T0 + 121 * made.S)
    seen = []

    def course(times, durations, errors, spans):
        seen.append((len(times), times.dtype, durations.dtype, errors.dtype, spans.tolist()))
        return Course(Onset(made.T0 + 90 * made.S, 1.0), made.T0 + 70 * made.S)

    monkeypatch.setattr(module, "find_course", course)
    found = find_cause("payment", settings=settings, clock=clock)
    assert seen[0][0] in range(116, 121)
    assert [str(dtype) for dtype in seen[0][1:4]] == ["int64", "int64", "bool"]
    assert set(seen[0][4]) == {3}, "the wait for payment, its own span and what it calls"
    assert found.verdict.windows.incident.start_ns == made.T0 + 90 * made.S
    assert found.verdict.windows.baseline == Window(made.T0 + 70 * made.S, made.T0 + 90 * made.S)
    assert "since the onset at" in found.verdict.summary
    assert found.verdict.onset == Onset(made.T0 + 90 * made.S, 1.0)
    assert found.environment.name == "lab"
    assert found.evidence.known_services == {"mapped"}


def test_live_without_onset_a_young_lab_is_halved_and_that_is_said(live, made):
    settings = live(made.shop_rows(60))
    clock = ManualClock(now_ns=made.T0 + 61 * made.S)
    found = find_cause(settings=settings, clock=clock, diagnose=diagnose)
    assert "later half" in found.window_choice
    assert "later half" in found.verdict.summary
    assert found.verdict.completeness.warnings == tuple(
        text for text in found.verdict.completeness.warnings if "stopped" not in text
    )


def test_calls_that_break_their_slo_from_the_beginning_have_no_baseline_live_and_exported(
    live, made, tmp_path
):
    settings = live(slower(made.shop_rows(60), made, 0, 300_000_000))
    clock = ManualClock(now_ns=made.T0 + 61 * made.S)
    config = tmp_path / "lab" / "opslib.toml"
    plain = config.read_text()
    assert find_cause("payment", settings=settings, clock=clock).verdict.verdict == "no_anomaly"

    config.write_text(f"{plain}[environments.lab.services.payment]\nslo = {{p95_ms = 200}}\n")
    found = find_cause("payment", settings=settings, clock=clock)
    out = export_evidence(tmp_path / "out", ask("payment", settings=settings, clock=clock))

    assert found.verdict.verdict == "undetermined"
    assert found.verdict.missing[0].startswith("a baseline window")
    assert "calls break their SLO" in found.verdict.summary
    assert open_capture(out).meta.windows == found.verdict.windows
    there = find_cause("payment", capture=out).verdict.to_dict()
    assert there | {"summary": ""} == found.verdict.to_dict() | {"summary": ""}


@pytest.mark.parametrize("slo", ["7", "{p95_ms = 0}", "{availability_pct = 101}", '{p95_ms = "fast"}'])
def test_what_is_no_objective_is_refused(live, made, tmp_path, slo):
    settings = live(made.shop_rows(60))
    config = tmp_path / "lab" / "opslib.toml"
    config.write_text(f"{config.read_text()}[environments.lab.services.payment]\nslo = {slo}\n")
    with pytest.raises(UsageError, match=r"payment\.slo"):
        find_cause("payment", settings=settings, clock=ManualClock(now_ns=made.T0 + 61 * made.S))


def test_a_lab_that_stopped_is_told(live, made):
    settings = live(made.shop_rows(60))
    found = find_cause("payment", settings=settings, clock=ManualClock(now_ns=made.T0 + 600 * made.S))
    assert any("the source seems to have stopped" in text for text in found.verdict.completeness.warnings)


def test_live_and_exported_evidence_give_the_same_verdict(live, made, tmp_path):
    rows = slower(made.shop_rows(120), made, 60, 300_000_000)
    logs = [
        {
            "time_unix_nano": made.T0 + t * made.S,
            "body": f"charge {t} failed, token=abcdef{t}",
            "service_name": "payment",
        }
        for t in range(120)
    ]
    settings, clock = live(rows, logs), ManualClock(now_ns=made.T0 + 121 * made.S)
    when = {
        "window": str(Window(made.T0 + 60 * made.S, made.T0 + 110 * made.S)),
        "baseline": str(Window(made.T0 + 5 * made.S, made.T0 + 55 * made.S)),
    }
    there = find_cause("payment", settings=settings, clock=clock, **when)
    out = export_evidence(tmp_path / "out", ask("payment", settings=settings, clock=clock, **when))
    moved = out.rename(tmp_path / "elsewhere")
    here = find_cause("payment", capture=moved)
    assert here.verdict.to_dict() == there.verdict.to_dict()
    assert here.evidence.logs["body"].str.endswith(f"token={MASK}").all()
    assert there.evidence.logs["body"].str.endswith(f"token={MASK}").all()
    assert open_capture(moved).meta.windows == there.verdict.windows


def test_a_service_that_does_not_exist(capture_folder):
    with pytest.raises(ServiceNotFoundError, match="'paymnt'") as raised:
        find_cause("paymnt", capture=capture_folder)
    assert raised.value.hint == "did you mean payment? known: front, ledger, payment, risk"


@pytest.mark.parametrize("service", ["ledger", "risk"])
def test_a_name_that_another_signal_or_a_peer_bears_may_be_asked(capture_folder, service):
    assert find_cause(service, capture=capture_folder).verdict.service == service


def test_a_capture_of_a_meshs_metrics_alone_is_enough(tmp_path, made):
    """Each second ten requests meet version 1 in 40 ms; in the incident as many meet version 2 in 400 ms."""
    samples = []
    for second in range(40):
        for version, ms, since in (("1", 40, 0), ("2", 400, 20)):
            told = {"source_workload": "order", "destination_workload": "payment", "response_code": "200"}
            labels = json.dumps(told | {"destination_version": version, "reporter": "destination"})
            n = 10 * (second - since + 1)
            counters = {"istio_requests_total": n, "count": n, "sum": n * ms} if n > 0 else {}
            for name, value in counters.items():
                full = name if "_" in name else f"istio_request_duration_milliseconds_{name}"
                samples.append(
                    {
                        "time_unix_nano": made.T0 + second * made.S,
                        "name": full,
                        "value": float(value),
                        "labels": labels,
                    }
                )
    made.write_parquet(tmp_path / "metrics.parquet", "metrics", samples)
    made.write_manifest(tmp_path)

    found = find_cause("payment", capture=tmp_path).verdict

    assert (found.verdict, found.candidates[0].service) == ("release", "payment")
    assert [(item.attribute, item.value) for item in found.scope] == [("version", "2")]


def test_a_window_without_data(capture_folder):
    with pytest.raises(WindowError, match="there are no data between") as raised:
        find_cause("payment", capture=capture_folder, window="2020-01-01T00:00:00Z/2020-01-01T01:00:00Z")
    assert raised.value.hint.startswith("the source holds 2026-01-31T03:00:00Z/")


def test_a_window_with_logs_alone_holds_data(capture_folder, made):
    window = str(Window(made.T0 + 39_000_000_000, made.T0 + 39_000_000_001))
    for path in capture_folder.glob("spans*"):
        path.unlink()
    made.write_manifest(capture_folder)
    assert len(find_cause(None, capture=capture_folder, window=window).evidence.logs) == 1


def test_an_empty_lab_asks_for_patience(live, made):
    settings = live([])
    with pytest.raises(WindowError, match="no data yet"):
        find_cause("payment", settings=settings, clock=ManualClock())


def test_no_lab_no_environment_no_capture(tmp_path):
    with pytest.raises(EnvironmentNotFoundError, match="no lab is running"):
        find_cause("payment", settings=Settings(cwd=tmp_path))
    with pytest.raises(CaptureError):
        find_cause("payment", capture=tmp_path)


def test_an_export_of_nothing_writes_nothing(capture_folder, tmp_path):
    question = ask(capture=capture_folder, window="2020-01-01T00:00:00Z/2020-01-01T01:00:00Z")
    with pytest.raises(WindowError):
        export_evidence(tmp_path / "out", question)
    assert not (tmp_path / "out").exists()


def test_damage_is_in_the_verdict(capture_folder):
    (capture_folder / "spans-a.parquet").write_text("x")
    warnings = find_cause("payment", capture=capture_folder).verdict.completeness.warnings
    assert any(text.startswith("spans-a.parquet was left out") for text in warnings)


def test_traces_and_their_logs_by_hand(capture_folder, rows):
    found = find_cause("payment", capture=capture_folder)
    spans = found.trace(rows[0]["trace_id"])
    assert spans["name"].tolist() == ["GET /", "POST /pay", "POST /pay", "INSERT"]
    assert {"depth", "own_ns", "on_path", "segment", "edge_wait_ns"} <= set(spans)
    assert found.logs_of(rows[8]["trace_id"])["body"].tolist() == ["paid 2"]
    assert found.trace("0" * 32).empty
    assert found.logs_of("0" * 32).empty


def test_one_slow_and_one_typical_call(capture_folder, rows, made):
    found = find_cause("payment", capture=capture_folder)
    calls = found.diagnosis.calls
    slow, normal = found.slow_and_normal()
    incident = calls[calls["window"] == "incident"].sort_values("duration_ns")
    assert incident["trace_id"].tolist().index(slow) == 19
    assert normal in calls[calls["window"] == "baseline"]["trace_id"].tolist()
    assert found.slow_and_normal() == (slow, normal)


def test_where_failures_rose_and_durations_did_not_a_failing_call_is_shown(tmp_path, made):
    rows = [
        row | {"status_code": "ERROR" if i >= 80 and i % 3 == 0 else "UNSET"}
        for i, row in enumerate(made.shop_rows())
    ]
    folder = made.write_capture(tmp_path / "failing", rows)
    found = find_cause("payment", capture=folder)
    calls = found.diagnosis.calls.set_index("trace_id")
    assert calls.loc[found.slow_and_normal()[0], "error"]


def test_without_a_baseline_the_typical_call_is_of_the_incident(capture_folder, made):
    window = str(Window(made.T0, made.T0 + 40 * made.S))
    slow, normal = find_cause("payment", capture=capture_folder, window=window, baseline="").slow_and_normal()
    assert slow != normal
    nothing = find_cause("risk", capture=capture_folder)
    assert nothing.slow_and_normal() == (None, None)
