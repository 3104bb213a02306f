import json

import pytest

from opslib.core.checks import worst
from opslib.telemetry.capture import show, verify


def checks(folder):
    return {check.name: check for check in verify(folder)}


def test_a_whole_capture_passes_every_check(capture_folder):
    found = checks(capture_folder)
    assert worst(tuple(found.values())) == "pass"
    assert set(found) == {
        "capture.json", "events.parquet", "ids", "logs.parquet", "metrics.parquet", "parents", "repeats",
        "spans-a.parquet", "spans-b.parquet", "times", "topology.parquet", "window baseline", "window incident",
    }  # fmt: skip
    assert "20 traces" in found["window incident"].statement
    assert found["spans-a.parquet"].statement.endswith("checksum right")


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.unlink(), "not there"),
        (lambda p: p.write_bytes(p.read_bytes()[:-20]), "checksum"),
        (lambda p: p.write_bytes(b"PAR1"), "was left out"),
        (_flip, "checksum"),
        (lambda p: (p.unlink(), p.mkdir()), "not there"),
    ],
)
def test_a_damaged_file_fails_its_check(capture_folder, damage, words):
    damage(capture_folder / "logs.parquet")
    found = checks(capture_folder)
    assert found["logs.parquet"].outcome == "fail"
    assert words in found["logs.parquet"].statement
    assert found["logs.parquet"].hint
    assert found["spans-a.parquet"].outcome == "pass"


def test_damage_inside_is_found_by_reading_to_the_end(capture_folder, made):
    path = capture_folder / "spans-a.parquet"
    data = bytearray(path.read_bytes())
    data[10:400] = b"x" * 390
    path.write_bytes(data)
    made.write_manifest(capture_folder, files=False)
    assert checks(capture_folder)["spans-a.parquet"].outcome == "fail"


def test_columns_types_and_rows_are_compared(capture_folder, made, rows):
    made.write_parquet(
        capture_folder / "spans-a.parquet", "spans", rows[:8], types={"start_time_unix_nano": "VARCHAR"}
    )
    made.write_parquet(
        capture_folder / "spans-b.parquet", "spans", rows[8:], leave_out=("status_code", "links")
    )
    content = json.loads((capture_folder / "capture.json").read_text())
    found = checks(capture_folder)
    assert "column start_time_unix_nano is VARCHAR, not BIGINT" in found["spans-a.parquet"].statement
    assert "holds 8 rows, capture.json says 80" in found["spans-a.parquet"].statement
    assert "it has no column status_code" in found["spans-b.parquet"].statement
    assert "links" not in found["spans-b.parquet"].statement
    assert content["files"]["spans-a.parquet"]["rows"] == 80


def test_ids_parents_windows_and_repeats(tmp_path, made, rows):
    odd = [row | {"parent_span_id": "f" * 16} for row in rows[:80]]
    odd[0] |= {"trace_id": "T1", "span_id": "S1"}
    made.write_parquet(tmp_path / "spans.parquet", "spans", [*odd, odd[5], odd[5]])
    made.write_manifest(tmp_path, windows={"incident": [made.T0, made.T0 + 10**12], "baseline": [1, 2]})
    found = checks(tmp_path)
    assert (found["ids"].outcome, found["parents"].outcome) == ("fail", "fail")
    assert "(1 of 82)" in found["ids"].statement
    assert found["window baseline"].outcome == "no_data"
    assert found["repeats"].statement.startswith("2 rows")
    made.write_manifest(tmp_path, windows={"incident": [made.T0, made.T0 + 10**12]})
    assert checks(tmp_path)["window baseline"].outcome == "pass"


def test_no_readable_span_is_a_failed_check(tmp_path, made):
    (tmp_path / "spans.parquet").write_text("x")
    made.write_manifest(tmp_path, files=False)
    found = checks(tmp_path)
    assert (found["spans.parquet"].outcome, found["spans"].outcome) == ("fail", "fail")


def test_a_capture_may_hold_no_spans_at_all(tmp_path, made):
    made.write_manifest(tmp_path)
    assert worst(verify(tmp_path)) == "pass"


def test_show_says_what_there_is(capture_folder, made, rows):
    content = show(capture_folder)
    assert content["rows"] == {"spans": 160, "logs": 40, "metrics": 80, "events": 1, "topology": 2}
    assert content["services"] == ["front", "payment", "risk"]
    assert content["windows"]["baseline"] == [made.T0, made.T0 + 20 * made.S]
    assert content["time_range"][0] == made.T0
    assert 39 < content["duration_s"] < 40
    assert content["bytes"] == sum(p.stat().st_size for p in capture_folder.glob("*.parquet"))
    assert content["warnings"] == []
    json.dumps(content, allow_nan=False)


def test_show_of_a_capture_with_a_damaged_signal(capture_folder):
    (capture_folder / "logs.parquet").write_text("x")
    content = show(capture_folder)
    assert "logs" not in content["rows"]
    assert "logs.parquet was left out" in content["warnings"][0]
    for path in capture_folder.glob("spans*"):
        path.write_text("x")
    assert show(capture_folder)["time_range"] is None
