"""OTLP messages as rows of the capture (columns of `opslib.core.columns`, in that order).

A record that cannot be a row (no valid id, no service, a time that does not fit, an end before its start) is counted
as rejected, the others are kept.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from opslib.core.columns import SPAN_KINDS

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = ("UNSET", "OK", "ERROR")
_MAX_NS = (1 << 63) - 1
_UNKNOWN = "unknown_service"  # what the conventions call a resource without a name

Row = tuple[Any, ...]
Rows = tuple[list[Row], int]  # the rows, and how many records were rejected

assert set(_KINDS) == set(SPAN_KINDS)  # the two vocabularies are one


def span_rows(request: Any) -> Rows:
    """Return rows of `spans`."""
    return _collect(
        _span_row(span, resource)
        for group in request.resource_spans
        for resource in (resource_of(group),)
        for scope in group.scope_spans
        for span in scope.spans
    )


def log_rows(request: Any) -> Rows:
    """Return rows of `logs`."""
    return _collect(
        _log_row(record, resource)
        for group in request.resource_logs
        for resource in (resource_of(group),)
        for scope in group.scope_logs
        for record in scope.log_records
    )


def _collect(rows: Iterable[Row | None]) -> Rows:
    kept: list[Row] = []
    rejected = 0
    for row in rows:
        if row is None:
            rejected += 1
        else:
            kept.append(row)
    return kept, rejected


def resource_of(group: Any) -> dict[str, Any]:
    """Return a resource's attributes as plain values."""
    return dict(plain_attributes(group.resource.attributes))


def service_of(resource: dict[str, Any]) -> str:
    return str(resource.get("service.name") or _UNKNOWN)


def _span_row(span: Any, resource: dict[str, Any]) -> Row | None:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    ids = len(span.trace_id) == 16 and len(span.span_id) == 8 and len(span.parent_span_id) in (0, 8)
    if not (ids and any(span.trace_id) and any(span.span_id) and 0 < start <= end <= _MAX_NS):
        return None
    return (
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex() if any(span.parent_span_id) else None,
        span.name,
        _word(_KINDS, span.kind),
        start,
        end,
        _word(_STATUS, span.status.code),
        service_of(resource),
        _text(resource, "service.version"),
        _text(resource, "k8s.pod.name"),
        _text(resource, "k8s.namespace.name"),
        attributes_json(span.attributes),
        _links_json(span.links),
    )


def _log_row(record: Any, resource: dict[str, Any]) -> Row | None:
    time_ns = record.time_unix_nano or record.observed_time_unix_nano
    if not 0 < time_ns <= _MAX_NS:
        return None
    body = plain(record.body)
    return (
        time_ns,
        record.severity_text or _severity(record.severity_number),
        body if isinstance(body, str) else _json(body),
        service_of(resource),
        _text(resource, "k8s.pod.name"),
        record.trace_id.hex() if len(record.trace_id) == 16 and any(record.trace_id) else None,
        record.span_id.hex() if len(record.span_id) == 8 and any(record.span_id) else None,
        attributes_json(record.attributes),
    )


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else words[0]


def _severity(number: int) -> str:
    names = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    return names[(number - 1) // 4] if 1 <= number <= 24 else "UNSPECIFIED"


def _text(resource: dict[str, Any], key: str) -> str | None:
    value = resource.get(key)
    return None if value is None else str(value)


def plain_attributes(attributes: Any) -> Iterator[tuple[str, Any]]:
    """Yield the key and plain value of OTLP key-value pairs."""
    for pair in attributes:
        yield pair.key, plain(pair.value)


def plain(value: Any) -> Any:
    """Return an OTLP AnyValue as a value that JSON can hold; bytes become base64."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return dict(plain_attributes(value.kvlist_value.values))
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind)


def attributes_json(attributes: Any) -> str | None:
    """Return attributes as JSON text, None where there are none."""
    values = dict(plain_attributes(attributes))
    return _json(values) if values else None


def _links_json(links: Any) -> str | None:
    found = [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in links]
    return _json(found) if found else None


def _json(value: Any) -> str:
    # Infinity and NaN are no JSON: as text they harm nobody.
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
