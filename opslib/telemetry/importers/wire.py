"""The JSON that Jaeger and OpenTelemetry write, as types that a decoder fills without a dict per span.

Field names are those of the protobuf messages, so one reader serves both encodings. Every field is optional and times
and ids are taken as they come: what a value means is decided by the normalisers, row by row. Unknown fields are
skipped. `Raw` variants of the containers hold their members undecoded, so that one bad member costs only itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Raw, Struct, field

ABSENT = Raw()  # a union of Raw and None would decode nothing; absent is the empty text

Number: TypeAlias = int | float | str | None


class Tag(Struct, gc=False):
    key: str = ""
    value: Any = None


class Reference(Struct, gc=False):
    kind: str = field(default="", name="refType")
    trace_id: str = field(default="", name="traceID")
    span_id: str = field(default="", name="spanID")


class JaegerProcess(Struct, gc=False):
    service_name: str | None = field(default=None, name="serviceName")
    tags: list[Tag] | None = None


class JaegerSpan(Struct, gc=False):
    trace_id: str | None = field(default=None, name="traceID")
    span_id: str | None = field(default=None, name="spanID")
    parent_span_id: str | None = field(default=None, name="parentSpanID")
    name: str | None = field(default=None, name="operationName")
    references: list[Reference] | None = None
    start: Number = field(default=None, name="startTime")
    duration: Number = None
    process_id: str | None = field(default=None, name="processID")
    process: JaegerProcess | None = None
    tags: Raw = ABSENT


class JaegerTrace(Struct, gc=False):
    spans: list[JaegerSpan] | None = None
    processes: Raw = ABSENT


class ArrayValue(Struct, gc=False):
    values: list[AnyValue] | None = None


class KeyValueList(Struct, gc=False):
    values: list[KeyValue] | None = None


class AnyValue(Struct, gc=False, rename="camel"):
    string_value: str | None = None
    int_value: int | str | None = None
    bool_value: bool | None = None
    double_value: Number = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None


class KeyValue(Struct, gc=False):
    key: str = ""
    value: AnyValue | None = None


class Resource(Struct, gc=False):
    attributes: list[KeyValue] | None = None


class Status(Struct, gc=False):
    code: int | str = 0


class Link(Struct, gc=False, rename="camel"):
    trace_id: str = ""
    span_id: str = ""


class Span(Struct, gc=False, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | str = 0
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    attributes: list[KeyValue] | None = None
    links: list[Link] | None = None
    status: Status | None = None


class ScopeSpans(Struct, gc=False):
    spans: list[Span] | None = None


class ResourceSpans(Struct, gc=False, rename="camel"):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans] | None = None


class LogRecord(Struct, gc=False, rename="camel"):
    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    severity_number: int | str = 0
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None


class ScopeLogs(Struct, gc=False, rename="camel"):
    log_records: list[LogRecord] | None = None


class ResourceLogs(Struct, gc=False, rename="camel"):
    resource: Resource | None = None
    scope_logs: list[ScopeLogs] | None = None


class Point(Struct, gc=False, rename="camel"):
    """A point of a gauge, a sum or a histogram."""

    attributes: list[KeyValue] | None = None
    time_unix_nano: Number = None
    as_double: Number = None
    as_int: int | str | None = None
    count: Number = None
    sum: Number = None
    bucket_counts: list[int | str] | None = None
    explicit_bounds: list[float | str] | None = None
    flags: int = 0


class MetricData(Struct, gc=False, rename="camel"):
    data_points: list[Point] | None = None
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class Metric(Struct, gc=False, rename="camel"):
    name: str = ""
    unit: str = ""
    gauge: MetricData | None = None
    sum: MetricData | None = None
    histogram: MetricData | None = None
    exponential_histogram: MetricData | None = None
    summary: MetricData | None = None


class ScopeMetrics(Struct, gc=False):
    metrics: list[Metric] | None = None


class ResourceMetrics(Struct, gc=False, rename="camel"):
    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics] | None = None


class Body(Struct, gc=False, rename="camel"):
    """One OTLP message of any signal; what `/api/v3` holds in `result`."""

    resource_spans: list[ResourceSpans] | None = None
    resource_logs: list[ResourceLogs] | None = None
    resource_metrics: list[ResourceMetrics] | None = None


class Document(Struct, gc=False, rename="camel"):
    """Any of the JSON texts that are understood; which one it is shows in what is not None."""

    data: list[JaegerTrace] | None = None
    spans: list[JaegerSpan] | None = None
    processes: Raw = ABSENT
    result: Body | None = None
    resource_spans: list[ResourceSpans] | None = None
    resource_logs: list[ResourceLogs] | None = None
    resource_metrics: list[ResourceMetrics] | None = None


class RawDocument(Struct, gc=False, rename="camel"):
    data: Raw = ABSENT
    spans: Raw = ABSENT
    processes: Raw = ABSENT
    result: Raw = ABSENT
    resource_spans: Raw = ABSENT
    resource_logs: Raw = ABSENT
    resource_metrics: Raw = ABSENT


class RawTrace(Struct, gc=False):
    spans: list[Raw] | None = None
    processes: Raw = ABSENT


class RawGroup(Struct, gc=False, rename="camel"):
    """Members of one resource, whatever the signal."""

    resource: Raw = ABSENT
    scope_spans: list[Raw] | None = None
    scope_logs: list[Raw] | None = None
    scope_metrics: list[Raw] | None = None


class RawScope(Struct, gc=False, rename="camel"):
    spans: list[Raw] | None = None
    log_records: list[Raw] | None = None
    metrics: list[Raw] | None = None
