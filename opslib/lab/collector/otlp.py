"""OTLP/HTTP bodies, protobuf or JSON, as messages. Whatever is sent ends in a message or in BadRequestError.

JSON follows the OTLP mapping: ids in hex, 64-bit numbers as text or number, unknown fields ignored. The base64 ids of
the generic protobuf mapping are understood too; the length tells them apart.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable
from typing import Any, Literal

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Signal = Literal["traces", "logs", "metrics"]
Encoding = Literal["protobuf", "json"]

MAX_BODY = 8 << 20  # bytes, before and after decompression

_REQUESTS: dict[Signal, Callable[[], Message]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8, "trace_id": 16, "span_id": 8, "parent_span_id": 8}


class BadRequestError(Exception):
    """The sender is at fault; `status` is the HTTP answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def encoding_of(content_type: str) -> Encoding:
    """Return the encoding that a Content-Type names. Raises BadRequestError 415."""
    word = content_type.partition(";")[0].strip().lower()
    if word not in _ENCODINGS:
        raise BadRequestError(415, f"content type must be one of {', '.join(_ENCODINGS)}")
    return _ENCODINGS[word]


def unpack(body: bytes, content_encoding: str) -> bytes:
    """Return the body without its compression. Raises BadRequestError 413 beyond MAX_BODY, 415 or 400."""
    word = content_encoding.strip().lower()
    if word in ("", "identity"):
        return body
    if word != "gzip":
        raise BadRequestError(415, "content encoding must be gzip or none")
    decoder = zlib.decompressobj(wbits=31)  # 31: gzip header and check sum
    try:
        plain = decoder.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise BadRequestError(400, "body is no gzip") from error
    if len(plain) > MAX_BODY:
        raise BadRequestError(413, f"body is larger than {MAX_BODY} bytes when unpacked")
    if not decoder.eof:
        raise BadRequestError(400, "gzip body is cut off")
    return plain


def parse(signal: Signal, body: bytes, encoding: Encoding) -> Any:
    """Return the export request of a signal. Raises BadRequestError 400 when the body is none."""
    request = _REQUESTS[signal]()
    try:
        if encoding == "protobuf":
            request.ParseFromString(body)
        else:
            ParseDict(_with_base64_ids(json.loads(body)), request, ignore_unknown_fields=True)
    except (DecodeError, ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequestError(400, f"body is no OTLP {signal} request in {encoding}") from error
    return request


def _with_base64_ids(value: Any, depth: int = 0) -> Any:
    """Return JSON with ids as the generic mapping wants them. Raises ValueError for an id of another length."""
    if depth > 100:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [_with_base64_ids(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _base64_id(item, _ID_BYTES[key])
        if key in _ID_BYTES and isinstance(item, str)
        else _with_base64_ids(item, depth + 1)
        for key, item in value.items()
    }


def _base64_id(text: str, size: int) -> str:
    if not text:
        return text
    if len(text) == 2 * size:
        try:
            return base64.b64encode(bytes.fromhex(text)).decode()
        except ValueError as error:
            raise ValueError("an id is no hex") from error
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("an id is neither hex nor base64") from error
    if len(raw) != size:
        raise ValueError("an id has the wrong length")
    return base64.b64encode(raw).decode()
