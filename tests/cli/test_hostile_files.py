"""Files of a capture that are broken, alien or malicious: each is named, the others answer, nothing hangs or fills memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from opslib.telemetry.capture import files, texts
from tests.cli.hostile import WINDOWS, Ask, rows, write_capture, write_manifest, write_rows

DEEP = "[" * 10_000


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "capture")


def holds(ask: Ask, folder: Path, *words: str) -> None:
    """The cause is still found, the gaps name the file, `verify` fails, `show` shows."""
    said = ask("diagnose", folder, "--service", "payment", "--json")
    assert (said.code, said.suspect) == (1, ("edge", "risk"))
    assert ask("capture", "show", folder, "--json").code == 0
    for word in words:
        assert word in said.warnings
    checked = ask("capture", "verify", folder)
    assert checked.code == 1
    assert "try: " in checked.out


def copy_as(select: str) -> Callable[[Path, Path], None]:
    """Return what writes other columns than those of a good part."""

    def write(good: Path, bad: Path) -> None:
        query = select.format(good=f"'{good}'")
        with duckdb.connect() as con:
            con.execute(f"COPY ({query}) TO '{bad}' (FORMAT parquet)")

    return write


def cut(keep: float) -> Callable[[Path, Path], None]:
    return lambda good, bad: bad.write_bytes(good.read_bytes()[: int(keep * good.stat().st_size)]) and None


def scratched(good: Path, bad: Path) -> None:
    data = bytearray(good.read_bytes())
    data[100:3000] = b"x" * 2900
    bad.write_bytes(data)


def encrypted(good: Path, bad: Path) -> None:
    with duckdb.connect() as con:
        con.execute("SET force_mbedtls_unsafe = 'true'")
        con.execute("PRAGMA add_parquet_key('key', '0123456789112345')")
        con.execute(
            f"COPY (FROM '{good}') TO '{bad}' (FORMAT parquet, ENCRYPTION_CONFIG {{footer_key: 'key'}})"
        )


BROKEN = {
    "empty": (lambda _, bad: bad.write_bytes(b""), "too small"),
    "only the magic": (lambda _, bad: bad.write_bytes(b"PAR1" * 3), "left out"),
    "cut early": (cut(0.1), "left out"),
    "cut late": (cut(0.99), "left out"),
    "scratched": (scratched, "left out"),
    "text": (lambda _, bad: bad.write_text("trace_id,span_id\n1,2\n" * 100), "left out"),
    "encrypted": (encrypted, "is encrypted"),
    "a pipe": (lambda _, bad: os.mkfifo(bad), "it is no regular file"),
    "a folder": (lambda _, bad: bad.mkdir(), "it is no regular file"),
    "a link to nothing": (lambda _, bad: bad.symlink_to("nowhere"), "it is not there"),
    "no span ids": (copy_as("SELECT * EXCLUDE (span_id) FROM {good}"), "it has no column span_id"),
    "other columns": (copy_as("SELECT 1 AS x"), "it has no column trace_id, span_id"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_part_that_cannot_be_read_is_named(ask: Ask, capture: Path, kind: str) -> None:
    write, words = BROKEN[kind]
    write(capture / "spans.parquet", capture / "spans-bad.parquet")

    holds(ask, capture, "spans-bad.parquet was left out: ", words)


OTHER_TYPES = {
    "times in a struct": "SELECT * REPLACE ({{'a': 1}} AS start_time_unix_nano) FROM {good}",
    "times in a list": "SELECT * REPLACE ([1] AS start_time_unix_nano) FROM {good}",
    "true times": "SELECT * REPLACE (true AS start_time_unix_nano) FROM {good}",
    "times that are no numbers": "SELECT * REPLACE ('nan'::DOUBLE AS start_time_unix_nano) FROM {good}",
    "times of day": "SELECT * REPLACE (TIME '12:00' AS end_time_unix_nano) FROM {good}",
    "times beyond 64 bits": "SELECT * REPLACE (18446744073709551615::UBIGINT AS end_time_unix_nano) FROM {good}",
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_times_of_another_type_are_none(ask: Ask, capture: Path, kind: str) -> None:
    copy_as(OTHER_TYPES[kind])(capture / "spans.parquet", capture / "spans-bad.parquet")

    holds(ask, capture)
    said = ask("diagnose", capture, "--service", "payment", "--json")
    assert f"{len(rows())} span rows without ids or times were left out" in said.warnings


@pytest.mark.parametrize(
    "select",
    [
        "SELECT * REPLACE ({{'a': name}} AS name, [{{'b': 1}}] AS service_name) FROM {good} WHERE false",
        r"SELECT * REPLACE ('\xFF\xFE'::BLOB AS name, MAP {{'k': 1}} AS attributes) FROM {good}",
        'SELECT *, 1 AS "NAME", 2 AS "drop table" FROM {good}',
        "SELECT * REPLACE (start_time_unix_nano::DOUBLE AS start_time_unix_nano) FROM {good}",
    ],
)
def test_texts_of_another_type_are_read_as_they_can_be(ask: Ask, capture: Path, select: str) -> None:
    copy_as(select)(capture / "spans.parquet", capture / "spans-other.parquet")
    said = ask("diagnose", capture, "--service", "payment", "--json")

    assert (said.code, said.suspect) == (1, ("edge", "risk"))


@pytest.mark.parametrize("name", ["spans*.parquet", "spans?.parquet", "spans[a-z].parquet"])
def test_a_name_that_is_a_pattern_reads_no_other_file(ask: Ask, capture: Path, name: str) -> None:
    (capture / name).write_bytes((capture / "spans.parquet").read_bytes())

    holds(ask, capture, f"{name} was left out: its name is a pattern")


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "../elsewhere.parquet", "spans-bad.parquet"])
def test_a_link_that_leaves_the_capture_is_refused(ask: Ask, capture: Path, target: str) -> None:
    write_rows(capture.parent / "elsewhere.parquet", "spans", rows())
    (capture / "spans-bad.parquet").symlink_to(target)

    said = ask("diagnose", capture, "--json")
    assert said.code == 2
    assert "outside its folder" in said.record["error"]["message"]
    assert "do not use it" in said.record["error"]["hint"]
    assert "outside its folder" in ask("capture", "show", capture, "--json").out
    assert ask("capture", "verify", capture).code == 1


def refused(ask: Ask, folder: Path, words: str) -> None:
    for command in (("diagnose", folder), ("capture", "show", folder)):
        said = ask(*command, "--json")
        assert said.code == 2
        assert words in said.record["error"]["message"]
        assert said.record["error"]["hint"]
    assert ask("capture", "verify", folder).code == 1


LONG = "spans" + "a" * 5_000 + ".parquet"
MANIFESTS: dict[str, tuple[str | bytes, str]] = {
    "cut": ('{"schema": 1, "windows": {"incid', "is no JSON"),
    "10,000 levels deep": (f'{{"schema": 1, "sources": {DEEP}', "nested too deeply"),
    "a number without end": ('{"schema": 1, "windows": {"incident": [%s, 2]}}' % ("9" * 5_000), "is no JSON"),
    "no text": (b"\xff\xfe\x00", "is no JSON"),
    "a later key that differs": (json.dumps({"schema": 1, "windows": WINDOWS})[:-1] + ', "schema": 9}', "schema 9"),
    "a window beyond 64 bits": ('{"schema": 1, "windows": {"incident": [0, 18446744073709551616]}}', "64 bits"),
    "a window that ends first": ('{"schema": 1, "windows": {"incident": [5, 2]}}', "the window is empty"),
    "a parent folder": ('{"schema": 1, "windows": {"incident": [1, 2]}, "files": {"../x": {}}}', "outside its folder"),
    "a null in a name": (r'{"schema": 1, "windows": {"incident": [1, 2]}, "files": {"a\u0000": {}}}', "outside"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_that_is_none_is_refused(ask: Ask, capture: Path, kind: str) -> None:
    text, words = MANIFESTS[kind]
    (capture / "capture.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    refused(ask, capture, words)


ODD_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a loop": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_a_manifest_that_is_no_file_is_refused(ask: Ask, capture: Path, kind: str) -> None:
    (capture / "capture.json").unlink()
    ODD_FILES[kind](capture / "capture.json")

    refused(ask, capture, "capture")


def test_what_a_manifest_says_of_itself_can_be_shown(ask: Ask, capture: Path) -> None:
    half = r'"\ud800<script>\u202e"'
    (capture / "capture.json").write_text(
        f'{{"schema": 1, "created": {half}, "windows": {json.dumps(WINDOWS)}, '
        f'"selection": {{"incident": {half}, "baseline": {half}}}, '
        f'"sources": [{{"signal": "trace", "kind": {half}, "url": {half}, "warnings": [{half}, 5, {{}}]}}]}}'
    )
    said = ask("diagnose", capture, "--service", "payment", "--json")

    assert said.suspect == ("edge", "risk")
    assert ask("capture", "show", capture, "--json").code == 0
    assert "\u202e" not in ask("diagnose", capture).out + ask("capture", "show", capture).out


def test_files_that_are_listed_and_not_there_are_each_told(ask: Ask, capture: Path) -> None:
    listed = {"spans.parquet": {}, LONG: {}, "spans-gone.parquet": {"rows": 5}, "logs-\ud800.parquet": {}}
    write_manifest(capture, files=listed)

    holds(ask, capture, "spans-gone.parquet was left out: it is not there")


def test_a_signal_that_cannot_be_read_is_a_gap(ask: Ask, capture: Path) -> None:
    for signal in ("logs", "metrics", "events", "topology"):
        (capture / f"{signal}.parquet").write_bytes(b"PAR1")

    holds(
        ask,
        capture,
        *(f"{signal}.parquet was left out" for signal in ("logs", "metrics", "events", "topology")),
    )


def test_where_no_spans_can_be_read_it_ends(ask: Ask, capture: Path) -> None:
    (capture / "spans.parquet").write_bytes(b"PAR1")
    said = ask("diagnose", capture, "--json")

    assert said.code == 2
    assert "spans.parquet was left out" in said.record["error"]["message"]
    assert "capture verify" in said.record["error"]["hint"]


def test_rows_that_cost_nothing_on_disk_are_a_bomb(
    ask: Ask, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MANY_ROWS", 100_000)
    copy_as("SELECT s.* FROM (FROM {good} LIMIT 1) s, range(200_000)")(
        capture / "spans.parquet", capture / "spans-bad.parquet"
    )

    holds(ask, capture, "spans-bad.parquet was left out: 200,000 rows in so few bytes are a compression bomb")


def test_texts_that_together_are_too_long_are_all_shortened(
    ask: Ask, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MOST_BYTES", 1_000_000)
    evil = [
        row | {"trace_id": f"{i + 1:032x}", "name": f"{i}{'n' * 5_000}"}
        for i, row in enumerate([row for row in rows() if row["parent_span_id"] is None] * 4)
    ]
    write_rows(capture / "spans-evil.parquet", "spans", evil)
    at = WINDOWS["incident"][0]
    write_rows(
        capture / "logs.parquet",
        "logs",
        [{"time_unix_nano": at + i, "body": "x" * 5_000, "service_name": "risk"} for i in range(1_000)],
    )
    said = ask("diagnose", capture, "--service", "payment", "--json")

    assert said.suspect == ("edge", "risk")
    assert "240 x name of spans longer than 200 bytes: shortened" in said.warnings
    assert "1,000 x body of logs longer than 200 bytes: shortened" in said.warnings


def test_what_does_not_fit_even_then_is_refused(
    ask: Ask, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MOST_BYTES", 100)
    said = ask("diagnose", capture, "--json")

    assert said.code == 2
    assert "do not fit into memory" in said.record["error"]["message"]
    assert said.record["error"]["hint"] == "ask about a shorter window"
