"""Logs from Elasticsearch: every record of the window once and exactly, whatever the server does meanwhile."""

import httpx2
import pytest

from opslib.core.columns import COLUMNS
from opslib.core.errors import SourceError, UsageError
from opslib.core.settings import SourceSettings
from opslib.core.windows import NS_PER_S, Window, rfc3339
from opslib.telemetry import elasticsearch
from opslib.telemetry.elasticsearch import logs as reading
from opslib.telemetry.elasticsearch.documents import Naming
from tests.telemetry.elastic import DATE, ECS, KEYWORD, MS, TEXT, FakeElastic, environment, logs_of

T0 = 1_769_828_400 * NS_PER_S
WINDOW = Window(T0, T0 + 60 * NS_PER_S)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def document(second=0.0, message="paid", **more):
    return {"@timestamp": rfc3339(T0 + round(second * NS_PER_S)), "message": message, **more}


def read(fake, **asked):
    return logs_of(fake, asked.pop("naming", None)).logs(asked.pop("window", WINDOW), **asked)


def bodies(found):
    return found.frame["body"].tolist()


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(reading, "PAGE", 10)


def test_a_document_of_filebeat_is_a_row_of_the_capture():
    fake = FakeElastic(
        [
            document(
                1.5,
                "payment declined",
                log={"level": "warn"},
                service={"name": "payment"},
                kubernetes={"pod": {"name": "payment-7f"}},
                trace={"id": TRACE.upper()},
                span={"id": "b7ad6b7169203331"},
                error={"type": "Declined"},
            )
        ]
    )
    found = read(fake)
    assert list(found.frame) == [column.name for column in COLUMNS["logs"]]
    assert found.frame.iloc[0].tolist() == [
        T0 + 1_500 * MS, "WARN", "payment declined", "payment", "payment-7f", TRACE, "b7ad6b7169203331",
        '{"error":{"type":"Declined"}}',
    ]  # fmt: skip
    note = found.note
    assert (note.signal, note.kind, note.rows, note.truncated, note.warnings) == (
        "log",
        "elasticsearch",
        1,
        False,
        (),
    )
    assert fake.pits == {}


@pytest.mark.parametrize(
    ("fields", "severity", "pod", "service"),
    [
        ({"log.level": "error", "service.name": "a", "kubernetes.pod.name": "p"}, "ERROR", "p", "a"),
        ({"level": "Warning", "kubernetes": {"labels": {"app": "a"}, "pod_name": "p"}}, "WARNING", "p", "a"),
        ({"severity": "INFO", "kubernetes": {"labels.app": "a", "pod.name": "p"}}, "INFO", "p", "a"),
        ({"level": 50, "service": "a", "kubernetes": {"container": {"name": "c"}}}, "ERROR", None, "a"),
        ({"severity_text": "DEBUG", "resource": {"attributes": {"service.name": "a"}}}, "DEBUG", None, "a"),
        ({"log": {"level": ["error", "x"]}, "container": {"name": "a"}}, "ERROR", None, "a"),
        ({}, None, None, ""),
    ],
)
def test_names_that_are_not_ecs(fields, severity, pod, service):
    mapping = dict.fromkeys(
        [
            "log.level", "level", "severity", "severity_text", "service.name", "service", "kubernetes.pod.name",
            "kubernetes.pod_name", "kubernetes.labels.app", "kubernetes.container.name", "container.name",
            "resource.attributes.service.name",
        ],
        KEYWORD,
    ) | {"@timestamp": DATE, "message": TEXT}  # fmt: skip
    row = read(FakeElastic([document(**fields)], mapping)).frame.iloc[0]
    assert [None if v != v else v for v in row[["severity_text", "k8s_pod_name", "service_name"]]] == [  # noqa: PLR0124
        severity,
        pod,
        service,
    ]


@pytest.mark.parametrize(
    ("document_", "body"),
    [
        ({"log": "from docker"}, "from docker"),
        ({"body": {"text": "from a collector"}}, "from a collector"),
        ({"msg": "from a library"}, "from a library"),
        ({"message": ["first", "second"]}, "first"),
        ({"message": 404}, "404"),
        ({"log": {"level": "info"}}, ""),
    ],
)
def test_the_message_stands_under_other_names(document_, body):
    mapping = {"@timestamp": DATE, "message": TEXT, "log": TEXT, "body.text": TEXT, "msg": TEXT}
    assert bodies(read(FakeElastic([{"@timestamp": rfc3339(T0), **document_}], mapping))) == [body]


@pytest.mark.parametrize(
    ("message", "trace", "span"),
    [
        (f"TraceID: {TRACE} done", TRACE, None),
        (f'{{"traceId":"{TRACE}","spanId":"b7ad6b7169203331"}}', TRACE, "b7ad6b7169203331"),
        ("[trace_id=8448EB211C80319C]", f"{'0' * 16}8448eb211c80319c", None),
        ("trace-id 0af76519-16cd-43dd-8448-eb211c80319c", TRACE, None),
        (f"traceparent 00-{TRACE}-b7ad6b7169203331-01", TRACE, "b7ad6b7169203331"),
        (f"{TRACE} is a digest", None, None),
        (f"trace id {TRACE}ff", None, None),
    ],
)  # fmt: skip
def test_trace_ids_are_found_in_messages_that_name_them(message, trace, span):
    row = read(FakeElastic([document(message=message)])).frame.iloc[0]
    assert [None if v != v else v for v in row[["trace_id", "span_id"]]] == [trace, span]  # noqa: PLR0124


