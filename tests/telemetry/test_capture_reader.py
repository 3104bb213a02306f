import dataclasses
import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opslib.core.blocks import blocks_from_frame
from opslib.core.errors import CaptureError, SourceError
from opslib.core.evidence import PEER_TYPES
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture import ReadLimits, open_capture, show

SLOW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def texts(strings):
    values = strings.values  # noqa: PD011 - no frame
    return [None if code < 0 else values[code] for code in strings.codes]


def same(one, other):
    """Blocks are equal when every column says the same, codes resolved."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if hasattr(a, "codes"):
            assert texts(a) == texts(b), field.name
            assert set(texts(a)) - {None} <= set(a.values)
            assert list(a.values) == sorted(set(a.values)), field.name
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b, field.name
    return True


def read(folder, windows=None, *, limits=None, **options):
    capture = open_capture(folder, limits=limits)
    return list(capture.spans(windows or capture.meta.windows, **options).blocks)


def windows_of(made, *pairs):
    return Windows(*(Window(made.T0 + a * made.S, made.T0 + b * made.S) for a, b in pairs))


def test_the_reader_and_the_frame_reader_give_one_block(capture_folder, rows, made):
    windows = windows_of(made, (20, 40), (0, 20))
    (block,) = read(capture_folder)
    (other,) = blocks_from_frame(made.frame_of("spans", rows), windows=windows)
    assert same(block, other)
    assert len(block) == 160
    named = dict.fromkeys(zip(texts(block.service), texts(block.peer), block.peer_type.tolist(), strict=True))
    assert ("payment", "ledger", PEER_TYPES.index("database")) in named
    assert ("front", "payment", PEER_TYPES.index("service")) in named


def test_some_traces_alone_are_read_with_their_attributes(capture_folder, rows, made):
    wanted = sorted({row["trace_id"] for row in rows})[::7]
    windows = windows_of(made, (20, 40), (0, 20))
    of_these = [row for row in rows if row["trace_id"] in wanted]
    (expected,) = blocks_from_frame(made.frame_of("spans", of_these), windows=windows, attributes=True)
    (found,) = read(capture_folder, attributes=True, traces=[*wanted, "0" * 32])
    assert same(found, expected)
    assert read(capture_folder, traces=[]) == []


odd = st.fixed_dictionaries({
    "parent_span_id": st.sampled_from([None, "", "0" * 16, "1" * 16, "2" * 16, "3" * 16, "f" * 16]),
    "name": st.sampled_from([None, "", "x", "é\U0001f600", "a\x1fb"]),
    "kind": st.sampled_from([None, "CLIENT", "SERVER", "Server", "INTERNAL", "PRODUCER", "UNSPECIFIED", "what"]),
    "status_code": st.sampled_from([None, "ERROR", "OK", "error"]),
    "service_name": st.sampled_from([None, "", "a", "b"]),
    "service_version": st.sampled_from([None, "", "v1"]),
    "k8s_pod_name": st.sampled_from([None, "", "p"]),
    "attributes": st.sampled_from([
        None, "", "{", "[]", "7", "null", '"x"', "{}", '{"peer.service": "r"}', '{"peer.service": ""}',
        '{"peer.service": 3, "db.name": "l"}', '{"server.address": "localhost:80", "db.system": "redis"}',
        '{"server.address": "db:5432"}', '{"peer.service": "a\\u001fb\\"c"}', '{"db.name": {"x": 1}}',
        '{"service.peer.name": "\\u00e9", "x": NaN}', '{"service.peer.name": "\\u00e9"}',
    ]),
    "start_time_unix_nano": st.integers(0, 6),
    "end_time_unix_nano": st.integers(0, 9),
    "trace_id": st.sampled_from([None, "a" * 32, "b" * 32, "c" * 32]),
    "span_id": st.sampled_from([None, "1" * 16, "2" * 16, "3" * 16, "4" * 16]),
})  # fmt: skip


@given(rows=st.lists(odd, min_size=1, max_size=25), hexed=st.booleans(), cut=st.integers(1, 5))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_rows_both_readers_agree(tmp_path_factory, made, rows, hexed, cut):
    if not hexed:  # ids of other shapes take another way through the database
        rows = [r | {"span_id": r["span_id"] and "x" + r["span_id"][:cut]} for r in rows]
    windows = Windows(Window(1, 3), Window(4, 6))
    folder = tmp_path_factory.mktemp("odd")
    for i in range(min(cut, 3)):
        made.write_parquet(folder / f"spans-{i}.parquet", "spans", rows[i::3] if cut > 2 else rows[i::cut])
    made.write_manifest(folder, windows={"incident": [1, 3], "baseline": [4, 6]})
    expected = blocks_from_frame(made.frame_of("spans", rows), windows=windows, attributes=True)
    found = read(folder, attributes=True)
    assert len(found) == len(expected)
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))


@given(seed=st.integers(0, 2**32), parts=st.integers(1, 6), renamed=st.booleans())
@SLOW
def test_any_order_and_any_cut_into_files_gives_the_same(tmp_path_factory, made, seed, parts, renamed):
    rows = made.shop_rows(20)
    rows += rows[5:15]  # some spans twice
    rng = random.Random(seed)
    one, other = (tmp_path_factory.mktemp(name) for name in ("one", "other"))
    made.write_parquet(one / "spans.parquet", "spans", rows)
    rng.shuffle(rows)
    for part in range(parts):
        name = f"spans-{rng.random() if renamed else part}.parquet"
        made.write_parquet(other / name, "spans", rows[part::parts])
    for folder in (one, other):
        made.write_manifest(folder)
    assert all(same(a, b) for a, b in zip(read(one), read(other), strict=True))
    shown = [{k: v for k, v in show(f).items() if k not in {"files", "bytes"}} for f in (one, other)]
    assert shown[0] == shown[1]


def test_a_small_memory_makes_more_blocks_of_the_same_traces(capture_folder):
    (whole,) = read(capture_folder)
    small = read(capture_folder, limits=ReadLimits(block_rows=30))
    assert len(small) > 2
    assert sum(len(block) for block in small) == len(whole)
    assert [t for block in small for t in block.trace_ids] == list(whole.trace_ids)
    assert len({block.name.values for block in small}) == 1  # noqa: PD011 - codes mean the same in every block
    again = open_capture(capture_folder, limits=ReadLimits(block_rows=30)).spans(_all()).blocks
    for first, second in zip(list(again), list(again), strict=True):
        assert same(first, second)


@pytest.mark.parametrize("block_rows", [2_000_000, 5_000])
def test_shapes_that_a_sample_misses_are_read_all_the_same(tmp_path, made, block_rows):
    rows = made.shop_rows(4_000, spacing_ns=1_000)
    for number, row in enumerate(rows):
        row["name"] = f'op "{number}"\x1f\x00'
    rows += [row | {"trace_id": "f" * 32, "start_time_unix_nano": made.T0 + 900 * made.S} for row in rows[:4]]
    made.write_parquet(tmp_path / "spans.parquet", "spans", rows)
    made.write_manifest(tmp_path)
    (expected,) = blocks_from_frame(made.frame_of("spans", rows), windows=_all())
    found = read(tmp_path, _all(), limits=ReadLimits(block_rows=block_rows))
    assert (len(found) == 1) == (block_rows > len(rows))
    names = [text for block in found for text in texts(block.name)]
    assert names == texts(expected.name)
    assert len(found) > 1 or same(found[0], expected)


def _all():
    return Windows(Window(0, 2**62))


def test_spans_of_a_trace_are_read_wherever_they_lie(tmp_path, made):
    rows = made.shop_rows(3)
    far = rows[3] | {
        "start_time_unix_nano": made.T0 + 9_000 * made.S,
        "end_time_unix_nano": made.T0 + 9_001 * made.S,
    }
    made.write_parquet(tmp_path / "spans-1.parquet", "spans", [*rows[:3], *rows[4:]])
    made.write_parquet(tmp_path / "spans-2.parquet", "spans", [far])
    made.write_manifest(tmp_path, windows={"incident": [made.T0, made.T0 + 1]})
    (block,) = read(tmp_path)
    assert len(block.trace_ids) == 1
    assert int(block.start.max()) == far["start_time_unix_nano"]


def test_a_trace_that_only_passes_through_a_window_is_not_in_it(capture_folder, made):
    first_child = Windows(Window(made.T0 + 1, made.T0 + made.S))
    assert read(capture_folder, first_child) == []


@pytest.mark.parametrize(
    ("types", "leave_out"),
    [
        ({"start_time_unix_nano": "UBIGINT", "end_time_unix_nano": "VARCHAR"}, ()),
        ({"start_time_unix_nano": "VARCHAR", "end_time_unix_nano": "DECIMAL(38, 0)"}, ()),
        ({"attributes": "JSON", "trace_id": "BLOB"}, ()),
        ({}, ("attributes", "links", "service_version", "k8s_pod_name", "k8s_namespace_name")),
        ({}, ("kind", "status_code")),
    ],
)
def test_other_types_and_missing_columns_are_read(tmp_path, made, rows, types, leave_out):
    made.write_parquet(tmp_path / "spans-1.parquet", "spans", rows[:80])
    extra = [row | {"extra": "x"} for row in rows[80:]]
    made.write_parquet(tmp_path / "spans-2.parquet", "spans", extra, types=types, leave_out=leave_out)
    made.write_manifest(tmp_path)
    (block,) = read(tmp_path)
    expected = [row | (dict.fromkeys(leave_out) if i >= 80 else {}) for i, row in enumerate(rows)]
    windows = windows_of(made, (20, 40), (0, 20))
    assert same(block, blocks_from_frame(made.frame_of("spans", expected), windows=windows)[0])


def test_ids_that_share_their_first_bits_are_told_apart(tmp_path, made, rows):
    ids = [f"{(15 << 60) + i:016x}" for i in range(40)]
    chains = [
        rows[0] | {"trace_id": letter * 32, "span_id": ids[i], "parent_span_id": ids[i - 1] if i else None}
        for letter in "abcdef"
        for i in range(40)
    ]
    made.write_parquet(tmp_path / "spans.parquet", "spans", chains[::-1])
    made.write_manifest(tmp_path)
    (block,) = read(tmp_path, _all())
    assert block.parent.tolist() == [-1 if i % 40 == 0 else i - 1 for i in range(240)]


def test_timestamps_are_read_as_nanoseconds(tmp_path, made, rows):
    types = dict.fromkeys(("start_time_unix_nano", "end_time_unix_nano"), "TIMESTAMP_NS")
    stamped = [row | {name: pd.Timestamp(row[name]) for name in types} for row in rows]
    made.write_parquet(tmp_path / "spans.parquet", "spans", stamped, types=types)
    made.write_manifest(tmp_path)
    (block,) = read(tmp_path)
    assert same(block, blocks_from_frame(made.frame_of("spans", rows))[0])


def test_without_a_list_every_signal_file_counts(capture_folder, made):
    before = read(capture_folder)
    made.write_manifest(capture_folder, files=False)
    (capture_folder / "notes.parquet").write_text("no signal")
    assert all(same(a, b) for a, b in zip(read(capture_folder), before, strict=True))
    assert open_capture(capture_folder).meta.selection == {"incident": "unknown", "baseline": "unknown"}


def _cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def _scratch(path):
    data = bytearray(path.read_bytes())
    data[100:2000] = b"x" * 1900
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _scratch,
        lambda p: p.write_bytes(b""),
        lambda p: p.write_text("hello" * 100),
        lambda p: p.unlink(),
    ],
)
def test_an_unreadable_part_is_named_and_the_rest_is_read(capture_folder, rows, made, damage):
    damage(capture_folder / "spans-a.parquet")
    capture = open_capture(capture_folder)
    spans = capture.spans(capture.meta.windows)
    (block,) = spans.blocks
    windows = windows_of(made, (20, 40), (0, 20))
    assert same(block, blocks_from_frame(made.frame_of("spans", rows[1::2]), windows=windows)[0])
    (warning,) = spans.note.warnings
    assert warning.startswith("spans-a.parquet was left out: ")
    assert str(capture_folder) not in warning
    assert len(capture.trace(rows[1]["trace_id"]).frame) == 2
    damage(capture_folder / "spans-b.parquet")
    with pytest.raises(CaptureError, match=r"no spans of .* can be read") as raised:
        capture.spans(capture.meta.windows)
    assert "verify" in raised.value.hint


def test_a_part_without_an_essential_column_is_left_out(capture_folder, rows, made):
    made.write_parquet(capture_folder / "spans-a.parquet", "spans", rows[::2], leave_out=("span_id",))
    spans = open_capture(capture_folder).spans(_all())
    assert "spans-a.parquet was left out: it has no column span_id" in spans.note.warnings


def test_other_rows_than_listed_and_files_not_listed_are_told(capture_folder, rows, made):
    made.write_parquet(capture_folder / "spans-a.parquet", "spans", rows[:10])
    made.write_parquet(capture_folder / "spans-stray.parquet", "spans", rows)
    note = open_capture(capture_folder).spans(_all()).note
    assert note.warnings == (
        "spans-stray.parquet is not listed in capture.json and was not read",
        "spans-a.parquet holds 10 rows, capture.json says 80",
    )


def test_rows_without_ids_are_counted(capture_folder, rows, made):
    bad = [*rows[::2], rows[0] | {"span_id": None}]
    made.write_parquet(capture_folder / "spans-a.parquet", "spans", bad)
    made.write_manifest(capture_folder)
    note = open_capture(capture_folder).spans(_all()).note
    assert note.warnings == ("1 span rows without ids or times were left out",)


def test_logs_by_window_service_trace_and_limit(capture_folder, rows, made):
    capture = open_capture(capture_folder)
    window = Window(made.T0 + 10 * made.S, made.T0 + 20 * made.S)
    found = capture.logs(window)
    assert found.frame["body"].tolist() == [f"paid {t}" for t in range(10, 20)]
    assert (found.note.signal, found.note.rows, found.note.truncated) == ("log", 10, False)
    assert capture.logs(window, services=["risk"]).frame.empty
    assert len(capture.logs(window, services=["payment"]).frame) == 10
    assert capture.logs(window, trace_id=rows[44]["trace_id"]).frame["body"].tolist() == ["paid 11"]
    some = capture.logs(window, limit=3)
    assert some.frame["body"].tolist() == ["paid 10", "paid 11", "paid 12"]
    assert some.note.truncated
    assert some.note.warnings == ("more than 3 rows of logs match; the first 3 were read",)


def test_metrics_events_topology_services_and_extent(capture_folder, made):
    capture = open_capture(capture_folder)
    window = Window(made.T0, made.T0 + 5 * made.S)
    assert len(capture.metrics(window).frame) == 10
    assert capture.metrics(window, names=["cpu"]).frame["value"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert capture.metrics(window, services=["payment"]).frame.empty
    assert capture.events(window).frame.empty
    assert capture.events(Window(made.T0, made.T0 + 40 * made.S)).frame["reason"].tolist() == ["Rollout"]
    assert capture.topology().frame.to_dict("records") == [{"caller": "front", "callee": "payment"}]
    assert capture.services() == ("front", "payment")
    assert capture.services(Window(1, 2)) == ()
    extent = capture.extent()
    assert extent.start_ns == made.T0
    assert made.T0 + 39 * made.S < extent.end_ns < made.T0 + 40 * made.S


def test_absent_signals_are_empty_frames_with_their_columns(tmp_path, made, rows):
    made.write_parquet(tmp_path / "logs.parquet", "logs", [{"time_unix_nano": 5, "body": "x"}])
    made.write_manifest(tmp_path)
    capture = open_capture(tmp_path)
    assert list(capture.spans(capture.meta.windows).blocks) == []
    assert list(capture.metrics(Window(0, 9)).frame) == ["time_unix_nano", "name", "value", "unit", "service_name",
                                                         "k8s_pod_name", "labels"]  # fmt: skip
    assert capture.extent() == Window(5, 6)
    (tmp_path / "logs.parquet").unlink()
    made.write_manifest(tmp_path)
    assert open_capture(tmp_path).extent() is None


def test_what_was_amiss_when_it_was_captured_is_still_told(capture_folder, made):
    source = {
        "signal": "log",
        "kind": "es",
        "url": "u",
        "query": "q",
        "rows": 1,
        "truncated": True,
        "warnings": ["w"],
    }
    made.write_manifest(capture_folder, sources=[source])
    note = open_capture(capture_folder).logs(Window(0, 2**62)).note
    assert (note.truncated, note.warnings) == (True, ("w",))


def test_the_rows_behind_the_blocks(capture_folder, rows, made):
    capture = open_capture(capture_folder)
    windows = windows_of(made, (5, 7))
    frames = list(capture.span_rows(windows))
    whole = pd.concat(frames)
    assert sorted(whole["span_id"]) == sorted(row["span_id"] for row in rows[20:28])
    assert whole["attributes"].notna().sum() == 6
    assert blocks_from_frame(whole)[0].trace_ids == read(capture_folder, windows)[0].trace_ids


@pytest.mark.parametrize("name", ["it's [a] capture*", "späne", "with space"])
def test_folder_names_may_be_anything(capture_folder, tmp_path, name):
    moved = tmp_path / name
    shutil.move(capture_folder, moved)
    assert len(read(moved)[0]) == 160


def test_a_capture_that_breaks_between_passes_is_a_source_error(capture_folder):
    capture = open_capture(capture_folder, limits=ReadLimits(block_rows=30))
    blocks = capture.spans(_all()).blocks
    under_way = iter(blocks)
    first = next(under_way)
    for path in capture_folder.glob("spans*"):
        _scratch(path)
    assert len(first) + sum(map(len, under_way)) == 160, "what was read once is not read again"
    with pytest.raises((SourceError, CaptureError)):
        list(blocks)


def test_the_database_reaches_no_other_folder(capture_folder, tmp_path):
    from duckdb import PermissionException

    from opslib.telemetry.capture.engine import open_engine

    (tmp_path / "secret.csv").write_text("a\n1\n")
    with open_engine(capture_folder, ReadLimits()) as con:
        for query in (f"SELECT * FROM read_csv('{tmp_path}/secret.csv')", "INSTALL httpfs"):
            with pytest.raises(
                (PermissionException, Exception), match=r"(?i)disabled|permission|not allowed"
            ):
                con.execute(query)


def test_json_of_a_manifest_is_kept(capture_folder):
    content = json.loads((capture_folder / "capture.json").read_text())
    assert open_capture(capture_folder).meta.to_dict()["files"] == content["files"]
