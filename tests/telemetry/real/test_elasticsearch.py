"""Elasticsearch and OpenSearch themselves: what is indexed comes back as rows, rates and patterns, each once and exact."""

import json
import random
import uuid
from contextlib import suppress

import pytest
from catalogue import ask
from servers import bulk

from opslib.core.clock import SystemClock
from opslib.core.columns import COLUMNS
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import NS_PER_S, Window, Windows, rfc3339
from opslib.telemetry import elasticsearch
from opslib.telemetry.capture import CaptureWriter, open_capture
from opslib.telemetry.elasticsearch import logs as reading
from opslib.telemetry.elasticsearch import patterns as counting
from opslib.telemetry.elasticsearch.checks import check
from opslib.telemetry.elasticsearch.server import Snapshot

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]  # it may be built first

T0 = 1_769_828_400 * NS_PER_S
WHOLE = Window(T0, T0 + 120 * NS_PER_S)
WINDOWS = Windows(Window(T0 + 60 * NS_PER_S, WHOLE.end_ns), Window(T0, T0 + 60 * NS_PER_S))
TRACE = "0af7651916cd43dd8448eb211c80319c"
KEYWORD = {"type": "keyword", "ignore_above": 1024}
NAMES = ("log.level", "service.name", "kubernetes.pod.name", "kubernetes.labels.app", "trace.id", "span.id")
LINES = (
    ("payment", "info", 40, 40, "request {n} handled in {n} ms with status 200"),
    ("payment", "info", 20, 20, "request {n} handled in {n} ms"),
    ("order", "info", 30, 30, "cache lookup of '{n} x' took {n}us, here"),
    ("order", "debug", 10, 10, "cache lookup of '{n} x' took {n}us, here"),
    ("payment", "warn", 1, 9, "call {n} to risk -> gave up: deadline exceeded (user_id={n})"),
    ("risk", "error", 0, 3, "worker {n} lost its model 10.0.0.{n}"),
)


@pytest.fixture(params=["elasticsearch", "opensearch"])
def server(request, servers):
    return servers[request.param]["url"]


@pytest.fixture
def source(server):
    """Yield a function that returns the logs of an index."""
    opened = []

    def connect(index, services=None, **options):
        settings = SourceSettings("elasticsearch", server, {"index": index, "timeout_s": 60, **options})
        environment = Environment("test", services=services or {})
        opened.append(elasticsearch.connect(settings, environment, "logs", SystemClock()))
        return opened[-1]

    yield connect
    for one in opened:
        one.server.http.close()


@pytest.fixture
def index(server, source):
    """Yield a function that makes an index of documents, and returns the source that reads it."""
    made = []

    def make(documents, *, time="date", names=NAMES, shards=3, services=None, **options):
        name = f"test-{uuid.uuid4().hex}"
        made.append(name)
        properties = {
            "@timestamp": {"type": time},
            "message": {"type": "text"},
            **dict.fromkeys(names, KEYWORD),
        }
        settings = {"number_of_shards": shards, "number_of_replicas": 0}
        ask(
            f"{server}/{name}",
            json.dumps({"settings": settings, "mappings": {"properties": properties}}),
            "PUT",
        )
        if documents:
            bulk(server, name, documents)
        return source(name, services, **options)

    yield make
    for name in made:
        ask(f"{server}/{name}", method="DELETE")


