"""One small trace in every spelling that exists, and what an importer must make of it."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import duckdb

from opslib.telemetry.importers import import_paths

T0 = 1_700_000_000_000_000_000
TRACE = "0123456789abcdef0123456789abcdef"
CLIENT, SERVER = "1111111111111111", "00000000000000ab"

ROWS = [
    (
        TRACE,
        CLIENT,
        None,
        "GET /pay",
        "CLIENT",
        T0,
        T0 + 5_000_000,
        "ERROR",
        "checkout",
        "v1",
        "checkout-1",
        "shop",
    ),
    (
        TRACE,
        SERVER,
        CLIENT,
        "POST /pay",
        "SERVER",
        T0 + 1_000_000,
        T0 + 4_000_000,
        "UNSET",
        "payment",
        "v2",
        None,
        None,
    ),
]
ATTRIBUTES = [{"peer.service": "payment", "http.status_code": 503}, {"ok": True}]


def run(tmp_path: Path, *paths: Path, name: str = "out", workers: int = 1) -> Path:
    return import_paths(list(paths), tmp_path / name, progress=lambda _: None, workers=workers)


def write(tmp_path: Path, content: bytes | str | object, name: str = "in.json") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
    return path


def rows(out: Path, signal: str = "spans", columns: str = "*", order: str = "ALL") -> list[tuple]:
    return duckdb.sql(
        f"SELECT {columns} FROM read_parquet('{out}/{signal}*.parquet') ORDER BY {order}"
    ).fetchall()


CORE = (
    "trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano, end_time_unix_nano, status_code, "
    "service_name, service_version, k8s_pod_name, k8s_namespace_name"
)


def core_rows(out: Path) -> list[tuple]:
    return rows(out, columns=CORE, order="start_time_unix_nano")


def meta(out: Path) -> dict:
    return json.loads((out / "capture.json").read_text())


def warnings(out: Path) -> str:
    return "\n".join(text for source in meta(out)["sources"] for text in source["warnings"])


def jaeger_trace() -> dict:
    return {
        "traceID": TRACE,
        "spans": [
            {
                "traceID": TRACE,
                "spanID": CLIENT,
                "operationName": "GET /pay",
                "references": [],
                "startTime": T0 // 1000,
                "duration": 5_000,
                "processID": "p1",
                "tags": [
                    {"key": "span.kind", "type": "string", "value": "client"},
                    {"key": "error", "type": "bool", "value": True},
                    {"key": "peer.service", "type": "string", "value": "payment"},
                    {"key": "http.status_code", "type": "int64", "value": 503},
                ],
                "logs": [{"timestamp": T0 // 1000, "fields": [{"key": "event", "value": "x"}]}],
                "warnings": None,
            },
            {
                "traceID": TRACE,
                "spanID": SERVER,
                "operationName": "POST /pay",
                "references": [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": CLIENT}],
                "startTime": T0 // 1000 + 1_000,
                "duration": 3_000,
                "processID": "p2",
                "tags": [
                    {"key": "span.kind", "type": "string", "value": "server"},
                    {"key": "ok", "type": "bool", "value": True},
                ],
                "logs": [],
            },
        ],
        "processes": {
            "p1": {
                "serviceName": "checkout",
                "tags": [
                    {"key": "service.version", "type": "string", "value": "v1"},
                    {"key": "k8s.pod.name", "type": "string", "value": "checkout-1"},
                    {"key": "k8s.namespace.name", "type": "string", "value": "shop"},
                ],
            },
            "p2": {
                "serviceName": "payment",
                "tags": [{"key": "service.version", "type": "string", "value": "v2"}],
            },
        },
    }


def jaeger(*traces: dict) -> dict:
    return {"data": list(traces or (jaeger_trace(),)), "total": 0, "limit": 0, "offset": 0, "errors": None}


def _attribute(key: str, value: object) -> dict:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    return {
        "key": key,
        "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
    }


def _attributes(values: dict) -> list[dict]:
    return [_attribute(key, value) for key, value in values.items()]


def otlp(*, base64_ids: bool = False, enum_names: bool = False, numbers: bool = False) -> dict:
    def spelled(hex_id: str) -> str:
        return base64.b64encode(bytes.fromhex(hex_id)).decode() if base64_ids else hex_id

    def time(ns: int) -> object:
        return ns if numbers else str(ns)

    first = {
        "traceId": spelled(TRACE),
        "spanId": spelled(CLIENT),
        "name": "GET /pay",
        "kind": "SPAN_KIND_CLIENT" if enum_names else 3,
        "startTimeUnixNano": time(T0),
        "endTimeUnixNano": time(T0 + 5_000_000),
        "attributes": _attributes(ATTRIBUTES[0]),
        "status": {"code": "STATUS_CODE_ERROR" if enum_names else 2, "message": "no"},
    }
    second = {
        "traceId": spelled(TRACE),
        "spanId": spelled(SERVER),
        "parentSpanId": spelled(CLIENT),
        "name": "POST /pay",
        "kind": "SPAN_KIND_SERVER" if enum_names else 2,
        "startTimeUnixNano": time(T0 + 1_000_000),
        "endTimeUnixNano": time(T0 + 4_000_000),
        "attributes": _attributes(ATTRIBUTES[1]),
        "unknownField": {"x": [1, 2]},
    }
    pod = {
        "service.name": "checkout",
        "service.version": "v1",
        "k8s.pod.name": "checkout-1",
        "k8s.namespace.name": "shop",
    }
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(pod)},
                "scopeSpans": [{"scope": {"name": "x"}, "spans": [first]}],
            },
            {
                "resource": {"attributes": _attributes({"service.name": "payment", "service.version": "v2"})},
                "scopeSpans": [{"spans": [second]}],
            },
        ]
    }


def otlp_proto() -> bytes:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    return ParseDict(otlp(base64_ids=True), TracesData(), ignore_unknown_fields=True).SerializeToString()


LOGS = {
    "resourceLogs": [
        {
            "resource": {"attributes": _attributes({"service.name": "payment", "k8s.pod.name": "payment-1"})},
            "scopeLogs": [
                {
                    "logRecords": [
                        {
                            "timeUnixNano": str(T0),
                            "severityNumber": 17,
                            "body": {"stringValue": "risk timed out"},
                            "traceId": TRACE,
                            "spanId": SERVER,
                            "attributes": _attributes({"attempt": 2}),
                        },
                        {
                            "observedTimeUnixNano": str(T0 + 1),
                            "severityText": "WARN",
                            "body": {"intValue": "7"},
                        },
                        {"body": {"stringValue": "without a time"}},
                    ]
                }
            ],
        }
    ]
}
METRICS = {
    "resourceMetrics": [
        {
            "resource": {"attributes": _attributes({"service.name": "payment"})},
            "scopeMetrics": [
                {
                    "metrics": [
                        {
                            "name": "queue.size",
                            "unit": "1",
                            "gauge": {"dataPoints": [{"timeUnixNano": str(T0), "asInt": "3"}]},
                        },
                        {
                            "name": "requests",
                            "sum": {
                                "aggregationTemporality": 2,
                                "isMonotonic": True,
                                "dataPoints": [
                                    {
                                        "timeUnixNano": str(T0),
                                        "asDouble": 9.5,
                                        "attributes": _attributes({"code": 200}),
                                    }
                                ],
                            },
                        },
                        {
                            "name": "duration",
                            "unit": "s",
                            "histogram": {
                                "aggregationTemporality": 2,
                                "dataPoints": [
                                    {
                                        "timeUnixNano": str(T0),
                                        "count": "3",
                                        "sum": 1.5,
                                        "bucketCounts": ["1", "2"],
                                        "explicitBounds": [0.5],
                                    }
                                ],
                            },
                        },
                        {
                            "name": "delta",
                            "sum": {
                                "aggregationTemporality": 1,
                                "dataPoints": [{"timeUnixNano": str(T0), "asInt": "1"}],
                            },
                        },
                    ]
                }
            ],
        }
    ]
}


def fixed_frames(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


def varint_frames(*messages: bytes) -> bytes:
    return b"".join(varint(len(message)) + message for message in messages)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
