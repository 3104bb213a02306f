"""OTLP metrics under OpenTelemetry's names in Prometheus' shapes, as the lab's collector writes them.

A cumulative histogram becomes `_bucket` rows (cumulative, with `le` in the labels), `_sum` and `_count`; a cumulative
counter gets the ending `_total`; gauges and up-down counters keep their name. Points of delta temporality,
exponential histograms and summaries have no such shape and are counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from opslib.core.units import to_ns
from opslib.telemetry.importers.tables import Source, Table
from opslib.telemetry.importers.values import bounded, json_text, json_texts, plain_dict

NO_SHAPE = "metric point of delta temporality, or an exponential histogram or summary"
BAD_POINT = "metric point without a usable time or value"

_CUMULATIVE = (2, "2", "AGGREGATION_TEMPORALITY_CUMULATIVE")
_NO_VALUE = 1  # DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")

Sample = tuple[str, float, dict[str, str]]
Row = tuple[int, str, float, str | None, dict[str, Any]]


def add_otlp_metrics(
    metrics: Sequence[Any], of_metric: Sequence[Source], table: Table, refused: Counter[str]
) -> None:
    """Add the points of metrics, each with what its resource says."""
    rows = [
        (*row, where)
        for metric, where in zip(metrics, of_metric, strict=True)
        for row in _rows(metric, refused)
    ]
    if not rows:
        return
    time, name, value, unit, labels, sources = zip(*rows, strict=True)
    table.add(
        {
            "time_unix_nano": time,
            "name": bounded(list(name), refused),
            "value": value,
            "unit": unit,
            "service_name": [where.service_name for where in sources],
            "k8s_pod_name": [where.k8s_pod_name for where in sources],
            "labels": json_texts(labels, refused),
        },
        [True] * len(rows),
    )


def _rows(metric: Any, refused: Counter[str]) -> Iterator[Row]:
    kind, data = _data(metric)
    if data is None:
        return
    points = data.data_points or ()
    if kind not in ("gauge", "sum", "histogram") or (
        kind != "gauge" and data.aggregation_temporality not in _CUMULATIVE
    ):
        refused[NO_SHAPE] += len(points)
        return
    for point in points:
        if point.flags & _NO_VALUE:
            continue
        time_ns = to_ns(point.time_unix_nano)
        samples = list(
            _histogram(metric.name, point) if kind == "histogram" else _number(metric.name, data, point)
        )
        if not time_ns or time_ns < 0 or not samples:
            refused[BAD_POINT] += 1
            continue
        labels = {key: label_text(value) for key, value in plain_dict(point.attributes).items()}
        yield from (
            (time_ns, name, value, metric.unit or None, labels | extra) for name, value, extra in samples
        )


def _data(metric: Any) -> tuple[str | None, Any]:
    which = getattr(metric, "WhichOneof", None)
    kind = which("data") if which else next((k for k in _KINDS if getattr(metric, k) is not None), None)
    return kind, getattr(metric, kind) if kind else None


def _number(name: str, data: Any, point: Any) -> Iterator[Sample]:
    which = getattr(point, "WhichOneof", None)
    kind = which("value") if which else "as_double" if point.as_double is not None else "as_int"
    value = _float(getattr(point, kind)) if kind else None
    if value is not None:
        yield (f"{name}_total" if getattr(data, "is_monotonic", False) else name), value, {}


def _histogram(name: str, point: Any) -> Iterator[Sample]:
    """Yield nothing for a histogram whose counts and bounds do not fit together."""
    bounds = [_float(bound) for bound in point.explicit_bounds or ()]
    counts = [_float(count) for count in point.bucket_counts or ()]
    whole, total_sum = _float(point.count), _sum(point)
    if whole is None or None in bounds or None in counts or (counts and len(counts) != len(bounds) + 1):
        return
    total = 0.0
    for bound, count in zip([*bounds, math.inf], counts, strict=False):
        total += count or 0.0
        yield f"{name}_bucket", total, {"le": bound_text(bound if bound is not None else math.inf)}
    if total_sum is not None:
        yield f"{name}_sum", total_sum, {}
    yield f"{name}_count", whole, {}


def _sum(point: Any) -> float | None:
    has = getattr(point, "HasField", None)
    return None if has and not has("sum") else _float(point.sum)


def _float(value: Any) -> float | None:
    """Return a number, also one written as text; None for what is none and for NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def label_text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def bound_text(value: float) -> str:
    """Write a bound as Prometheus does: `0.005`, `1`, `+Inf`."""
    return "+Inf" if value == math.inf else f"{value:g}"