def test_the_service_map_comes_first_and_rows_bear_our_name():
    naming = Naming((("payment", "kubernetes.labels.app", "pay"),), {"cart-svc": "cart"})
    fake = FakeElastic(
        [
            document(1, "a", service={"name": "x"}, kubernetes={"labels": {"app": "pay"}}),
            document(2, "b", service={"name": "cart-svc"}),
            document(3, "c", service={"name": "payment"}),
            document(4, "d", service={"name": "cart"}),
        ]
    )
    assert read(fake, naming=naming).frame["service_name"].tolist() == ["payment", "cart", "payment", "cart"]
    assert bodies(read(fake, naming=naming, services=["cart"])) == ["b", "d"]
    assert bodies(read(fake, naming=naming, services=["x", "cart-svc"])) == []
    assert bodies(read(fake, naming=naming, services=["payment"])) == ["a", "c"]


def test_logs_by_service_pod_severity_text_and_trace():
    fake = FakeElastic(
        [
            document(1, "card declined", service={"name": "a"}, log={"level": "error"}, kubernetes={"pod": {"name": "a-1"}}),
            document(2, "card accepted", service={"name": "a"}, log={"level": "info"}, kubernetes={"pod": {"name": "a-2"}}),
            document(3, f"trace_id={TRACE} lost", service={"name": "b"}),
            document(4, "kept", service={"name": "b"}, trace={"id": TRACE}),
        ]
    )  # fmt: skip
    assert bodies(read(fake, services=["a"], severities=["ERROR"])) == ["card declined"]
    assert bodies(read(fake, severities=[""])) == [f"trace_id={TRACE} lost", "kept"]
    assert bodies(read(fake, pods=["a-2"])) == ["card accepted"]
    assert bodies(read(fake, text="Card")) == ["card declined", "card accepted"]
    assert bodies(read(fake, text="card declined")) == ["card declined"]
    assert bodies(read(fake, trace_id=TRACE)) == [f"trace_id={TRACE} lost", "kept"]
    assert bodies(read(fake, services=[])) == []


def test_a_window_is_half_open_to_the_nanosecond():
    stamps = [0, 5 * MS, 5 * MS + 1, 5 * MS + 123_456, 6 * MS]
    for kind in (DATE, "date_nanos"):
        fake = FakeElastic(
            [{"@timestamp": rfc3339(T0 + ns), "message": str(ns)} for ns in stamps],
            ECS | {"@timestamp": kind},
        )
        window = Window(T0 + 5 * MS + 1, T0 + 5 * MS + 123_457)
        assert bodies(read(fake, window=window)) == [str(ns) for ns in stamps[2:4]]
        assert read(fake).frame["time_unix_nano"].tolist() == [T0 + ns for ns in stamps]


