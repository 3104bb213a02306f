"""Whatever spelling a trace comes in, the capture is the same, and opslib itself reads it."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from opslib.telemetry.capture import open_capture, verify
from opslib.telemetry.importers.files import zstd
from tests.telemetry.importing import (
    ATTRIBUTES,
    CLIENT,
    LOGS,
    METRICS,
    ROWS,
    SERVER,
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

ZSTD = zstd.compress
LINES = (json.dumps(otlp()) + "\n").encode()

SPELLINGS = {
    "jaeger": jaeger,
    "jaeger, one trace": jaeger_trace,
    "jaeger, a list": lambda: [jaeger_trace()],
    "jaeger, indented": lambda: json.dumps(jaeger(), indent=2),
    "jaeger, one a line": lambda: (
        json.dumps(jaeger()) + "\n" + json.dumps(jaeger(jaeger_trace() | {"spans": []})) + "\n"
    ),
    "v3": lambda: {"result": otlp()},
    "v3, indented": lambda: json.dumps({"result": otlp()}, indent=1),
    "otlp lines": lambda: LINES,
    "otlp lines with blank ones": lambda: b"\n" + LINES + b"\n\n" + b'{"resourceSpans":[]}\n',
    "otlp, generic protobuf mapping": lambda: otlp(base64_ids=True, enum_names=True),
    "otlp, numbers as numbers": lambda: otlp(numbers=True),
    "otlp lines, zstd": lambda: ZSTD(LINES),
    "otlp lines, gzip": lambda: gzip.compress(LINES),
    "otlp lines, byte order mark": lambda: b"\xef\xbb\xbf" + LINES,
    "protobuf, one message": otlp_proto,
    "protobuf, fixed lengths": lambda: fixed_frames(otlp_proto(), b""),
    "protobuf, varint lengths": lambda: varint_frames(otlp_proto(), b""),
    "protobuf, zstd frames": lambda: fixed_frames(ZSTD(otlp_proto())),
    "json, zstd frames": lambda: fixed_frames(ZSTD(json.dumps(otlp()).encode())),
    "json, fixed lengths": lambda: fixed_frames(json.dumps(otlp()).encode()),
    "protobuf, zstd": lambda: ZSTD(fixed_frames(otlp_proto())),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_gives_the_same_spans(tmp_path: Path, spelling: str) -> None:
    out = run(tmp_path, write(tmp_path, SPELLINGS[spelling](), name="anything"))

    assert core_rows(out) == ROWS
    kept = [json.loads(text) for (text,) in rows(out, columns="attributes", order="start_time_unix_nano")]
    assert [{k: v for k, v in one.items() if k not in ("span.kind", "error")} for one in kept] == ATTRIBUTES
    assert not warnings(out)
    assert meta(out)["windows"] == {"incident": [T0, T0 + 5_000_001]}


def test_opslib_reads_what_it_imported(tmp_path: Path) -> None:
    out = run(tmp_path, write(tmp_path, jaeger()))

    capture = open_capture(out)
    block = next(iter(capture.spans(capture.meta.windows).blocks))
    assert block.trace_ids == (TRACE,)
    assert sorted(block.parent.tolist()) == [-1, 1]
    assert {check.outcome.value for check in verify(out)} <= {"pass", "no_data"}


def test_logs_and_metrics_of_a_mixed_file(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(part) for part in (otlp(), LOGS, METRICS))
    out = run(tmp_path, write(tmp_path, text))

    assert core_rows(out) == ROWS
    assert rows(
        out,
        "logs",
        "time_unix_nano, severity_text, body, service_name, k8s_pod_name, trace_id, span_id, attributes",
    ) == [
        (T0, "ERROR", "risk timed out", "payment", "payment-1", TRACE, SERVER, '{"attempt":2}'),
        (T0 + 1, "WARN", "7", "payment", "payment-1", None, None, None),
    ]
    assert rows(out, "metrics", "name, value, unit, service_name, labels", "name, value") == [
        ("duration_bucket", 1.0, "s", "payment", '{"le":"0.5"}'),
        ("duration_bucket", 3.0, "s", "payment", '{"le":"+Inf"}'),
        ("duration_count", 3.0, "s", "payment", None),
        ("duration_sum", 1.5, "s", "payment", None),
        ("queue.size", 3.0, "1", "payment", None),
        ("requests_total", 9.5, None, "payment", '{"code":"200"}'),
    ]
    assert "1 x log record whose time is missing" in warnings(out)
    assert "1 x metric point of delta temporality" in warnings(out)
    assert [source["signal"] for source in meta(out)["sources"]] == ["log", "metric", "trace"]


@pytest.mark.parametrize(("kind", "text"), [("logs", LOGS), ("metrics", METRICS)])
def test_protobuf_signals_are_told_apart(tmp_path: Path, kind: str, text: dict) -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
    from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

    # The generic mapping takes ids as base64; "3333" in hex is what these logs must come out with.
    plain = json.loads(
        json.dumps(text).replace(TRACE, "ASNFZ4mrze8BI0VniavN7w==").replace(SERVER, "AAAAAAAAAKs=")
    )
    message = ParseDict(plain, LogsData() if kind == "logs" else MetricsData()).SerializeToString()
    out = run(tmp_path, write(tmp_path, message))
    json_out = run(tmp_path, write(tmp_path, text, "in.jsonl"), name="json")

    assert rows(out, kind) == rows(json_out, kind)
    assert "spans" not in meta(out)["sources"]


def test_values_of_every_type_become_json(tmp_path: Path) -> None:
    values = {
        "text": {"stringValue": "é"},
        "big": {"intValue": "9223372036854775807"},
        "bad": {"intValue": "x"},
        "half": {"doubleValue": 0.5},
        "nan": {"doubleValue": "NaN"},
        "list": {"arrayValue": {"values": [{"intValue": 1}, {}]}},
        "map": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": False}}]}},
        "bytes": {"bytesValue": "AAE="},
        "none": {},
    }
    text = otlp()
    span = text["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["attributes"] = [{"key": key, "value": value} for key, value in values.items()]
    span["links"] = [{"traceId": TRACE.upper(), "spanId": "zz"}]
    out = run(tmp_path, write(tmp_path, text))

    attributes, links = rows(out, columns="attributes, links", order="start_time_unix_nano")[0]
    assert json.loads(attributes) == {
        "text": "é",
        "big": 9223372036854775807,
        "bad": "x",
        "half": 0.5,
        "nan": "NaN",
        "list": [1, None],
        "map": {"k": False},
        "bytes": "AAE=",
        "none": None,
    }
    assert json.loads(links) == [{"trace_id": TRACE, "span_id": ""}]


@pytest.mark.parametrize(
    ("record", "severity"),
    [
        ({"severityNumber": 1}, "TRACE"),
        ({"severityNumber": "SEVERITY_NUMBER_WARN3"}, "WARN"),
        ({"severityNumber": "what"}, "UNSPECIFIED"),
        ({"severityNumber": 99}, "UNSPECIFIED"),
        ({"severityText": "Notice", "severityNumber": 9}, "Notice"),
    ],
)
def test_severities(tmp_path: Path, record: dict, severity: str) -> None:
    record = record | {"timeUnixNano": str(T0), "body": {"kvlistValue": {"values": []}}}
    out = run(tmp_path, write(tmp_path, {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}))

    assert rows(out, "logs", "severity_text, body, service_name") == [(severity, "{}", "unknown_service")]


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ({"asInt": "1"}, "gauge"),  # no time
        ({"timeUnixNano": "-1", "asInt": "1"}, "gauge"),
        ({"timeUnixNano": "5"}, "gauge"),  # no value
        ({"timeUnixNano": "5", "asDouble": "NaN"}, "gauge"),
        ({"timeUnixNano": "5", "count": "2", "bucketCounts": ["1"], "explicitBounds": [1, 2]}, "histogram"),
        ({"timeUnixNano": "5", "count": "x"}, "histogram"),
    ],
)
def test_a_point_that_cannot_be_is_counted(tmp_path: Path, point: dict, kind: str) -> None:
    metric = {
        "name": "m",
        kind: {"aggregationTemporality": 2, "dataPoints": [point, {"timeUnixNano": "5", "flags": 1}]},
    }
    text = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric, {"name": "nothing"}]}]}]}
    out = run(tmp_path, write(tmp_path, otlp()), write(tmp_path, text, "metrics.json"))

    assert "1 x metric point without a usable time or value" in warnings(out)
    assert "metrics" not in [source["signal"] for source in meta(out)["sources"]]


def test_jaeger_statuses_and_kinds(tmp_path: Path) -> None:
    trace = jaeger_trace()
    tags = [
        {"otel.status_code": "OK"},
        {"error": "true", "span.kind": "producer"},
        {"span.kind": ["x"]},
        {"otel.status_code": 7},
    ]
    trace["spans"] = [
        trace["spans"][0] | {"spanID": f"{i + 1:x}", "tags": [{"key": k, "value": v} for k, v in one.items()]}
        for i, one in enumerate(tags)
    ]
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert rows(out, columns="status_code, kind", order="span_id") == [
        ("OK", "UNSPECIFIED"),
        ("ERROR", "PRODUCER"),
        ("UNSET", "UNSPECIFIED"),
        ("UNSET", "UNSPECIFIED"),
    ]


def test_window_without_spans_is_that_of_the_rest(tmp_path: Path) -> None:
    out = run(tmp_path, write(tmp_path, LOGS))

    assert meta(out)["windows"]["incident"] == [T0, T0 + 2]


def test_window_starts_at_the_first_root_and_ends_after_the_last_span(tmp_path: Path) -> None:
    text = otlp()
    orphan = dict(otlp()["resourceSpans"][1]["scopeSpans"][0]["spans"][0])
    orphan |= {
        "spanId": "00000000000000aa",
        "startTimeUnixNano": str(T0 - 10),
        "endTimeUnixNano": str(T0 + 9_000_000),
    }
    text["resourceSpans"][1]["scopeSpans"][0]["spans"] += [orphan]
    out = run(tmp_path, write(tmp_path, text))

    assert meta(out)["windows"]["incident"] == [T0, T0 + 9_000_001]


def test_references_beyond_the_parent_are_links(tmp_path: Path) -> None:
    trace = jaeger_trace()
    trace["spans"][1]["references"] = [
        {"refType": "FOLLOWS_FROM", "traceID": "ab", "spanID": "cd"},
        {"refType": "CHILD_OF", "traceID": "ffff", "spanID": "1"},
        {"refType": "CHILD_OF", "traceID": TRACE, "spanID": CLIENT},
    ]
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert core_rows(out) == ROWS
    assert json.loads(rows(out, columns="links", order="start_time_unix_nano")[1][0]) == [
        {"trace_id": "ab".zfill(32), "span_id": "cd".zfill(16)},
        {"trace_id": "ffff".zfill(32), "span_id": "1".zfill(16)},
    ]


def test_a_span_may_carry_its_own_process_and_its_parent_as_a_field(tmp_path: Path) -> None:
    trace = jaeger_trace()
    process = trace["processes"].pop("p2")
    trace["spans"][1] |= {"process": process, "references": None, "parentSpanID": CLIENT, "processID": None}
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert core_rows(out) == ROWS


def test_secrets_are_masked_on_the_way_in(tmp_path: Path) -> None:
    trace = jaeger_trace()
    trace["spans"][0]["tags"] += [
        {"key": "http.url", "value": "https://u:hunter2hunter2@shop/"},
        {"key": "db.password", "value": "opensesame"},
    ]
    trace["spans"][1]["operationName"] = "GET /?token=abcdefghijkl"
    out = run(tmp_path, write(tmp_path, jaeger(trace)))

    assert not {"hunter2hunter2", "opensesame", "abcdefghijkl"} & {
        word for word in ("hunter2hunter2", "opensesame", "abcdefghijkl") if word in str(rows(out))
    }
    assert "[redacted]" in str(rows(out))


def test_protobuf_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opslib.telemetry.importers import binary

    good, protobuf = write(tmp_path, jaeger(), "good.json"), write(tmp_path, otlp_proto(), "t.pb")
    binary._kinds.cache_clear()
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.trace.v1.trace_pb2", None)
    out = run(tmp_path, good, protobuf)
    binary._kinds.cache_clear()

    assert core_rows(out) == ROWS
    assert "pip install 'opslib-notebooks[otlp]'" in warnings(out)
