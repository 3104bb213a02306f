import pytest

from opslib.core.settings import Settings
from opslib.investigate import preflight
from opslib.testing import ManualClock


def checks(*args, **options):
    return {check.name: check for check in preflight(*args, **options)}


def test_a_whole_capture_is_ready(capture_folder):
    found = checks("payment", capture=capture_folder)
    assert {name: str(check.outcome) for name, check in found.items()} == dict.fromkeys(
        ("environment", "traces", "logs", "metrics", "logs with trace ids", "service", "calls", "both sides"),
        "pass",
    )
    assert found["calls"].statement.startswith("40 calls of payment")
    assert "100 % (40 of 40)" in found["both sides"].statement


def test_an_unknown_service_gets_near_names(capture_folder):
    found = checks("paymnt", capture=capture_folder)
    assert found["service"].outcome == "fail"
    assert "did you mean payment?" in found["service"].hint
    assert found["calls"].outcome == "no_data"
    assert "service" not in checks(capture=capture_folder)


def test_no_lab_is_one_failed_check(tmp_path):
    found = checks(settings=Settings(cwd=tmp_path))
    assert [(name, str(check.outcome), check.hint) for name, check in found.items()] == [
        ("environment", "error", "start one: opslib lab up")
    ]


@pytest.mark.parametrize(("age_s", "outcome"), [(10, "pass"), (90, "no_data")])
def test_a_lab_is_fresh_or_has_stopped(live, made, age_s, outcome):
    settings, clock = live(made.shop_rows(60)), ManualClock(now_ns=made.T0 + (60 + age_s) * made.S)
    assert checks("payment", settings=settings, clock=clock)["traces"].outcome == outcome


def test_an_empty_lab_has_no_data(live):
    assert checks(settings=live([]), clock=ManualClock())["traces"].outcome == "no_data"


def test_sources_that_are_missing_or_broken_are_checks(capture_folder, tmp_path, made):
    (tmp_path / "opslib.toml").write_text('[environments.x]\ntraces = {kind = "capture", path = "capture"}\n')
    found = checks(environment="x", settings=Settings(cwd=tmp_path))
    assert (found["logs"].outcome, found["logs"].statement) == ("no_data", "no source is named")
    for path in capture_folder.glob("spans*"):
        path.write_text("x")
    assert checks(environment="x", settings=Settings(cwd=tmp_path))["sources"].outcome == "error"
    (tmp_path / "opslib.toml").write_text("[environments.x]\n")
    assert (
        checks(environment="x", settings=Settings(cwd=tmp_path))["traces"].statement == "no source is named"
    )


def test_logs_without_trace_ids_and_spans_of_one_side(tmp_path, made, rows):
    spans = [row for row in rows if row["kind"] == "SERVER"]
    made.write_parquet(tmp_path / "spans.parquet", "spans", spans)
    made.write_parquet(tmp_path / "logs.parquet", "logs", [{"time_unix_nano": made.T0 + made.S, "body": "x"}])
    made.write_manifest(tmp_path)
    found = checks("payment", capture=tmp_path)
    assert found["logs with trace ids"].outcome == "no_data"
    assert found["both sides"].outcome == "no_data"
    assert found["metrics"].outcome == "no_data"
