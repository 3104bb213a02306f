"""OTLP in: both encodings give the same rows, and nothing that is sent does more than a 4xx."""

import base64
import contextlib
import gzip
import json

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from opslib.core.columns import COLUMNS
from opslib.lab.collector import otlp
from opslib.lab.collector.rows import rows_of

START = 1_795_569_004_043_011_103
SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "parentSpanId": "EEE19B7EC3C1B173",
    "name": "POST /pay",
    "kind": 2,
    "startTimeUnixNano": str(START),
    "endTimeUnixNano": START + 5,
    "status": {"code": 2},
    "attributes": [{"key": "http.route", "value": {"stringValue": "/pay"}}],
    "aFieldOfTheFuture": 1,
}
RESOURCE = {
    "attributes": [
        {"key": "service.name", "value": {"stringValue": "payment"}},
        {"key": "service.version", "value": {"stringValue": "1.2"}},
        {"key": "k8s.pod.name", "value": {"stringValue": "payment-0"}},
    ]
}


def traces(*spans: dict, resource: dict = RESOURCE) -> dict:
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


def told(body: dict) -> tuple[list[dict], int]:
    rows, rejected = rows_of("spans", otlp.parse("traces", json.dumps(body).encode(), "json"))
    names = [column.name for column in COLUMNS["spans"]]
    return [dict(zip(names, row, strict=True)) for row in rows], rejected


def test_a_json_span_becomes_a_row() -> None:
    (row,), rejected = told(traces(SPAN))

    assert rejected == 0
    assert row == {
        "trace_id": "5b8efff798038103d269b633813fc60c",
        "span_id": "eee19b7ec3c1b174",
        "parent_span_id": "eee19b7ec3c1b173",
        "name": "POST /pay",
        "kind": "SERVER",
        "start_time_unix_nano": START,
        "end_time_unix_nano": START + 5,
        "status_code": "ERROR",
        "service_name": "payment",
        "service_version": "1.2",
        "k8s_pod_name": "payment-0",
        "k8s_namespace_name": None,
        "attributes": '{"http.route":"/pay"}',
        "links": None,
    }


def test_base64_ids_of_the_generic_mapping_are_understood() -> None:
    encoded = {
        key: base64.b64encode(bytes.fromhex(SPAN[key])).decode()
        for key in ("traceId", "spanId", "parentSpanId")
    }

    assert told(traces(SPAN | encoded)) == told(traces(SPAN))
    assert told(traces(SPAN | {k: v.rstrip("=") for k, v in encoded.items()})) == told(traces(SPAN))


@pytest.mark.parametrize(
    "change",
    [
        {"traceId": ""},
        {"traceId": "0" * 32},
        {"spanId": "0" * 16},
        {"startTimeUnixNano": "0"},
        {"endTimeUnixNano": str(2**63)},
    ],
)
def test_a_span_that_cannot_be_a_row_is_rejected_and_the_others_kept(change: dict) -> None:
    rows, rejected = told(traces(SPAN | change, SPAN))

    assert (len(rows), rejected) == (1, 1)


def test_a_span_that_ends_before_it_starts_has_no_duration() -> None:
    (row,), rejected = told(traces(SPAN | {"endTimeUnixNano": str(START - 1)}))

    assert (row["end_time_unix_nano"], rejected) == (START, 0)


def test_a_span_without_service_kind_or_parent_is_kept() -> None:
    bare = {
        k: v for k, v in SPAN.items() if k not in {"kind", "parentSpanId", "status", "attributes", "name"}
    }
    (row,), _ = told(traces(bare, resource={}))

    assert (row["service_name"], row["kind"], row["parent_span_id"], row["status_code"]) == (
        "unknown_service",
        "UNSPECIFIED",
        None,
        "UNSET",
    )


def test_links_are_kept_in_hex() -> None:
    (row,), _ = told(traces(SPAN | {"links": [{"traceId": "ab" * 16, "spanId": "cd" * 8}]}))

    assert json.loads(row["links"]) == [{"trace_id": "ab" * 16, "span_id": "cd" * 8}]


