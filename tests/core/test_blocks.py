"""Spans as blocks, against a slow and plain reading of the same rules."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.blocks import blocks_from_frame, break_cycles, root_rows
from opslib.core.columns import COLUMNS
from opslib.core.evidence import ORPHAN, PEER_TYPES, ROOT
from opslib.core.foreign import json_object
from opslib.core.peers import resolve_peer
from opslib.core.windows import Window, Windows

T0 = 1_769_828_400_000_000_000
NAMES = [column.name for column in COLUMNS["spans"]]


def span(trace="a", span="1", parent=None, start=0, end=10, **more):
    row = dict.fromkeys(NAMES) | {
        "trace_id": trace * 32,
        "span_id": span * 16,
        "parent_span_id": parent and parent * 16,
        "name": "op",
        "kind": "SERVER",
        "start_time_unix_nano": T0 + start,
        "end_time_unix_nano": T0 + end,
        "status_code": "UNSET",
        "service_name": "shop",
    }
    return row | more


def block_of(*rows, **options):
    (block,) = blocks_from_frame(pd.DataFrame(list(rows), columns=NAMES), **options)
    return block


def content(block):
    """Everything in a block as plain texts and numbers, codes resolved."""

    def texts(strings):
        values = strings.values  # noqa: PD011 - no frame
        return [None if code < 0 else values[code] for code in strings.codes]

    plain = {}
    for field in dataclasses.fields(block):
        value = getattr(block, field.name)
        if hasattr(value, "codes"):
            value = texts(value)
        elif isinstance(value, np.ndarray):
            value = value.tolist()
        plain[field.name] = value
    return plain


def plainly(rows):
    """The rules of `opslib.core.blocks`, one span at a time."""

    def key(row):
        text = [
            row["name"] or "",
            row["kind"],
            row["status_code"],
            row["service_name"],
            row["service_version"] or "",
        ]
        return (
            row["start_time_unix_nano"],
            -row["end_time_unix_nano"],
            row["parent_span_id"] or "",
            *map(str, text),
        )

    best = {}
    for row in rows:
        at = (row["trace_id"], row["span_id"])
        if at not in best or key(row) < key(best[at]):
            best[at] = row
    ordered = [best[at] for at in sorted(best)]
    place = {(row["trace_id"], row["span_id"]): i for i, row in enumerate(ordered)}
    parent = [
        ROOT if not r["parent_span_id"] else place.get((r["trace_id"], r["parent_span_id"]), ORPHAN)
        for r in ordered
    ]
    broken = list(parent)
    for i in range(len(ordered)):
        seen, at = [], i
        while at >= 0 and at not in seen:
            seen.append(at)
            at = parent[at]
        if at >= 0:  # a cycle: from `at` on
            cycle = seen[seen.index(at) :]
            first = min(cycle, key=lambda row: (ordered[row]["start_time_unix_nano"], row))
            broken[first] = ORPHAN
    return ordered, broken, len(rows) - len(best)


one_span = st.builds(
    span,
    trace=st.sampled_from("ab"),
    span=st.sampled_from("12345678"),
    parent=st.sampled_from([None, *"123456789"]),
    start=st.integers(0, 3),
    end=st.integers(0, 5),
    name=st.sampled_from(["x", "y"]),
    service_version=st.sampled_from([None, "v1", "v2"]),
)


@given(rows=st.lists(one_span, min_size=1, max_size=40), seed=st.randoms())
@settings(max_examples=50, deadline=None)
def test_any_order_of_rows_gives_the_block_that_the_plain_rules_give(rows, seed):
    shuffled = list(rows)
    seed.shuffle(shuffled)
    block = block_of(*shuffled)
    ordered, parent, duplicates = plainly(rows)
    assert [block.trace_ids[t] for t in block.trace] == [r["trace_id"] for r in ordered]
    assert block.start.tolist() == [r["start_time_unix_nano"] for r in ordered]
    assert block.end.tolist() == [max(r["start_time_unix_nano"], r["end_time_unix_nano"]) for r in ordered]
    assert block.parent.tolist() == parent
    assert block.duplicates == duplicates
    assert content(block)["version"] == [r["service_version"] for r in ordered]
    assert content(block) == content(block_of(*rows))


@given(
    parents=st.lists(st.integers(-2, 11), min_size=1, max_size=12),
    starts=st.lists(st.integers(0, 3), min_size=12),
)
@settings(deadline=None)
def test_no_cycle_is_left_and_nothing_else_is_cut(parents, starts):
    parent = np.array([p if p < len(parents) else -1 for p in parents])
    broken = break_cycles(parent, np.array(starts[: len(parent)]))
    for row in range(len(broken)):
        steps, at = 0, row
        while at >= 0:
            at, steps = broken[at], steps + 1
            assert steps <= len(broken)
    for row in np.flatnonzero(broken != parent):
        at = parent[row]
        for _ in range(len(parent)):
            if at == row:
                break
            at = parent[at]
        assert at == row, "only members of a cycle are cut"


def test_a_deep_chain_is_no_cycle():
    n = 100_000
    parent = np.arange(n) - 1
    assert break_cycles(parent, np.zeros(n, dtype=np.int64)) is parent


def test_a_cycle_of_all_rows_loses_its_earliest():
    n = 1000
    start = np.full(n, 5)
    start[[700, 300]] = 1
    broken = break_cycles((np.arange(n) + 1) % n, start)
    assert np.flatnonzero(broken < 0).tolist() == [300]


def test_columns_that_are_missing_read_as_null():
    frame = pd.DataFrame([span()])[["trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano"]]
    (block,) = blocks_from_frame(frame)
    plain = content(block)
    assert (plain["kind"], plain["status"], plain["service"]) == (
        ["UNSPECIFIED"],
        ["UNSET"],
        ["unknown_service"],
    )
    assert (plain["name"], plain["version"], plain["pod"], plain["peer"]) == ([""], [None], [None], [None])
    assert plain["parent"] == [ROOT]


def test_foreign_kinds_and_states_are_as_absent():
    plain = content(block_of(span(kind="server", status_code="Error", k8s_pod_name="", service_name="")))
    assert (plain["kind"], plain["status"], plain["pod"]) == (["UNSPECIFIED"], ["UNSET"], [None])


@pytest.mark.parametrize("parent", ["", "0" * 16])
def test_an_empty_parent_is_none(parent):
    assert block_of(span(parent_span_id=parent)).parent.tolist() == [ROOT]


def test_rows_that_cannot_be_placed_are_left_out():
    rows = [span(), span(span_id=None), span(trace_id=None), span(span="2", start_time_unix_nano=None)]
    assert len(block_of(*rows)) == 1
    assert blocks_from_frame(pd.DataFrame(rows[1:3])) == ()
    assert blocks_from_frame(pd.DataFrame(columns=NAMES)) == ()


def test_who_is_called_is_read_from_calling_spans_only():
    text = json.dumps({"peer.service": "risk"})
    kinds = ["CLIENT", "PRODUCER", None, "SERVER", "CONSUMER", "INTERNAL"]
    rows = [span(span=str(i), kind=kind, attributes=text) for i, kind in enumerate(kinds, 1)]
    plain = content(block_of(*rows))
    assert plain["peer"] == ["risk", "risk", "risk", None, None, None]
    assert [PEER_TYPES[i] for i in plain["peer_type"]] == ["service"] * 3 + ["none"] * 3
    assert resolve_peer(json_object(text)) == ("risk", 1)


def test_attributes_come_when_they_are_asked_for():
    rows = [span(attributes='{"a": 1}'), span(span="2")]
    assert block_of(*rows).attributes is None
    assert content(block_of(*rows, attributes=True))["attributes"] == ['{"a": 1}', None]


@pytest.mark.parametrize("unit", ["ns", "us"])
def test_times_may_be_timestamps(unit):
    frame = pd.DataFrame([span(end=5_000_000)])
    for name in ("start_time_unix_nano", "end_time_unix_nano"):
        frame[name] = pd.to_datetime(frame[name].astype("int64"), utc=True).dt.as_unit(unit)
    (block,) = blocks_from_frame(frame)
    assert (block.start.tolist(), block.end.tolist()) == ([T0], [T0 + 5_000_000])


def test_a_trace_belongs_to_the_window_of_its_earliest_root():
    rows = [
        span("a", "1", start=5), span("a", "2", start=3), span("a", "3", parent="1", start=0),
        span("b", "1", parent="9", start=0), span("b", "2", start=8),
        span("c", "1", parent="9", start=7), span("c", "2", parent="1", start=1),
    ]  # fmt: skip
    block = block_of(*rows)
    assert (block.start[root_rows(block)] - T0).tolist() == [3, 8, 7]
    chosen = block_of(*rows, windows=Windows(Window(T0 + 7, T0 + 8), Window(T0 + 3, T0 + 4)))
    assert [t[0] for t in chosen.trace_ids] == ["a", "c"]
    assert len(chosen) == 5
    assert blocks_from_frame(pd.DataFrame(rows), windows=Windows(Window(T0 + 90, T0 + 91))) == ()


def test_repeats_of_traces_outside_the_windows_do_not_count():
    rows = [span("a"), span("a"), span("b", start=50), span("b", start=50)]
    assert block_of(*rows, windows=Windows(Window(T0, T0 + 1))).duplicates == 1
