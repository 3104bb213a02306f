"""OTLP spans and logs, of JSON or of protobuf: the fields have the same names, ids are texts or bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from opslib.core.columns import MAX_TEXT
from opslib.core.ids import SPAN_BYTES, TRACE_BYTES, hex_id, hex_ids, shared_hex_ids
from opslib.core.units import to_ns_column
from opslib.telemetry.importers.spans import KINDS, STATUSES, add_spans, parent_ids
from opslib.telemetry.importers.tables import Batch, Source, Table, source_of
from opslib.telemetry.importers.values import bounded, json_text, json_texts, plain, plain_dict

BAD_LOG_TIME = "log record whose time is missing, negative or beyond 64 bits (year 2262)"
_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def source(resource: Any) -> Source:
    """Return what a resource, which may be absent, says of its records."""
    return source_of(plain_dict(resource.attributes if resource is not None else ()))


def add_otlp_spans(
    spans: Sequence[Any], of_span: Sequence[Source], table: Table, refused: Counter[str]
) -> None:
    """Add spans, each with what its resource says."""
    start = _set([span.start_time_unix_nano for span in spans])
    end = to_ns_column([span.end_time_unix_nano for span in spans])
    links = [
        [
            {"trace_id": _link_id(k.trace_id, TRACE_BYTES), "span_id": _link_id(k.span_id, SPAN_BYTES)}
            for k in span.links
        ]
        if span.links
        else None
        for span in spans
    ]
    add_spans(
        {
            "trace_id": shared_hex_ids([span.trace_id for span in spans], TRACE_BYTES),
            "span_id": hex_ids([span.span_id for span in spans], SPAN_BYTES),
            "parent_span_id": parent_ids([span.parent_span_id for span in spans], refused),
            "name": bounded([span.name or "" for span in spans], refused),
            "kind": [KINDS.get(span.kind, "UNSPECIFIED") for span in spans],
            "status_code": [
                STATUSES.get(span.status.code, "UNSET") if span.status is not None else "UNSET"
                for span in spans
            ],
            "attributes": json_texts([plain_dict(span.attributes) for span in spans], refused),
            "links": json_texts(links, refused) if any(links) else None,
        },
        of_span,
        (start, end),
        table,
        refused,
    )


def _set(times: Sequence[Any]) -> list[int | None]:
    """Return times; zero is how OTLP writes "not set"."""
    return [time if time and time > 0 else None for time in to_ns_column(times)]


def _link_id(value: Any, size: int) -> str:
    return hex_id(value, size) or ""


def add_otlp_logs(
    records: Sequence[Any], of_record: Sequence[Source], table: Table, refused: Counter[str]
) -> None:
    """Add log records, each with what its resource says; a record without its own time has that of its observer."""
    times = _set([_first_time(record) for record in records])
    good = [time is not None for time in times]
    bodies = [plain(record.body) for record in records]
    if not all(good):
        refused[BAD_LOG_TIME] += good.count(False)
    batch: Batch = {
        "time_unix_nano": times,
        "severity_text": [_severity(record) for record in records],
        "body": bounded([body if isinstance(body, str) else json_text(body) for body in bodies], refused),
        "service_name": [where.service_name for where in of_record],
        "k8s_pod_name": [where.k8s_pod_name for where in of_record],
        "trace_id": [hex_id(record.trace_id, TRACE_BYTES) for record in records],
        "span_id": [hex_id(record.span_id, SPAN_BYTES) for record in records],
        "attributes": json_texts([plain_dict(record.attributes) for record in records], refused),
    }
    table.add(batch, good)


def _first_time(record: Any) -> Any:
    return (
        record.observed_time_unix_nano
        if record.time_unix_nano in (0, "0", "", None)
        else record.time_unix_nano
    )


def _severity(record: Any) -> str:
    if record.severity_text:
        return str(record.severity_text)[:MAX_TEXT]
    number = record.severity_number
    if isinstance(number, str):
        word = number.removeprefix("SEVERITY_NUMBER_").rstrip("234")
        return word if word in _SEVERITIES else "UNSPECIFIED"
    return _SEVERITIES[(number - 1) // 4] if 1 <= number <= 24 else "UNSPECIFIED"