ids = st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))
values = st.recursive(
    st.one_of(st.text(max_size=5), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary()),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for trace_id, span_id in draw(st.lists(ids, max_size=4)):
        start = draw(st.integers(0, 2**64 - 1))
        span = spans.add(trace_id=trace_id, span_id=span_id, start_time_unix_nano=start)
        span.end_time_unix_nano = min(start + draw(st.integers(0, 10**9)), 2**64 - 1)
        span.name, span.kind = draw(st.text(max_size=8)), draw(st.integers(0, 5))
        for value in draw(st.lists(values, max_size=2)):
            _fill(span.attributes.add(key="k").value, value)
    return request


def _fill(target, value) -> None:
    if isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            _fill(target.array_value.values.add(), item)
    else:
        kind = {str: "string", bool: "bool", int: "int", float: "double", bytes: "bytes"}[type(value)]
        setattr(target, f"{kind}_value", value)


@settings(deadline=None)
@given(requests())
def test_both_encodings_give_the_same_rows(request: ExportTraceServiceRequest) -> None:
    wire = otlp.parse("traces", request.SerializeToString(), "protobuf")
    as_json = MessageToDict(request)
    for group in as_json.get("resourceSpans", []):
        for span in group["scopeSpans"][0].get("spans", []):
            for key in ("traceId", "spanId"):
                span[key] = base64.b64decode(span[key]).hex()

    assert rows_of("spans", otlp.parse("traces", json.dumps(as_json).encode(), "json")) == rows_of(
        "spans", wire
    )


@settings(deadline=None)
@given(requests())
def test_attributes_are_always_json(request: ExportTraceServiceRequest) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    for row in rows_of("spans", request)[0]:
        text = row[[column.name for column in COLUMNS["spans"]].index("attributes")]
        assert text is None or json.loads(text, parse_constant=refuse)


def test_numbers_that_json_has_not_are_null() -> None:
    request = otlp.parse("traces", json.dumps(traces(SPAN)).encode(), "json")
    attributes = request.resource_spans[0].scope_spans[0].spans[0].attributes
    attributes.add(key="nan").value.double_value = float("nan")
    inner = attributes.add(key="nested").value.kvlist_value.values.add(key="list").value.array_value
    inner.values.add().double_value = float("-inf")
    inner.values.add().double_value = 1.5
    attributes.add(key="none")

    ((*_, text, _),), _ = rows_of("spans", request)
    assert json.loads(text) == {
        "http.route": "/pay",
        "nan": None,
        "nested": {"list": [None, 1.5]},
        "none": None,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "kind", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()),
    st.sampled_from(["traces", "logs", "metrics"]),
    st.sampled_from(["protobuf", "json"]),
)
def test_garbage_is_a_bad_request_or_a_message(
    body: bytes, signal: otlp.Signal, encoding: otlp.Encoding
) -> None:
    with contextlib.suppress(otlp.BadRequestError):
        otlp.parse(signal, body, encoding)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"resourceSpans":1}']
)
def test_deep_or_wrongly_shaped_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(otlp.BadRequestError):
        otlp.parse("traces", body, "json")


@pytest.mark.parametrize("text", ["zz" * 16, "ab" * 15, "!!"])
def test_an_id_of_no_known_form_is_a_bad_request(text: str) -> None:
    with pytest.raises(otlp.BadRequestError):
        otlp.parse("traces", json.dumps(traces(SPAN | {"traceId": text})).encode(), "json")


def test_gzip_is_unpacked() -> None:
    assert otlp.unpack(gzip.compress(b"abc"), "gzip") == b"abc"
    assert otlp.unpack(b"abc", "") == b"abc"


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"abc", "br", 415),
        (b"abc", "gzip", 400),
        (gzip.compress(b"abc" * 1000, mtime=0)[:-9], "gzip", 400),
        (gzip.compress(bytes(otlp.MAX_BODY + 1), mtime=0), "gzip", 413),
    ],
)
def test_what_cannot_be_unpacked_is_refused(body: bytes, encoding: str, status: int) -> None:
    with pytest.raises(otlp.BadRequestError) as caught:
        otlp.unpack(body, encoding)

    assert caught.value.status == status


def test_the_content_type_names_the_encoding() -> None:
    assert otlp.encoding_of("application/JSON; charset=utf-8") == "json"
    assert otlp.encoding_of("application/x-protobuf") == "protobuf"
    with pytest.raises(otlp.BadRequestError):
        otlp.encoding_of("text/plain")


def test_a_log_record_becomes_a_row() -> None:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "risk"
    records = group.scope_logs.add().log_records
    record = records.add(observed_time_unix_nano=START, severity_number=17, trace_id=b"\xab" * 16)
    record.body.kvlist_value.values.add(key="a").value.int_value = 1
    records.add()  # no time at all

    rows, rejected = rows_of("logs", request)

    assert rows == [(START, "ERROR", '{"a":1}', "risk", None, "ab" * 16, None, None)]
    assert rejected == 1
    assert len(rows[0]) == len(COLUMNS["logs"])


def test_a_text_body_and_an_unknown_severity_stay_as_they_are() -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=START)
    record.body.string_value, record.severity_number = "hello", 99

    ((_, severity, body, *_),), _ = rows_of("logs", request)

    assert (severity, body) == ("UNSPECIFIED", "hello")
