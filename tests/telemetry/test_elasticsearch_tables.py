"""Rates and patterns counted by the server are what counting the records themselves gives."""

import random

import pytest

from opslib.core.columns import COLUMNS
from opslib.core.windows import NS_PER_S, Window, Windows, rfc3339
from opslib.telemetry.capture import CaptureWriter, open_capture
from opslib.telemetry.elasticsearch import patterns as counting
from opslib.telemetry.elasticsearch import rates as grouping
from opslib.telemetry.elasticsearch.documents import Naming
from opslib.telemetry.elasticsearch.phrases import holds, runs_of
from tests.telemetry.elastic import ECS, KEYWORD, TEXT, FakeElastic, logs_of

T0 = 1_769_828_400 * NS_PER_S
WINDOWS = Windows(Window(T0 + 60 * NS_PER_S, T0 + 120 * NS_PER_S), Window(T0, T0 + 60 * NS_PER_S))
WHOLE = Window(T0, T0 + 120 * NS_PER_S)
LINES = (
    ("payment", "info", 40, 40, "request {n} handled in {n} ms with status 200"),
    ("payment", "info", 20, 20, "request {n} handled in {n} ms"),
    ("order", "info", 30, 30, "cache lookup of '{n} x' took {n}us here"),
    ("order", "debug", 10, 10, "cache lookup of '{n} x' took {n}us here"),
    ("payment", "warn", 1, 9, "call {n} to risk -> gave up: deadline exceeded"),
    ("risk", "error", 0, 1, "worker {n} lost its model"),
    (None, None, 1, 1, "starting"),
)


@pytest.fixture
def documents():
    random_ = random.Random(3)
    made = []
    for half in (0, 1):
        for k, line in enumerate(random_.choices(LINES, [line[2 + half] for line in LINES], k=400)):
            service, level, _, _, text = line
            at = T0 + half * 60 * NS_PER_S + k * 150_000_000
            more = {"service": {"name": service}, "log": {"level": level}} if service else {}
            made.append(
                {
                    "@timestamp": rfc3339(at),
                    "message": text.replace("{n}", str(random_.randrange(9_999))),
                    **more,
                }
            )
    return made


@pytest.fixture
def captured(documents, tmp_path):
    frame = logs_of(FakeElastic(documents)).logs(WHOLE).frame
    with CaptureWriter(tmp_path / "capture", fan_out=0) as writer:
        writer.append("logs", frame[[column.name for column in COLUMNS["logs"]]])
        writer.close(WINDOWS, [], {})
    return open_capture(tmp_path / "capture")


def small(monkeypatch, **sizes):
    for name, size in sizes.items():
        monkeypatch.setattr(counting, f"_{name.upper()}", size)


def counts(found):
    columns = ["service_name", "severity_text", "pattern", "count_incident", "count_baseline"]
    return sorted(found.frame[columns].to_numpy().tolist())


def test_rates_are_those_of_the_capture(documents, captured, monkeypatch):
    monkeypatch.setattr(grouping, "_PAGE", 7)
    window = Window(T0 + 13_000_000, WHOLE.end_ns)
    for services in (None, ["payment"]):
        ours = logs_of(FakeElastic(documents)).log_rates(window, 7, services=services)
        theirs = captured.log_rates(window, 7, services=services)
        assert ours.frame.to_numpy().tolist() == theirs.frame.to_numpy().tolist()
        assert len(ours.frame) > 17
        assert not ours.note.truncated


def test_rates_that_are_cut_are_said(documents, monkeypatch):
    monkeypatch.setattr(grouping, "_PAGE", 2)
    monkeypatch.setattr(grouping, "_PAGES", 3)
    note = logs_of(FakeElastic(documents)).log_rates(WHOLE, 1).note
    assert note.truncated
    assert note.warnings == ("there are more groups than were counted",)


def test_the_service_map_names_what_is_counted(documents):
    naming = Naming((("risks", "service.name", "risk"),), {"order": "orders"})
    source = logs_of(FakeElastic(documents), naming)
    for frame in (source.log_rates(WHOLE, 60).frame, source.log_patterns(WINDOWS).frame):
        assert sorted(set(frame["service_name"])) == ["", "orders", "payment", "risks"]
    assert set(source.log_patterns(WINDOWS, services=["orders"]).frame["service_name"]) == {"orders"}


