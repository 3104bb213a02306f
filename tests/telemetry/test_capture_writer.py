import json
import threading

import pandas as pd
import pytest

from opslib.core.checks import worst
from opslib.core.columns import COLUMNS
from opslib.core.errors import CaptureError, RefusedError
from opslib.core.evidence import SourceNote
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture import CaptureWriter, open_capture, show, verify
from opslib.testing import ManualClock

ALL = Windows(Window(0, 2**62))


def tuples(signal, rows):
    return [tuple(row.get(column.name) for column in COLUMNS[signal]) for row in rows]


def log(time_ns, body="x"):
    return (time_ns, "INFO", body, "payment", None, None, None, None)


def parts(folder, signal="spans"):
    return sorted(p.name for p in folder.glob(f"{signal}-*.parquet"))


@pytest.fixture
def writer(tmp_path):
    clock = ManualClock()
    with CaptureWriter(tmp_path / "live", clock=clock, fan_out=3, grace_s=60) as writer:
        writer.test_clock = clock
        yield writer


def test_what_is_rolled_is_readable_while_written(writer, rows, made):
    capture = open_capture(writer.path, live=True)
    assert capture.extent() is None
    for i in range(5):
        writer.append("spans", tuples("spans", rows[8 * i : 8 * i + 8]))
        assert sum(len(b) for b in capture.spans(ALL).blocks) == 8 * i
        writer.roll()
        assert sum(len(b) for b in capture.spans(ALL).blocks) == 8 * i + 8
    ends = max(row["end_time_unix_nano"] for row in rows[:40])
    assert capture.meta.windows.incident == Window(made.T0, ends + 1)
    assert capture.meta.selection == {"incident": "all", "baseline": "all"}
    assert worst(verify(writer.path)) == "pass"


def test_a_writer_that_wrote_nothing_leaves_a_capture(writer):
    assert show(writer.path)["rows"] == {}


def test_parts_are_merged_and_the_merged_ones_stay_for_readers_of_the_old_list(writer, rows):
    for i in range(9):
        writer.append("spans", tuples("spans", rows[4 * i : 4 * i + 4]))
        writer.roll()
    listed = json.loads((writer.path / "capture.json").read_text())["files"]
    assert [(name[:8], entry["rows"]) for name, entry in listed.items()] == [("spans-2-", 36)]
    assert len(parts(writer.path)) == 13
    writer.test_clock.advance(59)
    writer.roll()
    assert len(parts(writer.path)) == 13
    writer.test_clock.advance(2)
    writer.roll()
    assert parts(writer.path) == list(listed)
    assert sum(len(b) for b in open_capture(writer.path).spans(ALL).blocks) == 36


def test_hours_of_rolling_leave_few_files(tmp_path, rows):
    with CaptureWriter(tmp_path, fan_out=4, grace_s=0) as writer:
        for row in tuples("spans", rows[:90]):
            writer.append("spans", [row])
            writer.roll()
    assert len(parts(tmp_path)) <= 90 // 16 + 3 + 3
    assert show(tmp_path)["rows"] == {"spans": 90}


def test_a_damaged_part_is_not_merged_and_stops_nothing(writer, rows):
    writer.append("spans", tuples("spans", rows[:4]))
    writer.roll()
    (writer.path / parts(writer.path)[0]).write_text("scratched")
    for i in range(1, 8):
        writer.append("spans", tuples("spans", rows[4 * i : 4 * i + 4]))
        writer.roll()
    content = show(writer.path)
    assert content["rows"] == {"spans": 28}
    assert len(content["warnings"]) == 1


def test_a_reader_with_an_old_list_reads_the_new_one(tmp_path, rows, monkeypatch):
    """The list is read, then the merge deletes what it names: the answer is whole all the same."""
    from opslib.telemetry.capture import asking

    writer = CaptureWriter(tmp_path, fan_out=3, grace_s=0)
    for i in range(2):
        writer.append("spans", tuples("spans", rows[4 * i : 4 * i + 4]))
        writer.roll()
    real, calls = asking.find_parts, []

    def merged_meanwhile(*args):
        calls.append(args)
        if len(calls) == 1:
            writer.append("spans", tuples("spans", rows[8:12]))
            writer.roll()
        return real(*args)

    monkeypatch.setattr(asking, "find_parts", merged_meanwhile)
    spans = open_capture(tmp_path, live=True).spans(ALL)
    assert sum(len(block) for block in spans.blocks) == 12
    assert spans.note.warnings == ()
    writer.close()


