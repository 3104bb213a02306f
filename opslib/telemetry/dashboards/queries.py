"""The questions of the dashboard in PromQL: rate, errors and duration by version, saturation, restarts, probes, shares.

Names are those of Istio's standard metrics, OpenTelemetry's HTTP semantic conventions as Prometheus writes them, cAdvisor,
kube-state-metrics and the kubelet. `$namespace`, `$workload` (as Kubernetes and Istio name it) and `$service` (as OpenTelemetry does) are its variables.
"""

from __future__ import annotations

from dataclasses import dataclass

_MESH = (
    'reporter="destination",destination_workload=~"$workload",destination_workload_namespace=~"$namespace"'
)
_OTEL = 'service_name=~"$service"'
_POD = 'namespace=~"$namespace",pod=~"$workload-.*"'
_CONTAINER = f'{_POD},container!="",container!="POD"'


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Question:
    """One panel: a title, a unit as Grafana names units, its queries, and whether its values add up when stacked."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    stacked: bool = False


def _quantile(q: float, metric: str, selector: str, by: str) -> Query:
    expr = (
        f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"
    )
    return Query(expr, f"p{round(q * 100)} {{{{{by}}}}}")


def _durations(metric: str, selector: str, by: str) -> tuple[Query, ...]:
    return tuple(_quantile(q, metric, selector, by) for q in (0.5, 0.95, 0.99))


def _share(part: str, whole: str, by: str) -> Query:
    return Query(f"sum by ({by}) (rate({part}[$__rate_interval])) / on() group_left() sum(rate({whole}[$__rate_interval]))", f"{{{{{by}}}}}")  # fmt: skip


def _rate(series: str, by: str) -> Query:
    return Query(f"sum by ({by}) (rate({series}[$__rate_interval]))", f"{{{{{by}}}}}")


def _ratio(part: str, whole: str, by: str) -> Query:
    sums = (f"sum by ({by}) (rate({series}[$__rate_interval]))" for series in (part, whole))
    return Query(" / ".join(sums), f"{{{{{by}}}}}")


ROWS: dict[str, tuple[Question, ...]] = {
    "Requests by version (Istio)": (
        Question("Requests", "reqps", (_rate(f"istio_requests_total{{{_MESH}}}", "destination_version"),), stacked=True),
        Question("Failed share", "percentunit", (
            _ratio(f'istio_requests_total{{{_MESH},response_code=~"5.."}}', f"istio_requests_total{{{_MESH}}}", "destination_version"),
        )),
        Question("Duration", "ms", _durations("istio_request_duration_milliseconds", _MESH, "destination_version")),
        Question("Traffic share", "percentunit", (
            _share(f"istio_requests_total{{{_MESH}}}", f"istio_requests_total{{{_MESH}}}", "destination_version"),
        ), stacked=True),
    ),
    "Requests by service (OpenTelemetry)": (
        Question("Requests", "reqps", (_rate(f"http_server_request_duration_seconds_count{{{_OTEL}}}", "service_name"),)),
        Question("Failed share", "percentunit", (
            _ratio(f'http_server_request_duration_seconds_count{{{_OTEL},http_response_status_code=~"5.."}}',
                   f"http_server_request_duration_seconds_count{{{_OTEL}}}", "service_name"),
        )),
        Question("Duration", "s", _durations("http_server_request_duration_seconds", _OTEL, "service_name")),
    ),
    "Saturation": (
        Question("CPU used of its limit", "percentunit", (
            Query(f"sum by (pod) (rate(container_cpu_usage_seconds_total{{{_CONTAINER}}}[$__rate_interval])) / "
                  f'sum by (pod) (kube_pod_container_resource_limits{{{_POD},resource="cpu"}})', "{{pod}}"),
        )),
        Question("Periods throttled", "percentunit", (
            _ratio(f"container_cpu_cfs_throttled_periods_total{{{_CONTAINER}}}",
                   f"container_cpu_cfs_periods_total{{{_CONTAINER}}}", "pod"),
        )),
        Question("Memory used of its limit", "percentunit", (
            Query(f"sum by (pod) (container_memory_working_set_bytes{{{_CONTAINER}}}) / "
                  f'sum by (pod) (kube_pod_container_resource_limits{{{_POD},resource="memory"}})', "{{pod}}"),
        )),
    ),
    "Restarts and probes": (
        Question("Restarts", "short", (
            Query(f"sum by (pod, container) (increase(kube_pod_container_status_restarts_total{{{_POD}}}[$__rate_interval]))", "{{pod}} {{container}}"),
        )),
        Question("Why the last one ended", "short", (
            Query(f"sum by (reason) (kube_pod_container_status_last_terminated_reason{{{_POD}}})", "{{reason}}"),
        )),
        Question("Failed probes", "cps", (
            Query(f'sum by (pod, probe_type) (rate(prober_probe_total{{{_POD},result="failed"}}[$__rate_interval]))', "{{pod}} {{probe_type}}"),
        )),
    ),
}  # fmt: skip
