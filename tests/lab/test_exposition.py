"""The page that Prometheus scrapes: the capture's rows, in each form that a scraper may ask for."""

import json
import re
from types import SimpleNamespace

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from opslib.lab.collector import exposition
from opslib.lab.collector.exposition import STALE_S, Exposition
from opslib.lab.collector.rows import rows_of

T = 1_795_569_004_123_456_789
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
UTF8_TEXT = "text/plain;version=1.0.0;escaping=allow-utf-8"


@pytest.fixture
def clock() -> SimpleNamespace:
    clock = SimpleNamespace(now_s=100.0)
    clock.monotonic_s = lambda: clock.now_s
    return clock


def request_of(*, time_ns: int = T, count: int = 3, pod: str = "payment-1") -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for key, value in (("service.name", "payment"), ("k8s.pod.name", pod)):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_metrics.add()
    duration = scope.metrics.add(name="http.server.request.duration", unit="s").histogram
    duration.aggregation_temporality = 2
    point = duration.data_points.add(
        time_unix_nano=time_ns,
        explicit_bounds=[0.5, 10.0],
        bucket_counts=[1, count - 1, 0],
        count=count,
        sum=1.75,
    )
    point.attributes.add(key="http.route").value.string_value = '/pay"\n\\'
    point.exemplars.add(time_unix_nano=T, as_double=1.25, trace_id=b"a" * 16, span_id=b"b" * 8)
    restarts = scope.metrics.add(name="kube_pod_container_status_restarts").sum
    restarts.aggregation_temporality, restarts.is_monotonic = 2, True
    restarts.data_points.add(time_unix_nano=time_ns, as_int=4)
    scope.metrics.add(name="process.cpu.utilization").gauge.data_points.add(
        time_unix_nano=time_ns, as_double=0.1 + 0.2
    )
    return request


def told(page: Exposition, request: ExportMetricsServiceRequest) -> list[tuple]:
    rows, _ = rows_of("metrics", request)
    page.add(rows, request)
    return rows


def test_openmetrics_in_utf8_has_the_names_and_values_of_the_capture(clock) -> None:
    page = Exposition(clock)
    told(page, request_of())
    kind, text = page.page(PROMETHEUS_3)
    where = r'"http.route"="/pay\"\n\\",k8s_pod_name="payment-1"'
    name = "http.server.request.duration"
    exemplar = f'# {{trace_id="{"61" * 16}",span_id="{"62" * 8}"}} 1.25 1795569004.123'

    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert kind.endswith("escaping=allow-utf-8")
    assert text.splitlines() == [
        f'# HELP "{name}" in s',
        f'# TYPE "{name}" histogram',
        f'{{"{name}_bucket",{where},le="0.5",service_name="payment"}} 1.0 1795569004.123',
        f'{{"{name}_bucket",{where},le="10",service_name="payment"}} 3.0 1795569004.123 {exemplar}',
        f'{{"{name}_bucket",{where},le="+Inf",service_name="payment"}} 3.0 1795569004.123',
        f'{{"{name}_count",{where},service_name="payment"}} 3.0 1795569004.123',
        f'{{"{name}_sum",{where},service_name="payment"}} 1.75 1795569004.123',
        "# TYPE kube_pod_container_status_restarts counter",
        'kube_pod_container_status_restarts_total{k8s_pod_name="payment-1",service_name="payment"} 4.0 1795569004.123',
        '# TYPE "process.cpu.utilization" gauge',
        '{"process.cpu.utilization",k8s_pod_name="payment-1",service_name="payment"} 0.30000000000000004 1795569004.123',
        "# EOF",
    ]


def test_a_scraper_that_knows_few_letters_gets_underscores(clock) -> None:
    page = Exposition(clock)
    told(page, request_of())
    kind, text = page.page(PROMETHEUS_2)

    assert "escaping=underscores" in kind
    assert 'http_server_request_duration_bucket{http_route="/pay\\"\\n\\\\",' in text
    assert re.search(r'# \{trace_id="(61){16}",', text)
    names = re.findall(r'([^\s{},"]+)(?==")|^([^#{]\S*?)\{', text, re.MULTILINE)
    assert names
    assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name or other) for name, other in names)


@pytest.mark.parametrize(("accept", "version"), [("", "0.0.4"), (UTF8_TEXT, "1.0.0")])
def test_plain_text_has_milliseconds_no_exemplars_and_no_end(clock, accept: str, version: str) -> None:
    page = Exposition(clock)
    told(page, request_of())
    kind, text = page.page(accept)

    assert kind.startswith(f"text/plain; version={version};")
    assert "EOF" not in text
    assert "trace_id" not in text
    assert "# TYPE kube_pod_container_status_restarts_total counter" in text
    assert 'service_name="payment"} 4.0 1795569004123\n' in text


def test_each_series_has_its_last_value_until_nobody_tells_of_it(clock) -> None:
    page = Exposition(clock)
    told(page, request_of(count=5))
    told(page, request_of(time_ns=T + 10**9, count=8))
    told(page, request_of(time_ns=T - 10**9, count=2))
    told(page, request_of(pod="payment-2"))
    counts = re.findall(r'duration_count\{.*pod_name="(.*?)".*\} (\S+) ', page.page("")[1])
    clock.now_s += STALE_S - 1
    told(page, request_of(pod="payment-2"))
    clock.now_s += 2
    later = re.findall(r'duration_count\{.*pod_name="(.*?)".*\} (\S+) ', page.page("")[1])

    assert counts == [("payment-1", "8.0"), ("payment-2", "3.0")]
    assert later == [("payment-2", "3.0")]


def test_series_beyond_a_bound_are_dropped_and_counted(clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MOST_SERIES", 3)
    page = Exposition(clock)
    rows = told(page, request_of())

    assert page.counts() == {"series": 3, "dropped": len(rows) - 3}


def test_names_and_labels_of_any_kind_leave_the_page_readable(clock) -> None:
    page = Exposition(clock)
    labels = {
        "": "empty",
        "__name__": "other",
        "1st": "a",
        "a.b": "x",
        "a:b": "y",
        "le": "no number",
        "é": "z",
    }
    rows = [
        (T, 'x{}\n"_bucket', float("inf"), 'u"\n', None, None, json.dumps(labels)),
        (T, "_total", 1.0, None, "s", None, None),
    ]
    page.add(rows, ExportMetricsServiceRequest())
    _, text = page.page(PROMETHEUS_3)
    _, plain = page.page("")

    assert r'{"x{}\n\"_bucket","1st"="a","a.b"="x","a:b"="y",le="no number","é"="z"} +Inf' in text
    assert text.splitlines()[2] == r'# HELP "x{}\n\"_bucket" in u\"\n'
    assert 'x_____bucket{_1st="a",a_b="y",le="no number",_="z"} +Inf' in plain
    assert '_total{service_name="s"} 1.0' in plain
