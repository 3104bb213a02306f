"""OTLP metrics as rows of the capture: OpenTelemetry's names, Prometheus' shapes.

A cumulative histogram becomes `_bucket` rows (cumulative, with `le` in the labels), `_sum` and `_count`; a cumulative
counter gets the ending `_total`; gauges and up-down counters keep their name. Points of delta temporality,
exponential histograms and summaries have no such shape and are rejected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from opslib.lab.collector.rows import Row, Rows, plain_attributes, resource_of, service_of

_CUMULATIVE = 2  # AGGREGATION_TEMPORALITY_CUMULATIVE
_NO_VALUE = 1  # DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_MAX_NS = (1 << 63) - 1


def metric_rows(request: Any) -> Rows:
    """Return rows of `metrics`, and how many data points were rejected."""
    rows: list[Row] = []
    rejected = 0
    for group in request.resource_metrics:
        resource = resource_of(group)
        source = (service_of(resource), resource.get("k8s.pod.name"))
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kept, lost = _rows_of(metric, source)
                rows += kept
                rejected += lost
    return rows, rejected


def _rows_of(metric: Any, source: tuple[Any, ...]) -> Rows:
    kind = metric.WhichOneof("data")
    if kind is None:
        return [], 0
    data = getattr(metric, kind)
    points = data.data_points
    if kind not in ("gauge", "sum", "histogram") or (
        kind != "gauge" and data.aggregation_temporality != _CUMULATIVE
    ):
        return [], len(points)
    rows: list[Row] = []
    rejected = 0
    for point in points:
        if point.flags & _NO_VALUE:
            continue
        samples = _histogram(metric.name, point) if kind == "histogram" else _number(metric.name, data, point)
        labels = {key: _label(value) for key, value in plain_attributes(point.attributes)}
        fresh = _sample_rows(samples, point.time_unix_nano, metric.unit, source, labels)
        rejected += not fresh
        rows += fresh
    return rows, rejected


Sample = tuple[str, float, dict[str, str]]


def _number(name: str, data: Any, point: Any) -> Iterator[Sample]:
    kind = point.WhichOneof("value")
    value = float(getattr(point, kind)) if kind else math.nan
    yield (f"{name}_total" if getattr(data, "is_monotonic", False) else name), value, {}


def _histogram(name: str, point: Any) -> Iterator[Sample]:
    """Yield nothing for a histogram whose counts and bounds do not fit together."""
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if counts and len(counts) != len(bounds) + 1:
        return
    total = 0
    for bound, count in zip([*bounds, math.inf], counts, strict=False):
        total += count
        yield f"{name}_bucket", float(total), {"le": _bound(bound)}
    if point.HasField("sum"):
        yield f"{name}_sum", point.sum, {}
    yield f"{name}_count", float(point.count), {}


def _sample_rows(
    samples: Iterator[Sample], time_ns: int, unit: str, source: tuple[Any, ...], labels: dict[str, str]
) -> list[Row]:
    if not 0 < time_ns <= _MAX_NS:
        return []
    return [
        (time_ns, name, value, unit or None, *source, json.dumps({**labels, **extra}, ensure_ascii=False))
        for name, value, extra in samples
        if not math.isnan(value)
    ]


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bound(value: float) -> str:
    """Write a bound as Prometheus does: `0.005`, `1`, `+Inf`."""
    return "+Inf" if value == math.inf else f"{value:g}"
