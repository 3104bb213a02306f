import json

import pytest

from opslib.core.checks import worst
from opslib.core.errors import CaptureError, RefusedError, SourceError
from opslib.core.redact import MASK, Redactor
from opslib.core.windows import Window, Windows
from opslib.telemetry import Sources, connect_capture
from opslib.telemetry.capture import export, open_capture, show, verify
from opslib.testing import ManualClock


@pytest.fixture
def windows(made):
    t = made.T0
    return Windows(Window(t + 20 * made.S, t + 25 * made.S), Window(t + 10 * made.S, t + 15 * made.S))


def test_an_export_holds_whole_traces_and_the_signals_of_both_windows(
    capture_folder, tmp_path, windows, rows, made
):
    out = export(connect_capture(capture_folder), windows, tmp_path / "new" / "out", clock=ManualClock())
    assert worst(verify(out)) == "pass"
    capture = open_capture(out)
    everything = Window(0, 2**62)
    assert capture.meta.windows == windows
    assert show(out)["rows"] == {"spans": 40, "logs": 10, "metrics": 20, "events": 1, "topology": 1}
    kept = [row["trace_id"] for t in (10, 20) for row in rows[4 * t : 4 * t + 20]]
    (block,) = capture.spans(windows).blocks
    assert block.trace_ids == tuple(sorted(set(kept)))
    assert capture.logs(everything).frame["body"].tolist() == [
        f"paid {t}" for t in (*range(10, 15), *range(20, 25))
    ]
    notes = {note.signal: note for note in capture.meta.sources}
    assert set(notes) == {"trace", "log", "metric", "event", "topology"}
    assert (notes["log"].rows, notes["log"].kind) == (10, "capture")
    assert not [p for p in (*out.iterdir(), *out.parent.iterdir()) if p.name.startswith(".")]


def test_the_same_evidence_exports_to_the_same_bytes(capture_folder, tmp_path, windows):
    folders = [
        export(connect_capture(capture_folder), windows, tmp_path / name, clock=ManualClock())
        for name in "ab"
    ]
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert first == second


def test_nothing_is_overwritten(capture_folder, tmp_path, windows):
    full, empty = tmp_path / "full", tmp_path / "empty"
    for folder in (full, empty):
        folder.mkdir()
    (full / "precious").write_text("x")
    with pytest.raises(RefusedError, match="not empty"):
        export(connect_capture(capture_folder), windows, full)
    with pytest.raises(RefusedError, match="not empty"):
        export(connect_capture(capture_folder), windows, full / "precious")
    assert [p.name for p in full.iterdir()] == ["precious"]
    assert worst(verify(export(connect_capture(capture_folder), windows, empty))) == "pass"
    with pytest.raises(CaptureError, match="cannot write"):
        export(connect_capture(capture_folder), windows, full / "precious" / "sub" / "out")


def test_an_export_that_fails_leaves_nothing(capture_folder, tmp_path, windows):
    class Broken:
        def logs(self, *args, **kwargs):
            raise SourceError("the log store is down")

    sources = connect_capture(capture_folder)
    broken = Sources(sources.traces, Broken(), sources.metrics, sources.changes)
    with pytest.raises(SourceError):
        export(broken, windows, tmp_path / "sub" / "out")
    assert list((tmp_path / "sub").iterdir()) == []


def test_secrets_do_not_leave(tmp_path, made, rows, windows):
    folder = tmp_path / "secret"
    folder.mkdir()
    attributes = json.dumps({"db.namespace": "ledger", "http.request.header.authorization": "hunter2hunter2"})
    rows = [row | {"attributes": attributes, "name": "GET /?token=hunter2hunter2"} for row in rows]
    made.write_parquet(folder / "spans.parquet", "spans", rows)
    body = "login with password=hunter2hunter2 failed"
    made.write_parquet(
        folder / "logs.parquet", "logs", [{"time_unix_nano": made.T0 + 21 * made.S, "body": body}]
    )
    made.write_manifest(folder)
    out = export(connect_capture(folder), windows, tmp_path / "out")
    capture = open_capture(out)
    frame = capture.trace(rows[80]["trace_id"]).frame
    assert frame["name"].unique().tolist() == [f"GET /?token={MASK}"]
    assert json.loads(frame["attributes"][0]) == {
        "db.namespace": "ledger", "http.request.header.authorization": MASK
    }  # fmt: skip
    assert capture.logs(windows.incident).frame["body"].tolist() == [f"login with password={MASK} failed"]
    assert all(b"hunter2" not in p.read_bytes() for p in out.iterdir())
    again = export(connect_capture(out), windows, tmp_path / "again", redactor=Redactor(["ledger"]))
    assert MASK in open_capture(again).trace(rows[80]["trace_id"]).frame["attributes"][0]


def test_sources_may_be_few(capture_folder, tmp_path, windows):
    sources = connect_capture(capture_folder)
    out = export(Sources(traces=sources.traces), windows, tmp_path / "spans")
    assert show(out)["rows"] == {"spans": 40}
    out = export(Sources(logs=sources.logs), windows, tmp_path / "logs")
    assert show(out)["rows"] == {"logs": 10}