@pytest.mark.parametrize("sample", [1_000, 60])
def test_patterns_are_those_of_the_capture(documents, captured, monkeypatch, sample):
    small(monkeypatch, sample=sample)
    fake = FakeElastic(documents)
    found = logs_of(fake).log_patterns(WINDOWS)
    assert counts(found) == counts(captured.log_patterns(WINDOWS))
    assert (found.note.truncated, found.note.warnings, fake.pits) == (False, (), {})
    assert any("filters" in str(search.get("aggs")) for search in fake.searches) == (sample < 400)
    # what is asked for the words of one pattern would count the other's lines too
    assert found.frame.set_index("pattern")["exact"].drop("starting").all()


def test_lines_that_no_query_can_tell_apart_are_estimated_and_said_to_be(documents, monkeypatch):
    small(monkeypatch, sample=60)
    lines = [d | {"message": f"{i} {'ab' if i % 3 else 'cd'}"} for i, d in enumerate(documents)]
    found = logs_of(FakeElastic(lines)).log_patterns(WINDOWS)
    assert not found.frame["exact"].any()
    assert found.frame["count_incident"].sum() == 400
    assert found.frame["count_baseline"].sum() == 400
    assert "" in found.frame["pattern"].tolist()


def test_no_more_words_are_asked_for_than_a_server_takes(documents, monkeypatch):
    small(monkeypatch, sample=60, clauses=8)
    fake = FakeElastic(documents)
    found = logs_of(fake).log_patterns(WINDOWS).frame
    asked = [str(search.get("aggs")) for search in fake.searches if "filters" in str(search.get("aggs"))]
    assert all(text.count("match_phrase") + text.count("intervals'") <= 3 for text in asked)
    assert asked
    assert found["count_incident"].sum() == found["count_baseline"].sum() == 400
    assert 0 < found["exact"].sum() < len(found)


def test_services_beyond_those_that_are_told_apart_are_still_counted(documents, monkeypatch):
    small(monkeypatch, sample=60, split=1)
    found = logs_of(FakeElastic(documents)).log_patterns(WINDOWS).frame
    assert found["count_incident"].sum() == found["count_baseline"].sum() == 400


def test_few_messages_in_a_keyword_are_counted_whole(documents, captured, monkeypatch):
    small(monkeypatch, sample=0)
    for mapping in (ECS | {"message": KEYWORD}, ECS | {"message.keyword": KEYWORD}):
        found = logs_of(FakeElastic(documents, mapping)).log_patterns(WINDOWS)
        assert counts(found) == counts(captured.log_patterns(WINDOWS))
        assert found.frame["exact"].all()


def test_many_messages_in_a_keyword_are_sampled(documents, monkeypatch):
    small(monkeypatch, sample=100, distinct=10)
    found = logs_of(FakeElastic(documents, ECS | {"message": KEYWORD})).log_patterns(WINDOWS)
    assert found.frame["count_incident"].sum() == 400
    assert not found.frame["exact"].any()


def test_a_level_may_be_a_number(monkeypatch):
    small(monkeypatch, sample=5)
    made = [
        {
            "@timestamp": rfc3339(T0 + k * NS_PER_S),
            "message": f"model {k} was lost",
            **({"level": 50} if k % 2 else {}),
        }
        for k in range(20)
    ]
    mapping = {"@timestamp": "date", "message": TEXT, "level": "long"}
    found = logs_of(FakeElastic(made, mapping)).log_patterns(Windows(WHOLE))
    assert sorted(found.frame[["severity_text", "count_incident"]].to_numpy().tolist()) == [
        ["", 10],
        ["ERROR", 10],
    ]


def test_no_index_has_no_tables():
    source = logs_of(FakeElastic(mapping={}))
    for found in (source.log_rates(WHOLE, 1), source.log_patterns(WINDOWS)):
        assert found.frame.empty
        assert found.note.warnings == ("no index matches filebeat-*",)


@pytest.mark.parametrize(
    ("pattern", "runs"),
    [
        ("request <n> handled in <n> ms", ("request", "handled in", "ms")),
        ("took <n>ms -> key=<text> of pool main", ("took", "of pool main")),
        ("<uuid> <n> - <hex>", ()),
    ],
)
def test_the_constant_words_of_a_pattern(pattern, runs):
    assert runs_of(pattern) == runs


def test_runs_stand_in_order_side_by_side():
    assert holds(("call to", "failed"), "the CALL to: risk has failed")
    assert not holds(("call to", "failed"), "failed call to risk")
    assert not holds(("call to",), "call risk to")
    assert holds((), "anything")