def lines(count=600, seed=3):
    random_ = random.Random(seed)
    made = []
    for half in (0, 1):
        for k, line in enumerate(random_.choices(LINES, [line[2 + half] for line in LINES], k=count // 2)):
            service, level, _, _, text = line
            at = T0 + (half * 60 + k * 120 / count) * NS_PER_S
            made.append(
                {
                    "@timestamp": rfc3339(int(at) // 1_000_000 * 1_000_000),
                    "message": text.replace("{n}", str(random_.randrange(200))),
                    "service": {"name": service},
                    "log": {"level": level},
                    "kubernetes": {"pod": {"name": f"{service}-{k % 2}"}},
                    "trace": {"id": f"{k:032x}"},
                }
            )
    return made


def bodies(found):
    return found.frame["body"].tolist()


def test_a_document_is_a_row_to_the_nanosecond(index):
    document = {
        "@timestamp": "2026-01-31T03:00:01.123456789Z", "message": "declined", "log": {"level": "warn"},
        "service": {"name": "payment"}, "kubernetes": {"pod": {"name": "payment-7f"}},
        "trace": {"id": TRACE.upper()}, "span.id": "b7ad6b7169203331", "labels": {"tier": "gold"},
    }  # fmt: skip
    row = [
        T0 + 1_123_456_789, "WARN", "declined", "payment", "payment-7f", TRACE, "b7ad6b7169203331",
        '{"labels":{"tier":"gold"}}',
    ]  # fmt: skip
    for time in ("date", "date_nanos"):
        found = index([document], time=time).logs(WHOLE)
        assert found.frame.to_numpy().tolist() == [row]
        assert not found.note.warnings
    edge = Window(T0 + 1_123_456_789, T0 + 1_123_456_790)
    assert len(index([document], time="date_nanos").logs(edge).frame) == 1
    assert len(index([document], time="date").logs(edge).frame) == 1
    assert index([document], time="date_nanos").logs(Window(T0, edge.start_ns)).frame.empty


def test_indices_of_both_types_of_time_and_one_without_a_field(index, source):
    one = index([{"@timestamp": rfc3339(T0 + 2_000_000_007), "message": "b"}], time="date_nanos")
    two = index([{"@timestamp": rfc3339(T0 + 1_000_000_000), "message": "a"}])
    bare = index([{"message": "no time"}], time="keyword")
    both = source(f"{one.server.index},{two.server.index}")
    assert both.logs(WHOLE).frame["time_unix_nano"].tolist() == [T0 + 1_000_000_000, T0 + 2_000_000_007]
    missing = source(f"{two.server.index},nowhere-at-all")
    assert bodies(missing.logs(WHOLE)) == ["a"]
    assert source("nowhere-at-all").logs(WHOLE).note.warnings == ("no index matches nowhere-at-all",)
    assert source("nowhere-*").logs(WHOLE).note.warnings == ("no index matches nowhere-*",)
    assert bare.logs(WHOLE).note.warnings == (f"no index of {bare.server.index} has times in @timestamp",)


@pytest.mark.parametrize("lost", [False, True])
def test_every_record_comes_once_whether_the_point_in_time_holds_or_not(index, monkeypatch, lost):
    monkeypatch.setattr(reading, "PAGE", 50)
    crowd = [{"@timestamp": rfc3339(T0 + 119 * NS_PER_S), "message": f"crowd {k}"} for k in range(130)]
    documents = [*lines(), *crowd]
    random.Random(1).shuffle(documents)
    logs, page, asked = index(documents), Snapshot.page, []

    def forgetful(snapshot, body):
        asked.append(body)
        if lost and len(asked) in {4, 9, 15}:
            server = logs.server
            server.http.delete(f"/{server.dialect.path}", server.dialect.closing(snapshot.pit))
        return page(snapshot, body)

    monkeypatch.setattr(Snapshot, "page", forgetful)
    found = logs.logs(WHOLE)
    assert sorted(bodies(found)) == sorted(document["message"] for document in documents)
    assert found.frame["time_unix_nano"].is_monotonic_increasing
    assert (found.note.truncated, found.note.warnings) == (False, ())
    assert any("search_after" in body for body in asked)
    some = logs.logs(WHOLE, limit=100)
    assert bodies(some) == bodies(found)[:100]
    assert some.note.truncated


def test_logs_by_service_pod_severity_text_and_trace(index):
    documents = [
        *lines(200),
        {
            "@timestamp": rfc3339(T0),
            "message": f"TraceID: {TRACE} refused",
            "kubernetes": {"labels": {"app": "pay"}},
        },
    ]
    services = {
        "payments": {"logs": "payment"},
        "pay": {"logs": {"field": "kubernetes.labels.app", "value": "pay"}},
    }
    logs = index(documents, services=services)
    everything = logs.logs(WHOLE).frame
    assert sorted(set(everything["service_name"])) == ["order", "pay", "payments", "risk"]
    for asked, kept in (
        ({"services": ["payments", "risk"]}, everything["service_name"].isin(["payments", "risk"])),
        ({"services": ["pay"]}, everything["service_name"] == "pay"),
        ({"pods": ["order-1"]}, everything["k8s_pod_name"] == "order-1"),
        ({"severities": ["Warn", "ERROR"]}, everything["severity_text"].isin(["WARN", "ERROR"])),
        ({"severities": [""]}, everything["severity_text"].isna()),
        ({"text": "gave UP: deadline"}, everything["body"].str.contains("gave up: deadline")),
        ({"trace_id": TRACE}, everything["trace_id"] == TRACE),
        ({"trace_id": f"{7:032x}"}, everything["trace_id"] == f"{7:032x}"),
    ):
        found = logs.logs(WHOLE, **asked).frame
        assert 0 < len(found) < len(everything), asked
        assert found.fillna("").to_numpy().tolist() == everything[kept].fillna("").to_numpy().tolist(), asked


def test_rates_and_patterns_are_those_of_a_capture_of_the_same_records(index, tmp_path, monkeypatch):
    logs = index(lines())
    with CaptureWriter(tmp_path / "capture", fan_out=0) as writer:
        writer.append("logs", logs.logs(WHOLE).frame[[column.name for column in COLUMNS["logs"]]])
        writer.close(WINDOWS, [], {})
    capture = open_capture(tmp_path / "capture")
    for services in (None, ["order"]):
        ours, theirs = (one.log_rates(WHOLE, 7, services=services).frame for one in (logs, capture))
        assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()
    columns = ["service_name", "severity_text", "pattern", "count_incident", "count_baseline"]
    theirs = capture.log_patterns(WINDOWS).frame[columns].to_numpy().tolist()
    for sample in (2_000, 60):
        monkeypatch.setattr(counting, "_SAMPLE", sample)
        found = logs.log_patterns(WINDOWS)
        assert found.frame[columns].to_numpy().tolist() == theirs
        assert (found.note.truncated, found.note.warnings) == (False, ())


def test_few_messages_of_a_keyword_are_counted_whole(index):
    documents = [document | {"log": document["message"]} for document in lines(200)]
    for document in documents:
        del document["message"]
    names = ("level", "log", "service.name")
    found = index(documents, names=names).log_patterns(WINDOWS).frame
    assert found["exact"].all()
    assert found["count_incident"].sum() == found["count_baseline"].sum() == 100


def test_doctor_is_told_what_is_there(index):
    now = SystemClock().now_ns()
    documents = [
        {"@timestamp": rfc3339(now // 1_000_000 * 1_000_000 - k * NS_PER_S), "message": f"trace_id={TRACE} {k}",
         "service": {"name": "payment"}}
        for k in range(9)
    ]  # fmt: skip
    found = {one.name: one for one in check(index(documents), ["payment", "risk"], SystemClock())}
    assert "Search 3.8" in found["logs"].statement or "Elasticsearch 8.19" in found["logs"].statement
    assert {n: one.outcome for n, one in found.items() if one.outcome is not Outcome.PASS} == {
        "logs of services": Outcome.NO_DATA
    }
    assert found["logs of services"].statement.endswith("none: risk")
    assert found["logs with trace ids"].statement.startswith("100 %")


@pytest.fixture
def stream(server):
    """Yield the name of a data stream that is made by the first document sent to it."""
    name = f"filebeat-{uuid.uuid4().hex}"
    types = {"@timestamp": {"type": "date"}, "message": {"type": "text"}, **dict.fromkeys(NAMES, KEYWORD)}
    template = {"mappings": {"properties": types}, "settings": {"number_of_replicas": 0}}
    body = {"index_patterns": [f"{name}*"], "data_stream": {}, "priority": 900, "template": template}
    ask(f"{server}/_index_template/{name}", json.dumps(body), "PUT")
    yield name
    with suppress(OSError):  # the interface of data streams is a module that a server may lack
        ask(f"{server}/_data_stream/{name}", method="DELETE")
        ask(f"{server}/_index_template/{name}", method="DELETE")


def test_a_data_stream_of_filebeat_is_read_by_its_pattern(server, source, stream):
    document = {
        "@timestamp": rfc3339(T0), "message": "shipped", "log": {"level": "info", "file": {"path": "/var/log/x.log"}},
        "service": {"name": "payment"}, "kubernetes": {"pod": {"name": "p"}, "container": {"name": "c"}},
        "trace": {"id": TRACE}, "agent": {"type": "filebeat"}, "tags": ["a", "b"],
    }  # fmt: skip
    bulk(server, stream, [document])
    found = source(f"{stream[:-1]}*").logs(WHOLE, services=["payment"])
    assert found.frame.iloc[0].tolist()[:6] == [T0, "INFO", "shipped", "payment", "p", TRACE]