def test_milliseconds_since_1970_are_a_time_too():
    assert read(FakeElastic([{"@timestamp": T0 // MS + 7}])).frame["time_unix_nano"].tolist() == [T0 + 7 * MS]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("opensearch", [None, "2.19.1", "3.8.0"])
@pytest.mark.parametrize("rotate", [False, True])
def test_pages_bring_every_record_once_in_order(opensearch, rotate, monkeypatch):
    monkeypatch.setattr(reading, "_READERS", 1)
    fake = FakeElastic(
        [document(i % 7 if i < 50 else 20, f"m{i:03}") for i in range(95)],
        opensearch=opensearch,
        page_limit=10,
    )
    fake.rotate = rotate
    found = read(fake)
    assert sorted(bodies(found)) == [f"m{i:03}" for i in range(95)]
    assert found.frame["time_unix_nano"].is_monotonic_increasing
    assert not found.note.truncated
    assert fake.pits == {}
    tie = {search["sort"][1].popitem()[0] for search in fake.searches if "sort" in search}
    assert tie == {"_id" if opensearch == "2.19.1" else "_shard_doc"}


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("at", range(8))
def test_a_point_in_time_that_expires_loses_and_doubles_nothing(at, monkeypatch):
    monkeypatch.setattr(reading, "_READERS", 1)
    fake = FakeElastic([document(i // 4 if i < 60 else 20, f"m{i:03}") for i in range(95)])
    fake.moods = [None] * at + [fake.expire]
    found = read(fake)
    assert sorted(bodies(found)) == [f"m{i:03}" for i in range(95)]
    assert fake.pits == {}


@pytest.mark.usefixtures("small_pages")
def test_the_oldest_records_up_to_the_limit():
    fake = FakeElastic([document(i / 10, f"m{i:03}") for i in range(95)][::-1])
    found = read(fake, limit=25)
    assert bodies(found) == [f"m{i:03}" for i in range(25)]
    assert found.note.truncated
    assert found.note.warnings == ("more than 25 rows of logs match; the first 25 were read",)
    assert not read(fake, limit=95).note.truncated


def test_the_order_of_documents_does_not_show():
    made = [document(i // 5, f"m{i % 3}", service={"name": f"s{i % 2}"}) for i in range(20)]
    assert read(FakeElastic(made)).frame.equals(read(FakeElastic(made[::-1])).frame)


def test_partial_answers_are_said():
    def partial(told):
        told["timed_out"] = True
        reason = {"type": "es_rejected_execution_exception", "reason": "queue full"}
        told["_shards"] = {"total": 5, "failed": 2, "failures": [{"reason": reason}]}

    fake = FakeElastic([document()])
    fake.found_moods = [partial]
    note = read(fake).note
    assert note.truncated
    assert note.warnings == (
        "the server ran out of time and answered in part",
        "2 of 5 shards did not answer: es_rejected_execution_exception: queue full",
    )


def test_a_shard_whose_context_is_gone_is_no_partial_answer():
    fake = FakeElastic([document()])
    reason = {"type": "search_context_missing_exception", "reason": "No search context found"}
    lost = {"_shards": {"total": 2, "failed": 1, "failures": [{"reason": reason}]}, "hits": {"hits": []}}
    fake.moods = [None, lambda _: httpx2.Response(200, json=lost)]
    found = read(fake)
    assert len(found.frame) == 1
    assert found.note.warnings == ()


def test_a_server_that_forgets_at_once_is_given_up():
    fake = FakeElastic([document()])
    fake.moods = [fake.expire] * 9
    with pytest.raises(SourceError, match="drops every point in time"):
        read(fake)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            httpx2.Response(200, content=b"<html>log in</html>", headers={"Content-Type": "text/html"}),
            "web page",
        ),
        (httpx2.Response(200, content=b'{"hits": {"hits": [{"_so'), "not its protocol"),
        (httpx2.Response(400, json={"error": {"reason": "No mapping found for [x]"}}), "No mapping found"),
        (httpx2.Response(429, content=b"circuit breaker"), "circuit breaker"),
        (httpx2.Response(200, json={"hits": {"hits": "none"}}), "not its protocol"),
        (httpx2.Response(200, json={"hits": {"hits": [{"_source": {}}]}}), "without their time"),
    ],
)
def test_what_is_no_answer_is_a_source_error_and_the_point_in_time_is_given_back(answer, said):
    fake = FakeElastic([document()])
    fake.moods = [None, *[lambda _: answer] * 9]
    with pytest.raises(SourceError, match=said):
        read(fake)
    assert fake.pits == {}


def test_a_point_in_time_of_some_shards_is_said():
    fake = FakeElastic([document()], opensearch="3.8.0")
    fake.missing_shards = 1
    note = read(fake).note
    assert (note.truncated, note.warnings) == (True, ("1 of 3 shards did not answer",))


def test_an_index_that_appears_later_is_found():
    fake = FakeElastic([document()], {})
    logs = logs_of(fake)
    assert logs.logs(WINDOW).frame.empty
    fake.mapping = ECS
    assert bodies(logs.logs(WINDOW)) == ["paid"]


def test_no_index_is_said_and_no_error():
    found = read(FakeElastic(mapping={}))
    assert found.frame.empty
    assert found.note.warnings == ("no index matches filebeat-*",)
    timeless = read(FakeElastic(mapping={"message": TEXT}))
    assert timeless.note.warnings == ("no index of filebeat-* has times in @timestamp",)


def test_indices_that_disagree_on_a_type_are_said_and_asked_by_phrase():
    fake = FakeElastic([document(service={"name": "a"})], ECS | {"service.name": (KEYWORD, TEXT)})
    found = read(fake, services=["a"])
    assert bodies(found) == ["paid"]
    assert found.note.warnings == ("the indices disagree on the type of service.name (keyword, text)",)
    mixed = read(FakeElastic([document()], ECS | {"@timestamp": (DATE, "date_nanos")}))
    assert mixed.frame["time_unix_nano"].tolist() == [T0]


def test_connect_reads_index_and_service_map():
    settings = SourceSettings("elasticsearch", "http://es.example", {"index": "logs-app"})
    services = environment(
        payment={"logs": {"field": "app", "value": "pay"}}, cart={"logs": "cart-svc"}, risk={}
    )
    source = elasticsearch.connect(settings, services, "logs", None)
    assert source.server.index == "logs-app"
    assert source.naming == Naming((("payment", "app", "pay"),), {"cart-svc": "cart"})
    for options in ({"index": "a/b"}, {"index": 3}, {"indx": "a"}):
        with pytest.raises(UsageError):
            elasticsearch.connect(
                SourceSettings("elasticsearch", "http://x", options), services, "logs", None
            )
    with pytest.raises(UsageError, match="payment"):
        elasticsearch.connect(settings, environment(payment={"logs": {"field": "app"}}), "logs", None)
