import json

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.blocks import blocks_from_frame
from opslib.core.columns import COLUMNS
from opslib.core.redact import MASK, Redactor, may_hold_secret
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.telemetry import Sources, connect_capture
from opslib.telemetry.collect import (
    RedactedBlocks,
    changes_window,
    collect,
    disjoint,
    redact_frame,
    redact_json,
)


def test_overlapping_windows_are_asked_once():
    first, second, third = Window(0, 10), Window(5, 12), Window(10, 20)
    assert disjoint(Windows(second, first)) == (Window(0, 12),)
    assert disjoint(Windows(third, first)) == (first, third)
    assert disjoint(Windows(first, third)) == (first, third)
    assert disjoint(Windows(Window(0, 20), Window(5, 6))) == (Window(0, 20),)
    assert disjoint(Windows(first)) == (first,)


def test_changes_are_looked_for_before_and_between():
    s = NS_PER_S
    incident, later = Window(1000 * s, 1100 * s), Window(2000 * s, 2100 * s)
    assert changes_window(Windows(incident, later)) == Window(400 * s, 2100 * s)
    assert changes_window(Windows(incident, Window(100 * s, 200 * s))) == Window(100 * s, 1100 * s)


def test_each_row_comes_once_and_absent_sources_are_empty_frames(capture_folder, made):
    sources = connect_capture(capture_folder)
    windows = Windows(
        Window(made.T0 + 5 * made.S, made.T0 + 9 * made.S), Window(made.T0, made.T0 + 6 * made.S)
    )
    signals = collect(sources, windows, Redactor())
    assert signals.logs["body"].tolist() == [f"paid {t}" for t in range(9)]
    assert len(signals.metrics) == 18
    apart = Windows(Window(made.T0 + 7 * made.S, made.T0 + 9 * made.S), Window(made.T0, made.T0 + 2 * made.S))
    signals = collect(sources, apart, Redactor())
    assert signals.logs["body"].tolist() == [f"paid {t}" for t in (0, 1, 7, 8)]
    assert signals.notes[0].rows == 4
    none = collect(Sources(), windows, Redactor())
    for name, frame in (("logs", none.logs), ("metrics", none.metrics), ("events", none.events)):
        assert list(frame) == [column.name for column in COLUMNS[name]]
        assert frame["time_unix_nano"].dtype == "int64"
    assert [note.kind for note in none.notes] == [""] * 4


def test_json_is_masked_by_its_keys_and_other_text_by_its_shape():
    mask = Redactor()
    assert json.loads(redact_json('{"api_key": "abcdef", "n": [{"password": "p"}]}', mask)) == {
        "api_key": MASK, "n": [{"password": MASK}]
    }  # fmt: skip
    assert redact_json('{"a": 1,"key_count":2}', mask) == '{"a": 1,"key_count":2}'
    assert redact_json("token=abcdef {", mask) == f"token={MASK} {{"
    assert redact_json("{}", Redactor(["secret-value"])) == "{}"
    assert redact_json('{"x": "ledger"}', Redactor(["ledger"])) == f'{{"x": "{MASK}"}}'


def test_frames_without_secrets_are_passed_on_as_they_are():
    frame = pd.DataFrame({"body": ["paid", None], "attributes": ['{"a": 1}', None], "value": [1, 2]})
    assert redact_frame(frame, Redactor())["body"] is not None
    pd.testing.assert_frame_equal(redact_frame(frame, Redactor()), frame)


def test_blocks_say_the_same_as_redacted_rows(made, rows):
    rows = [
        row | {"name": "GET /?token=abcdefgh", "attributes": '{"password": "x", "db.name": "l"}'}
        for row in rows
    ]
    frame = made.frame_of("spans", rows)
    blocks = RedactedBlocks(blocks_from_frame(frame, attributes=True), Redactor())
    (masked,) = blocks
    (expected,) = blocks_from_frame(redact_frame(frame, Redactor()), attributes=True)
    assert masked.name.values == expected.name.values == (f"GET /?token={MASK}",)  # noqa: PD011
    assert masked.attributes.values == expected.attributes.values  # noqa: PD011
    assert len(list(blocks)) == 1, "as often iterable as its source"


SECRET = st.sampled_from([
    "Bearer abcdefghijkl", "password=hunter22", "https://u:pass@host/", "AKIAABCDEFGHIJKLMNOP", "ghp_abcdefghijklmnop",
    "eyJabcdefghij.abcdefghij.x", "api-key: 12345", "glpat-abcdefghijklmnop", "ACCESS_KEY=abcd", "ſecret=abcd", "plain",
])  # fmt: skip


@given(st.lists(SECRET | st.text(max_size=8), max_size=4).map(" ".join))
def test_masking_again_changes_nothing_and_the_quick_look_misses_nothing(text):
    mask = Redactor()
    once = mask.text(text)
    assert mask.text(once) == once
    if not may_hold_secret(text):
        from opslib.core.redact import _SHAPES

        assert not any(pattern.search(text) for pattern, _ in _SHAPES)