def test_a_part_that_vanishes_under_the_question_is_read_from_the_new_list(tmp_path, rows, monkeypatch):
    from opslib.telemetry.capture import reader

    writer = CaptureWriter(tmp_path, fan_out=3, grace_s=0)
    for i in range(2):
        writer.append("spans", tuples("spans", rows[4 * i : 4 * i + 4]))
        writer.roll()
    real, calls = reader.prepare, []

    def merged_meanwhile(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            writer.append("spans", tuples("spans", rows[8:12]))
            writer.roll()
        return real(*args, **options)

    monkeypatch.setattr(reader, "prepare", merged_meanwhile)
    assert sum(len(block) for block in open_capture(tmp_path, live=True).spans(ALL).blocks) == 12
    writer.close()


def test_a_closed_capture_is_continued(tmp_path, rows, made):
    with CaptureWriter(tmp_path) as writer:
        writer.append("spans", tuples("spans", rows[:8]))
    created = show(tmp_path)["created"]
    (tmp_path / ".spans-0-00000077.parquet.tmp").write_text("half")
    (tmp_path / "spans-0-00000099.parquet").write_text("never listed")
    (tmp_path / "notes.txt").write_text("somebody's")
    with CaptureWriter(tmp_path) as writer:
        writer.append("spans", tuples("spans", rows[8:12]))
    assert show(tmp_path)["rows"] == {"spans": 12}
    assert show(tmp_path)["created"] == created
    assert parts(tmp_path) == ["spans-0-00000000.parquet", "spans-0-00000001.parquet"]
    assert sorted(p.name for p in tmp_path.iterdir() if "spans" not in p.name) == [
        ".writer.lock", "capture.json", "notes.txt"
    ]  # fmt: skip


def test_one_writer_a_folder(writer, tmp_path):
    with pytest.raises(RefusedError, match="another process writes"):
        CaptureWriter(writer.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="cannot write a capture"):
        CaptureWriter(tmp_path / "file" / "sub")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "capture.json").write_text("{}")
    with pytest.raises(CaptureError):
        CaptureWriter(tmp_path / "foreign")


def test_a_row_that_no_column_holds_costs_only_itself(writer):
    writer.append("logs", [log(1), log(None), log(2**63), log("1"), log(-1), log(True), log(2)])
    writer.append("logs", [log(3, "half a \ud800 character"), log(4, "nul \x00 and \U0001f600")])
    writer.roll()
    assert writer.rejected == {"logs": 4}
    bodies = open_capture(writer.path).logs(Window(0, 9)).frame["body"].tolist()
    assert bodies == ["x", "x", "x", "half a ? character", "nul \x00 and \U0001f600"]
    with pytest.raises(ValueError, match="a row of logs has 8 values"):
        writer.append("logs", [(1, 2)])


def test_the_last_instant_that_there_is_can_be_written(writer):
    writer.append("logs", [log(2**63 - 1)])
    writer.roll()
    assert open_capture(writer.path).extent() == Window(2**63 - 2, 2**63 - 1)
    assert writer.rejected == {"logs": 0}


def test_frames_are_written_at_once_with_absent_columns_as_null(writer):
    writer.append(
        "metrics", pd.DataFrame({"time_unix_nano": [5], "name": ["cpu"], "value": [1.5], "extra": [1]})
    )
    writer.append("topology", pd.DataFrame({"caller": ["a"], "callee": ["b"]}))
    capture = open_capture(writer.path)
    frame = capture.metrics(Window(0, 9)).frame
    assert frame["value"].tolist() == [1.5]
    assert frame["unit"].isna().all()
    assert capture.topology().frame.to_numpy().tolist() == [["a", "b"]]
    assert capture.meta.windows.incident == Window(5, 6)


def test_close_states_windows_sources_and_selection(tmp_path, rows):
    writer = CaptureWriter(tmp_path, selection={"incident": "slowest 20", "baseline": "all"})
    writer.append("spans", tuples("spans", rows))
    note = SourceNote("trace", "jaeger", "u", "q", 160, truncated=True, warnings=("w",))
    writer.close(Windows(Window(1, 2), Window(3, 4)), [note])
    writer.close()
    meta = open_capture(tmp_path).meta
    assert (meta.windows, meta.sources) == (Windows(Window(1, 2), Window(3, 4)), (note,))
    assert meta.selection["incident"] == "slowest 20"


def test_many_threads_append_while_one_rolls(tmp_path):
    with CaptureWriter(tmp_path, fan_out=4, grace_s=0) as writer:
        threads = [
            threading.Thread(
                target=lambda n=n: [writer.append("logs", [log(1 + n * 100 + i)]) for i in range(100)]
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            writer.roll()
    times = open_capture(tmp_path).logs(Window(0, 10_000)).frame["time_unix_nano"].tolist()
    assert times == list(range(1, 401))


def test_a_full_disk_is_told(tmp_path, rows, monkeypatch):
    import duckdb

    from opslib.telemetry.capture import writer as module

    def full(*args):
        raise duckdb.IOException("No space left on device")

    with CaptureWriter(tmp_path) as writer:
        monkeypatch.setattr(module, "write_rows", full)
        writer.append("spans", tuples("spans", rows[:4]))
        with pytest.raises(CaptureError, match="No space left"):
            writer.roll()
        monkeypatch.undo()
        writer.append("spans", tuples("spans", rows[4:8]))
    assert show(tmp_path)["rows"] == {"spans": 4}
