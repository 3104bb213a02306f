"""Files that are broken, huge, odd or malicious: each costs what it must and no more, and is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from opslib.cli import main
from opslib.core.errors import CaptureError, RefusedError
from opslib.telemetry.capture import open_capture
from opslib.telemetry.importers import files, gather, json_texts, tasks, worker
from opslib.telemetry.importers.files import zstd
from tests.telemetry.importing import (
    CLIENT,
    LOGS,
    METRICS,
    ROWS,
    T0,
    TRACE,
    core_rows,
    fixed_frames,
    jaeger,
    jaeger_trace,
    meta,
    otlp,
    otlp_proto,
    rows,
    run,
    varint_frames,
    warnings,
    write,
)


def refused(tmp_path: Path, *paths: Path) -> str:
    with pytest.raises(CaptureError) as caught:
        run(tmp_path, *paths)
    assert caught.value.exit_code == 2
    assert "OTLP" in caught.value.hint
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
    return str(caught.value)


def beside_good(tmp_path: Path, content: bytes | str | object, name: str = "bad.json") -> str:
    """Import a bad file beside a good one; the good one must come through, the bad one be named."""
    bad = write(tmp_path, content, name)
    out = run(tmp_path, bad, write(tmp_path, jaeger(), "good.json"))
    assert core_rows(out) == ROWS
    assert name in warnings(out)
    return warnings(out)


BROKEN = {
    "cut in the middle": json.dumps(jaeger())[:700],
    "10,000 levels deep": "[" * 10_000 + "]" * 10_000,
    "10,000 levels deep in a field": '{"x":' * 10_000 + "1" + "}" * 10_000,
    "a text": "hello",
    "a number": "12",
    "blank": " \n\t\n ",
    "some other JSON": '{"hello": "world", "spam": [1, 2]}',
    "data of another shape": '{"data": {"x": 1}, "spans": 5}',
    "an error of Jaeger v3": '{"error": {"httpCode": 404, "message": "No traces found"}}',
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "cut zstd": zstd.compress(b"{}" * 1000)[:10],
    "cut gzip": b"\x1f\x8b\x08\x00",
    "half a protobuf": otlp_proto()[:60],
    "protobuf of nothing": b"\x0a\x00",
    "no traces": '{"data": []}',
    "random zstd frame": fixed_frames(b"\x28\xb5\x2f\xfd" + bytes(20)),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_named_and_the_others_go_on(tmp_path: Path, kind: str) -> None:
    said = beside_good(tmp_path, BROKEN[kind])

    assert "bad.json was left out: " in said


@pytest.mark.parametrize("kind", BROKEN)
def test_nothing_usable_is_an_error_with_a_hint(tmp_path: Path, kind: str) -> None:
    assert "bad.json was left out" in refused(tmp_path, write(tmp_path, BROKEN[kind], "bad.json"))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    assert "bad.json was left out: it is empty" in beside_good(tmp_path, b"")


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="there is no"):
        run(tmp_path, tmp_path / "nowhere")


def test_an_import_never_overwrites(tmp_path: Path) -> None:
    write(tmp_path, "precious", "out/notes.txt")
    with pytest.raises(RefusedError):
        run(tmp_path, write(tmp_path, jaeger()))
    assert (tmp_path / "out/notes.txt").read_text() == "precious"


def test_a_line_that_is_cut_off_costs_itself(tmp_path: Path) -> None:
    line = json.dumps(otlp())
    out = run(tmp_path, write(tmp_path, f"{line}\n{{oops}}\n{line[:300]}"))

    assert core_rows(out) == ROWS
    assert "2 x line that is no JSON" in warnings(out)


def test_of_equal_keys_the_last_counts(tmp_path: Path) -> None:
    text = json.dumps(jaeger()).replace(
        '"operationName": "GET /pay"', '"operationName": "x", "operationName": "GET /pay"'
    )
    out = run(tmp_path, write(tmp_path, text))

    assert core_rows(out) == ROWS


def test_equal_attribute_keys_are_still_one_object(tmp_path: Path) -> None:
    trace = jaeger_trace()
    trace["spans"][0]["tags"] += [{"key": "a", "value": 1}, {"key": "a", "value": 2}]
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert json.loads(rows(out, columns="attributes", order="start_time_unix_nano")[0][0])["a"] == 2


def test_names_with_nul_markup_and_a_megabyte(tmp_path: Path) -> None:
    trace = jaeger_trace()
    trace["spans"][0]["operationName"] = "a\0b<script>\u202e" + "n" * 1_000_000
    trace["spans"][1]["tags"].append({"key": "sql", "value": "x" * 1_000_000})
    trace["processes"]["p1"]["serviceName"] = "s" * 1_000_000
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    (name, service, _), (_, _, attributes) = rows(
        out, columns="name, service_name, attributes", order="start_time_unix_nano"
    )
    assert name.startswith("a\0b<script>\u202enn")
    assert len(name) == len(service) == 16_384
    assert attributes is None
    assert "shortened" in warnings(out)
    assert "left out" in warnings(out)
    assert len(next(iter(open_capture(out).spans(open_capture(out).meta.windows).blocks))) == 2


def test_invalid_utf8_is_replaced(tmp_path: Path) -> None:
    text = json.dumps(jaeger()).encode().replace(b"GET /pay", b"GET \xff\xfe")
    out = run(tmp_path, write(tmp_path, text))
    lines = run(
        tmp_path,
        write(tmp_path, json.dumps(otlp()).encode().replace(b"GET /pay", b"GET \xff") + b"\n{}\n"),
        name="lines",
    )

    assert core_rows(out)[0][3] == "GET \ufffd\ufffd"
    assert core_rows(lines)[0][3] == "GET \ufffd"


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    text = json.dumps(jaeger()).replace("GET /pay", r"\ud83d\ude00\\ud800\ud800 \udc00")
    out = run(tmp_path, write(tmp_path, text))

    assert core_rows(out)[0][3] == "\U0001f600\\ud800\ufffd \ufffd"


BAD_TIMES = {
    "year 2262": {"startTime": 9_223_372_036_854_776},
    "gigantic": {"startTime": 10**400},
    "gigantic text": {"startTime": "9" * 5000},
    "exponent": {"startTime": 1e300},
    "negative": {"startTime": -1},
    "missing": {"startTime": None},
    "a word": {"startTime": "soon"},
    "a sum beyond 64 bits": {"duration": 9_223_372_036_854_775},
    "a missing duration": {"duration": None},
    "an object": {"startTime": {"sec": 1}},
}


@pytest.mark.parametrize("kind", BAD_TIMES)
def test_a_span_whose_time_cannot_be_is_counted(tmp_path: Path, kind: str) -> None:
    trace = jaeger_trace()
    bad = trace["spans"][0] | {"spanID": "5"} | BAD_TIMES[kind]
    trace["spans"].insert(1, bad)
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert core_rows(out) == ROWS
    assert "1 x " in warnings(out)


@pytest.mark.parametrize("start", ["0", "-5", "18446744073709551615", "9223372036854775807", "x", None, True])
def test_an_otlp_span_whose_time_cannot_be_is_counted(tmp_path: Path, start: object) -> None:
    text = otlp()
    spans = text["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append(spans[0] | {"spanId": "5" * 16, "startTimeUnixNano": start})
    out = run(tmp_path, write(tmp_path, text))

    assert core_rows(out) == ROWS
    assert "1 x " in warnings(out)


def test_a_span_that_ends_before_it_starts_is_kept_with_no_duration(tmp_path: Path) -> None:
    trace = jaeger_trace()
    trace["spans"][1]["duration"] = -7
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert core_rows(out)[1][5:7] == (T0 + 1_000_000, T0 + 1_000_000)
    assert "1 x span that ends before it starts" in warnings(out)


@pytest.mark.parametrize("bad", ["", "0" * 16, "xyz", None, "1" * 40, 12])
def test_a_span_without_an_id_is_counted(tmp_path: Path, bad: object) -> None:
    trace = jaeger_trace()
    trace["spans"].append(trace["spans"][0] | {"spanID": bad})
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert core_rows(out) == ROWS
    assert "1 x " in warnings(out)


def test_a_parent_that_is_no_id_makes_a_root_and_is_counted(tmp_path: Path) -> None:
    text = otlp()
    spans = text["resourceSpans"][1]["scopeSpans"][0]["spans"]
    spans[0]["parentSpanId"] = "???"
    text["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["parentSpanId"] = "0" * 16
    out = run(tmp_path, write(tmp_path, text))

    assert [row[2] for row in core_rows(out)] == [None, None]
    assert "1 x span whose parent id is no id" in warnings(out)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tags", [{"key": "a", "value": {"deep": [1]}}]),
        ("tags", [{"key": "n", "value": 10**40}]),
        ("tags", None),
    ],
)
def test_odd_tags_are_kept(tmp_path: Path, field: str, value: object) -> None:
    trace = jaeger_trace()
    trace["spans"][1][field] = value
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    kept = rows(out, columns="attributes", order="start_time_unix_nano")[1][0]
    assert (json.loads(kept) if kept else None) == (
        {tag["key"]: tag["value"] for tag in value} if value else None
    )


def test_one_member_of_the_wrong_shape_costs_only_itself(tmp_path: Path) -> None:
    trace = jaeger_trace()
    trace["spans"] += [5, {"traceID": [], "spanID": {}}, {"tags": "none"}]
    text = {"data": [jaeger_trace() | {"spans": 7}, 3, trace]}
    out = run(tmp_path, write(tmp_path, text))

    assert core_rows(out) == ROWS
    assert "5 x member of a JSON text that is no span" in warnings(out)


def test_one_otlp_member_of_the_wrong_shape_costs_only_itself(tmp_path: Path) -> None:
    text = otlp() | {"resourceLogs": LOGS["resourceLogs"], "resourceMetrics": METRICS["resourceMetrics"]}
    text["resourceSpans"][0]["scopeSpans"][0]["spans"] += [{"name": 5}]
    text["resourceSpans"] += [7, {"resource": 5, "scopeSpans": [8, {"spans": [9]}]}]
    out = run(tmp_path, write(tmp_path, text))

    assert core_rows(out) == ROWS
    assert "4 x member of a JSON text that is no span" in warnings(out)
    assert len(rows(out, "logs")) == 2


def test_attributes_nested_beyond_measure_read_as_null(tmp_path: Path) -> None:
    value: dict = {"stringValue": "bottom"}
    for _ in range(60):
        value = {"arrayValue": {"values": [value]}}
    text = otlp()
    text["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].append(
        {"key": "deep", "value": value}
    )
    out = run(tmp_path, write(tmp_path, text))

    assert "bottom" not in rows(out, columns="attributes", order="start_time_unix_nano")[0][0]
    assert core_rows(out) == ROWS


def test_half_a_protobuf_keeps_its_whole_groups(tmp_path: Path) -> None:
    out = run(tmp_path, write(tmp_path, otlp_proto()[:-20]))
    framed = run(tmp_path, write(tmp_path, fixed_frames(otlp_proto(), otlp_proto())[:-300]), name="framed")
    varint = run(tmp_path, write(tmp_path, varint_frames(otlp_proto(), otlp_proto())[:-20]), name="varint")

    assert core_rows(out) == ROWS[:1]
    assert "1 x message or group at the end of a file that is cut off" in warnings(out)
    assert set(core_rows(framed)) == set(core_rows(varint)) == set(ROWS)


def test_a_damaged_group_costs_itself(tmp_path: Path) -> None:
    message = otlp_proto()
    damaged = message + b"\x0a\x03abc" + b"\x0a\x04\x12\x02\xff\xff"
    out = run(tmp_path, write(tmp_path, damaged))

    assert core_rows(out) == ROWS
    assert "2 x group of a protobuf message that cannot be decoded" in warnings(out)


def test_a_damaged_frame_costs_itself(tmp_path: Path) -> None:
    good = zstd.compress(otlp_proto())
    out = run(tmp_path, write(tmp_path, fixed_frames(good, good[:20], b"{oops", otlp_proto())))

    assert set(core_rows(out)) == set(ROWS)


def test_a_compression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HELD", 1 << 20)
    monkeypatch.setattr(files, "RATIO", 10)
    bomb = zstd.compress(b"\n" * (64 << 20))
    framed = fixed_frames(zstd.compress(b" " * (4 << 20)))

    assert "compression bomb" in refused(tmp_path, write(tmp_path, bomb))
    assert "more than 1 MB in one message" in refused(tmp_path, write(tmp_path, framed))


LONG = b'{"resourceLogs": "' + b"x" * 5_000 + b'"}'


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_beyond_all_measure_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, place: int
) -> None:
    for module, name, value in ((files, "HELD", 4_000), (files, "_CHUNK", 700), (tasks, "LARGE", 2_000)):
        monkeypatch.setattr(module, name, value)
    good = json.dumps(otlp()).encode()
    lines = [good, good]
    lines.insert(place, LONG)
    text = b"\n".join(lines)
    out = run(tmp_path, write(tmp_path, zstd.compress(text) if packed else text))

    assert set(core_rows(out)) == set(ROWS)
    assert len(core_rows(out)) == 4
    assert "1 x line of more than 64 MB: left out" in warnings(out)


def test_a_line_without_end_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HELD", 1 << 20)
    monkeypatch.setattr(files, "RATIO", 10**9)
    bomb = zstd.compress(b"{}\n" + b"[" * (8 << 20))

    assert "in.json was left out" in refused(tmp_path, write(tmp_path, bomb))


def test_records_of_many_long_texts_are_written_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps(otlp()) + "\n"
    for number, content in enumerate((line * 6, fixed_frames(*[otlp_proto()] * 6))):
        monkeypatch.setattr(gather, "MOST_HELD", len(content) // 2)
        out = run(tmp_path, write(tmp_path, content), name=f"out{number}")

        assert len(list(out.glob("spans*.parquet"))) == 2
        assert len(core_rows(out)) == 12


def test_a_cut_zstd_keeps_what_comes_before(tmp_path: Path) -> None:
    line = json.dumps(otlp()).encode() + b"\n"
    noise = b"".join(
        json.dumps({"resourceSpans": [], "noise": os.urandom(99_000).hex()}).encode() + b"\n"
        for _ in range(9)
    )
    packed = zstd.compress(line + noise)
    out = run(tmp_path, write(tmp_path, packed[: len(packed) // 2]))

    assert core_rows(out) == ROWS
    assert "cut off" in warnings(out)


def test_a_large_stream_is_read_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HELD", 4_000)
    monkeypatch.setattr(files, "_CHUNK", 700)
    out = run(tmp_path, write(tmp_path, zstd.compress((json.dumps(otlp()) + "\n").encode() * 20)))

    assert len(core_rows(out)) == 40


def test_a_full_disk_is_an_error_not_a_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker, "write_part", full)
    with pytest.raises(CaptureError, match="No space left"):
        run(tmp_path, write(tmp_path, jaeger()))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    good, bad = write(tmp_path, jaeger(), "good.json"), write(tmp_path, jaeger(), "bad.json")
    add_file = worker.add_file
    monkeypatch.setattr(worker, "add_file", lambda path, *a: (denied if path == bad else add_file)(path, *a))
    out = run(tmp_path, good, bad)

    assert core_rows(out) == ROWS
    assert "bad.json was left out: Permission denied" in warnings(out)


def test_a_large_text_is_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (json_texts, files):
        monkeypatch.setattr(name, "LARGE", 100)
    for number, text in enumerate((jaeger(), [jaeger_trace()], {"result": otlp()}, otlp(), jaeger_trace())):
        out = run(tmp_path, write(tmp_path, text), name=f"out{number}")
        assert core_rows(out) == ROWS


def test_the_command_ends_with_2_and_says_what_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = write(tmp_path, "[" * 10_000, "deep.json")
    with pytest.raises(SystemExit) as caught:
        main(["capture", "import", str(bad), "--out", str(tmp_path / "out")])

    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert "deep.json was left out: it is nested too deeply" in said
    assert "try: " in said


def test_the_command_imports_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["capture", "import", str(write(tmp_path, jaeger())), "--out", str(tmp_path / "out"), "--json"])

    shown = capsys.readouterr()
    assert not caught.value.code
    assert json.loads(shown.out) == meta(tmp_path / "out")
    assert "read 100 %" in shown.err
    assert core_rows(tmp_path / "out") == ROWS
    assert TRACE in str(core_rows(tmp_path / "out")) and CLIENT in str(core_rows(tmp_path / "out"))  # noqa: PT018
