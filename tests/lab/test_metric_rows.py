"""OTLP metrics in: Prometheus' shapes under OpenTelemetry's names."""

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from opslib.core.columns import COLUMNS
from opslib.lab.collector.rows import rows_of

T = 1_795_569_004_000_000_000
CUMULATIVE, DELTA = 2, 1


def request_of(*metrics: Metric) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = "payment"
    group.scope_metrics.add().metrics.extend(metrics)
    return request


def histogram(bounds: list[float], counts: list[int], temporality: int = CUMULATIVE) -> Metric:
    metric = Metric(name="http.server.request.duration", unit="s")
    metric.histogram.aggregation_temporality = temporality
    metric.histogram.data_points.add(
        time_unix_nano=T, explicit_bounds=bounds, bucket_counts=counts, count=sum(counts), sum=1.5
    )
    return metric


def number(
    kind: str, *, monotonic: bool = False, temporality: int = CUMULATIVE, value: float = 2.0
) -> Metric:
    metric = Metric(name="m")
    data = getattr(metric, kind)
    if kind == "sum":
        data.is_monotonic, data.aggregation_temporality = monotonic, temporality
    point = data.data_points.add(time_unix_nano=T, as_double=value)
    point.attributes.add(key="state").value.string_value = "used"
    point.attributes.add(key="code").value.int_value = 200
    return metric


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.001, 100), st.integers(0, 10**6)), max_size=12, unique_by=lambda p: p[0])
)
def test_buckets_accumulate_up_to_the_count(pairs: list[tuple[float, int]]) -> None:
    bounds, counts = [b for b, _ in sorted(pairs)], [c for _, c in sorted(pairs)] + [3]
    rows, rejected = rows_of("metrics", request_of(histogram(bounds, counts)))
    buckets = [row for row in rows if row[1].endswith("_bucket")]

    assert rejected == 0
    assert [row[2] for row in buckets] == [sum(counts[: i + 1]) for i in range(len(counts))]
    assert json.loads(buckets[-1][6])["le"] == "+Inf"
    assert [row[1:3] for row in rows[-2:]] == [
        ("http.server.request.duration_sum", 1.5),
        ("http.server.request.duration_count", float(sum(counts))),
    ]
    assert all(len(row) == len(COLUMNS["metrics"]) and row[3:6] == ("s", "payment", None) for row in rows)


def test_bounds_are_written_as_prometheus_does() -> None:
    rows, _ = rows_of("metrics", request_of(histogram([0.005, 1.0, 2.5], [1, 1, 1, 1])))

    assert [json.loads(row[6])["le"] for row in rows[:4]] == ["0.005", "1", "2.5", "+Inf"]


def test_a_histogram_without_buckets_or_sum_is_its_count() -> None:
    metric = histogram([], [])
    metric.histogram.data_points[0].ClearField("sum")

    assert [row[1] for row in rows_of("metrics", request_of(metric))[0]] == [
        "http.server.request.duration_count"
    ]


def test_counters_get_their_ending_and_gauges_keep_their_name() -> None:
    rows, _ = rows_of(
        "metrics", request_of(number("sum", monotonic=True), number("sum"), number("gauge", value=math.inf))
    )

    assert [row[1:3] for row in rows] == [("m_total", 2.0), ("m", 2.0), ("m", math.inf)]
    assert json.loads(rows[0][6]) == {"state": "used", "code": "200"}


def test_what_has_no_prometheus_shape_is_rejected() -> None:
    exponential, torn = Metric(name="e"), histogram([1.0], [1])
    exponential.exponential_histogram.data_points.add(time_unix_nano=T)
    timeless = number("gauge")
    timeless.gauge.data_points[0].time_unix_nano = 0

    rows, rejected = rows_of(
        "metrics",
        request_of(
            histogram([1.0], [1, 1], DELTA),
            number("sum", temporality=DELTA),
            exponential,
            torn,
            timeless,
            number("gauge", value=math.nan),
        ),
    )

    assert (rows, rejected) == ([], 6)


def test_a_point_that_says_it_has_no_value_is_skipped() -> None:
    silent = number("gauge")
    silent.gauge.data_points[0].flags = 1

    assert rows_of("metrics", request_of(silent, Metric(name="empty"))) == ([], 0)
