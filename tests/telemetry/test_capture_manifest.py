import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opslib.core.errors import CaptureError
from opslib.telemetry.capture import open_capture, show, verify
from opslib.telemetry.capture.manifest import read_meta, signal_of

WINDOWS = {"incident": [1, 2]}


def write(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "capture.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "holds no JSON object"),
        ({}, "says no `schema`"),
        ({"schema": "1"}, "says no `schema`"),
        ({"schema": True}, "says no `schema`"),
        ({"schema": 2, "windows": WINDOWS}, "has schema 2, this version reads up to 1"),
        ({"schema": 1}, "says no `windows.incident`"),
        ({"schema": 1, "windows": [1]}, "says no `windows.incident`"),
        ({"schema": 1, "windows": {"incident": [1]}}, "two integers"),
        ({"schema": 1, "windows": {"incident": [1.5, 2]}}, "two integers"),
        ({"schema": 1, "windows": {"incident": [2, 2]}}, "the window is empty"),
        ({"schema": 1, "windows": {"incident": [1, 2**70]}}, "beyond 64 bits"),
        ({"schema": 1, "windows": WINDOWS | {"baseline": "x"}}, "two integers"),
        ({"schema": 1, "windows": WINDOWS, "files": []}, "`files` is no object"),
    ],
)
def test_a_manifest_that_is_none_is_refused_with_a_hint(tmp_path, content, words):
    write(tmp_path, content)
    with pytest.raises(CaptureError, match=words) as raised:
        open_capture(tmp_path)
    assert raised.value.hint
    (check,) = verify(tmp_path)
    assert (check.outcome, check.name) == ("fail", "capture.json")


def test_no_folder_is_no_capture(tmp_path):
    with pytest.raises(CaptureError, match="is no capture") as raised:
        show(tmp_path / "absent")
    assert "capture.json" in raised.value.hint


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "capture.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(CaptureError, match="is no JSON"):
        read_meta(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../spans.parquet",
        "/etc/passwd",
        "a/../../spans.parquet",
        "..",
        "",
        "sub/spans.parquet",
        "sub\\s.parquet",
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    write(tmp_path, {"schema": 1, "windows": WINDOWS, "files": {name: {}}})
    with pytest.raises(CaptureError, match="outside its folder"):
        read_meta(tmp_path)


@pytest.mark.parametrize("listed", [True, False])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path, made, rows, listed):
    outside, folder = tmp_path / "spans.parquet", tmp_path / "capture"
    folder.mkdir()
    made.write_parquet(outside, "spans", rows)
    (folder / "spans.parquet").symlink_to(outside)
    write(folder, {"schema": 1, "windows": WINDOWS} | ({"files": {"spans.parquet": {}}} if listed else {}))
    with pytest.raises(CaptureError, match="outside its folder"):
        open_capture(folder).services()
    assert any(check.outcome == "fail" for check in verify(folder))


def test_a_link_that_stays_inside_and_a_linked_folder_are_read(tmp_path, made, rows):
    folder = tmp_path / "capture"
    folder.mkdir()
    made.write_parquet(folder / "real", "spans", rows)
    (folder / "spans.parquet").symlink_to("real")
    write(folder, {"schema": 1, "windows": WINDOWS, "files": {"spans.parquet": {}}})
    (tmp_path / "link").symlink_to(folder)
    assert open_capture(tmp_path / "link").services() == ("front", "payment")


def test_everything_optional_may_be_absent_or_nonsense(tmp_path):
    odd = {"created": 5, "selection": 7, "sources": [3, {"rows": "x", "warnings": [1, "w"], "signal": "log"}]}
    meta = read_meta(write(tmp_path, {"schema": 1, "windows": WINDOWS} | odd))
    assert (meta.created, meta.selection["incident"], meta.files) == ("", "unknown", None)
    assert [(note.signal, note.rows, note.warnings) for note in meta.sources] == [("log", 0, ("w",))]
    odd_files = {"spans.parquet": None, "logs.parquet": {"rows": -1, "sha256": 3}}
    entries = read_meta(write(tmp_path, {"schema": 1, "windows": WINDOWS, "files": odd_files})).files
    assert [entry.to_dict() for entry in entries.values()] == [{"sha256": None, "rows": None}] * 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = ("created", "selection", "sources", "files", "windows")


@given(st.fixed_dictionaries({"schema": st.just(1)}, optional=dict.fromkeys(keys, json_values)))
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_any_json_is_read_or_refused(tmp_path_factory, content):
    folder = write(tmp_path_factory.mktemp("any"), json.dumps(content))
    with contextlib.suppress(CaptureError):
        json.dumps(read_meta(folder).to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("name", "signal"),
    [("spans.parquet", "spans"), ("spans-1.parquet", "spans"), ("logs_x.parquet", "logs"), ("span.parquet", None),
     ("spans.parquet.tmp", None), (".spans.parquet", None), ("topology.parquet", "topology")],
)  # fmt: skip
def test_which_file_holds_which_signal(name, signal):
    assert signal_of(name) == signal
