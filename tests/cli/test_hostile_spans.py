"""Spans that are wrong in every way that spans can be: the verdict holds or says why not, and what is wrong is counted."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from opslib.diagnosis import weights
from tests.cli.hostile import EVIL, Ask, Rows, Said, rows, write_capture, write_rows

S = 1_000_000_000
DEEP = "[" * 10_000 + "]" * 10_000


def diagnosed(ask: Ask, tmp_path: Path, spans: Rows, **signals: Rows) -> Said:
    said = ask(
        "diagnose", write_capture(tmp_path / "capture", spans, **signals), "--service", "payment", "--json"
    )
    assert said.code in {0, 1, 7}
    return said


def ids(change: Callable[[str], str]) -> Rows:
    named = ("trace_id", "span_id", "parent_span_id")
    return [row | {name: change(row[name]) for name in named if row[name]} for row in rows()]


def every(step: int, **changes: object) -> Rows:
    """Every `step`th span is another."""
    return [row | changes if i % step == 0 else row for i, row in enumerate(rows())]


SPELLINGS = {
    "upper case": str.upper,
    "base64": lambda text: base64.b64encode(bytes.fromhex(text)).decode(),
    "64-bit": lambda text: text[-16:],
    "free text": lambda text: f"<b>{text}\0",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_ids_are_only_compared(ask: Ask, tmp_path: Path, spelling: str) -> None:
    said = diagnosed(ask, tmp_path, ids(SPELLINGS[spelling]))

    assert (said.verdict, said.suspect) == ("edge", ("edge", "risk"))
    assert (said.gaps["traces"], said.gaps["spans"], said.gaps["orphans"]) == (60, len(rows()), 0)


@pytest.mark.parametrize(("column", "at_most"), [("trace_id", 60), ("span_id", 60)])
def test_rows_with_an_empty_id_are_left_out_and_counted(
    ask: Ask, tmp_path: Path, column: str, at_most: int
) -> None:
    said = diagnosed(ask, tmp_path, every(50, **{column: ""}))

    assert f"{-(-len(rows()) // 50)} span rows without ids or times were left out" in said.warnings
    assert said.gaps["traces"] <= at_most
    assert said.suspect == ("edge", "risk")


def test_names_are_kept_in_json_and_made_harmless_for_a_terminal(ask: Ask, tmp_path: Path) -> None:
    spans = [
        row
        | {
            "name": EVIL,
            "service_name": "risk" + EVIL if row["service_name"] == "risk" else row["service_name"],
        }
        for row in rows()
    ]
    said = diagnosed(ask, tmp_path, spans)
    shown = ask("diagnose", tmp_path / "capture", "--service", "payment")

    assert said.suspect == ("edge", "risk" + EVIL)
    assert not set("\x1b\0\u202e") & set(shown.out + shown.err)
    assert "<script>" in shown.out


def test_names_of_a_megabyte_are_shortened_and_told(ask: Ask, tmp_path: Path) -> None:
    spans = [
        row | {"name": "n" * 1_000_000, "service_name": "r" * 1_000_000}
        if row["service_name"] == "risk"
        else row
        for row in rows()
    ]
    said = diagnosed(ask, tmp_path, spans)

    assert said.suspect == ("edge", "r" * 16_384)
    assert "1 x name of spans longer than 16,384 bytes: shortened" in said.warnings
    assert "1 x service_name of spans longer than 16,384 bytes: shortened" in said.warnings
    assert len(said.out) < 1_000_000


LATE = 2**63 - 1


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {"end_time_unix_nano": row["start_time_unix_nano"] - 5 * S},
        lambda _: {"end_time_unix_nano": LATE},
    ],
    ids=["ends before it starts", "ends in the year 2262"],
)
def test_spans_whose_end_cannot_be_have_no_duration(ask: Ask, tmp_path: Path, change: Callable) -> None:
    spans = [row | change(row) if i % 60 == 5 else row for i, row in enumerate(rows())]
    said = diagnosed(ask, tmp_path, spans)
    bad = sum(i % 60 == 5 for i in range(len(spans)))

    assert f"{bad} spans end before they start, or last longer than a week" in said.warnings
    assert said.suspect == ("edge", "risk")
    assert said.record["budget"]["total"]["incident_ns"] < 10 * S


def test_where_most_ends_cannot_be_nothing_is_said(ask: Ask, tmp_path: Path) -> None:
    said = diagnosed(ask, tmp_path, [row | {"end_time_unix_nano": LATE} for row in rows()])

    assert (said.code, said.verdict) == (7, "undetermined")
    assert "ends of spans that can be" in said.record["missing"][0]


def test_spans_that_add_up_beyond_64_bits_are_refused(ask: Ask, tmp_path: Path) -> None:
    week = 6 * 86_400 * S
    spans = [
        row
        | {
            "span_id": f"{n:04x}{row['span_id'][4:]}",
            "end_time_unix_nano": row["start_time_unix_nano"] + week,
        }
        for n in range(1, 20)
        for row in rows()
    ]
    said = ask("diagnose", write_capture(tmp_path / "capture", spans), "--service", "payment", "--json")

    assert said.code == 2
    assert "their times are wrong" in said.record["error"]["message"]
    assert said.record["error"]["hint"]


def test_spans_from_before_1970_are_left_out_and_counted(ask: Ask, tmp_path: Path) -> None:
    said = diagnosed(ask, tmp_path, every(50, start_time_unix_nano=-(2**63)))

    assert "span rows without ids or times were left out" in said.warnings
    assert said.suspect == ("edge", "risk")


def test_a_span_of_the_year_2262_is_placed_in_its_parent(ask: Ask, tmp_path: Path) -> None:
    spans = [
        row | {"start_time_unix_nano": LATE - 5 * S, "end_time_unix_nano": LATE - 1}
        if row["service_name"] == "risk" and i % 7 == 0
        else row
        for i, row in enumerate(rows())
    ]
    said = diagnosed(ask, tmp_path, spans)

    assert said.gaps["skewed"] + said.gaps["clipped"] > 0
    assert said.suspect == ("edge", "risk")


def test_calls_without_a_duration_are_calls(ask: Ask, tmp_path: Path) -> None:
    said = diagnosed(ask, tmp_path, [r | {"end_time_unix_nano": r["start_time_unix_nano"]} for r in rows()])

    assert said.verdict == "no_anomaly"
    assert said.record["budget"]["total"] == {"baseline_ns": 0, "incident_ns": 0, "delta_ns": 0}


def test_a_span_that_is_its_own_parent_is_an_orphan(ask: Ask, tmp_path: Path) -> None:
    spans = [
        row | {"parent_span_id": row["span_id"]} if row["parent_span_id"] is None else row for row in rows()
    ]
    said = diagnosed(ask, tmp_path, spans)

    assert (said.gaps["orphans"], said.suspect) == (60, ("edge", "risk"))


def test_a_cycle_of_parents_is_cut_at_its_earliest_span(ask: Ask, tmp_path: Path) -> None:
    spans, below = rows(), {row["parent_span_id"]: row["span_id"] for row in rows()}
    spans = [
        row | {"parent_span_id": below[below[row["span_id"]]]} if row["parent_span_id"] is None else row
        for row in spans
    ]
    said = diagnosed(ask, tmp_path, spans)

    assert (said.gaps["orphans"], said.suspect) == (60, ("edge", "risk"))


def test_of_two_roots_the_earliest_counts_and_the_other_is_told(ask: Ask, tmp_path: Path) -> None:
    spans = [
        row | {"parent_span_id": None} if (row["service_name"], row["kind"]) == ("payment", "SERVER") else row
        for row in rows()
    ]
    said = diagnosed(ask, tmp_path, spans)

    assert "60 spans are a further root of their trace: the earliest counts" in said.warnings
    assert (said.gaps["traces"], said.suspect) == (60, ("edge", "risk"))


def test_duplicates_that_differ_are_counted_and_one_of_them_counts(ask: Ask, tmp_path: Path) -> None:
    again = [row | {"name": "another", "service_name": "impostor"} for row in rows()[::40]]
    said = diagnosed(ask, tmp_path, [*again, *rows()])
    other = ask(
        "diagnose",
        write_capture(tmp_path / "other", [*rows(), *again[::-1]]),
        "--service",
        "payment",
        "--json",
    )

    assert (said.gaps["duplicates"], said.suspect) == (len(again), ("edge", "risk"))
    assert other.record == said.record


def test_spans_of_one_trace_lie_in_many_parts(ask: Ask, tmp_path: Path) -> None:
    whole = diagnosed(ask, tmp_path, rows())
    folder = write_capture(tmp_path / "parts", rows()[::5])
    for part in range(1, 5):
        write_rows(folder / f"spans-{part}.parquet", "spans", rows()[part::5])

    assert ask("diagnose", folder, "--service", "payment", "--json").record == whole.record


ATTRIBUTES = {
    "10,000 levels deep": f'{{"peer.service": {DEEP}, "app.tenant": {DEEP}}}',
    "a number of 6,000 digits": f'{{"peer.service": {"9" * 6000}}}',
    "cut in the middle": '{"peer.service": "ri',
    "half a character": r'{"peer.service": "\ud800", "app.tenant": "\udc00x"}',
    "an endless number": '{"app.tenant": 1e999, "db.name": NaN}',
    "a list": "[1, 2]",
    "a megabyte": '{"app.tenant": "' + "x" * 1_000_000 + '"}',
}


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_attributes_that_are_no_object_cost_themselves(ask: Ask, tmp_path: Path, kind: str) -> None:
    spans = [
        row | {"attributes": ATTRIBUTES[kind]} if row["service_name"] != "payment" else row for row in rows()
    ]
    said = diagnosed(ask, tmp_path, spans)

    assert (said.verdict, said.suspect) == ("edge", ("edge", "risk"))


def test_of_equal_attribute_keys_one_counts(ask: Ask, tmp_path: Path) -> None:
    spans = [
        row | {"attributes": '{"peer.service": "x",' + row["attributes"][1:]} if row["attributes"] else row
        for row in rows()
    ]

    assert diagnosed(ask, tmp_path, spans).suspect == ("edge", "risk")


def test_operations_without_end_take_a_bounded_time(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MOST_OPERATIONS", 50)
    first = [row for row in rows() if row["parent_span_id"] is None]
    more = [
        first[i % 60] | {"trace_id": f"{i + 1:032x}", "span_id": f"{i + 1:016x}", "name": f"GET /{i % 300}"}
        for i in range(1_200)
    ]
    said = ask("diagnose", write_capture(tmp_path / "capture", rows() + more), "--json")

    assert said.code in {0, 1, 7}
    assert "more than 50 operations: the rarest are not compared one by one" in said.warnings
