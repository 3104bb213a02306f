"""Labels become columns, and native histograms the rows of classic ones."""

import json

import pytest

from opslib.core.settings import Environment
from opslib.telemetry.prometheus.answers import Histogram, Series, times_ns
from opslib.telemetry.prometheus.naming import bound_text, naming, plain_name, selector
from opslib.telemetry.prometheus.rows import Gathered, frame_of


def place(services=None, **metric):
    metric["__name__"] = metric.pop("name", "requests_total")
    return naming(Environment("prod", services=services or {}), "prod").place(metric)


@pytest.mark.parametrize(
    ("metric", "service"),
    [
        ({"service_name": "a", "app": "b", "job": "c"}, "a"),
        ({"service.name": "a", "job": "c"}, "a"),
        ({"destination_workload": "unknown", "app": "b"}, "b"),
        ({"job": "shop/payment"}, "payment"),
        ({"job": "payment"}, "payment"),
        ({"pod": "payment-1"}, None),
        ({"name": "container_memory_rss", "job": "kubelet", "service": "kubelet", "pod": "payment-7c9d8b6f5-x2x4z"}, "payment"),
        ({"name": "container_memory_rss", "job": "kubelet", "pod": "node-agent-x2x4z"}, "node-agent"),
        ({"name": "container_memory_rss", "job": "kubelet", "pod": "ledger-12"}, "ledger"),
        ({"name": "container_memory_rss", "job": "kubelet", "pod": "my-service-apple"}, "my-service-apple"),
        ({"name": "kube_deployment_status_replicas_available", "job": "ksm", "deployment": "risk"}, "risk"),
        ({"name": "kube_pod_container_status_restarts_total", "service_name": "risk", "pod": "x-1"}, "risk"),
        ({"name": "kube_node_info", "job": "ksm"}, None),
    ],
)  # fmt: skip
def test_a_series_belongs_to_a_service(metric, service):
    assert place(**metric).service == service


def test_the_map_says_more_than_the_labels():
    services = {
        "payment": {"metrics": {"label": "app", "value": "pay"}, "workload": "deploy/payment-svc"},
        "risk": {"metrics": "risk-api"},
    }

    assert place(services, app="pay", service_name="other").service == "payment"
    assert place(services, service_name="risk-api").service == "risk"
    assert (
        place(services, name="container_memory_rss", pod="payment-svc-7c9d8b6f5-x2x4z").service == "payment"
    )
    mesh = place(services, destination_workload="payment-svc", source_workload="unknown")
    assert mesh == ("payment", None, {"destination_workload": "payment", "source_workload": "unknown"})


@pytest.mark.parametrize(
    ("metric", "pod"),
    [
        ({"pod": "a", "k8s_pod_name": "b", "instance": "c"}, "a"),
        ({"k8s.pod.name": "b", "instance": "c"}, "b"),
        ({"instance": "10.0.0.1:8080"}, "10.0.0.1:8080"),
        ({"name": "kube_deployment_status_replicas_ready", "instance": "10.0.0.1:8080"}, None),
    ],
)
def test_a_series_belongs_to_a_pod(metric, pod):
    assert place(**metric).pod == pod


def test_the_rest_of_the_labels_stays_but_for_the_target():
    metric = {
        "service_name": "a",
        "k8s_pod_name": "p",
        "job": "collector",
        "instance": "i",
        "le": "1.0",
        "code": "200",
    }

    assert place(**metric).labels == {"code": "200", "le": "1"}


@pytest.mark.parametrize(
    ("text", "written"),
    [("1.0", "1"), ("0.005", "0.005"), ("+Inf", "+Inf"), ("Inf", "+Inf"), ("1e+06", "1e+06"),
     ("1234567.0", "1234567.0"), ("1.0905077326652577", "1.0905077326652577"), ("many", "many")],
)  # fmt: skip
def test_bounds_are_written_as_in_a_capture(text, written):
    assert bound_text(text) == written


def test_selectors_are_quoted_as_promql_reads_them():
    assert selector('a|b"c', "") == '{__name__=~"a|b\\"c"}'
    assert selector("a", "my-shop") == '{__name__=~"a",namespace=~"my\\\\-shop|"}'
    assert plain_name("http.server/duration") == "http_server_duration"


@pytest.mark.parametrize(
    ("seconds", "ns"),
    [(1795615455.993, 1795615455993000000), (0.001, 1000000), (1795615455.00025, 1795615455000250000),
     (-1.5, -1500000000), (1e300, 9200000000000000000)],
)  # fmt: skip
def test_times_are_exact(seconds, ns):
    assert times_ns([seconds]).tolist() == [ns]


def test_every_millisecond_is_exact():
    first = 1_795_615_455_000
    times = [float(f"{ms // 1000}.{ms % 1000:03d}") for ms in range(first, first + 2000)]

    assert times_ns(times).tolist() == [ms * 1_000_000 for ms in range(first, first + 2000)]


def frame(*series):
    gathered = Gathered()
    gathered.add(series)
    return frame_of(gathered.lines(), naming(Environment("prod"), "prod"), lambda _: None)


def series(metric, *points):
    return Series({"__name__": "requests_total", **metric}, points=list(points))


def test_targets_that_follow_each_other_are_one_series_and_targets_side_by_side_are_two():
    metric = {"app": "a", "pod": "p"}
    after = frame(
        series({**metric, "instance": "1"}, (1.0, "5"), (2.0, "6")),
        series({**metric, "instance": "2"}, (3.0, "1")),
    )
    beside = frame(
        series({**metric, "instance": "1"}, (1.0, "5"), (3.0, "6")),
        series({**metric, "instance": "2"}, (2.0, "1")),
    )

    assert set(after["labels"]) == {'{"app":"a"}'}
    assert [json.loads(text)["instance"] for text in beside["labels"]] == ["1", "2", "1"]


def native(count, total, *buckets):
    return Histogram(str(count), str(total), [(0, str(low), str(high), str(n)) for low, high, n in buckets])


def histograms(*samples, name="lat", **labels):
    return Series({"__name__": name, **labels}, histograms=list(samples))


def table(found, time):
    rows = found[found["time_unix_nano"] == time * 1_000_000_000]
    return {
        (
            row.name,
            json.loads(row.labels)["le"] if isinstance(row.labels, str) and "le" in row.labels else "",
        ): row.value
        for row in rows.itertuples(index=False)
    }


def test_a_native_histogram_becomes_the_rows_of_a_classic_one():
    found = frame(
        histograms(
            (1.0, native(7, 9.5, (1, 2, 3), (4, 8, 4))),
            (2.0, native(8, 9.7, (0.25, 0.5, 1), (1, 2, 3), (4, 8, 4))),
        )
    )

    assert table(found, 1) == {
        **{("lat_bucket", le): n for le, n in
           [("0.25", 0), ("0.5", 0), ("1", 0), ("2", 3), ("4", 3), ("8", 7), ("+Inf", 7)]},
        ("lat_sum", ""): 9.5, ("lat_count", ""): 7.0,
    }  # fmt: skip
    assert table(found, 2)["lat_bucket", "0.5"] == 1.0
    assert table(found, 2)["lat_bucket", "2"] == 4.0


def test_a_bound_within_a_bucket_of_another_sample_is_left_out():
    fine, coarse = native(3, 1, (1, 2, 1), (2, 4, 2)), native(5, 2, (1, 4, 5))

    found = table(frame(histograms((1.0, fine), (2.0, coarse))), 2)

    assert {le for name, le in found if name == "lat_bucket"} == {"1", "4", "+Inf"}


def test_below_zero_around_zero_and_not_a_number():
    found = table(frame(histograms((1.0, native(9, "NaN", (-2, -1, 2), (-0.5, 0.5, 1), (1, 2, 3))))), 1)

    assert [found["lat_bucket", le] for le in ("-2", "-1", "-0.5", "0.5", "1", "2", "+Inf")] == [
        0,
        2,
        2,
        3,
        3,
        6,
        9,
    ]
    assert ("lat_sum", "") not in found


def test_custom_buckets_have_their_bounds():
    found = table(
        frame(histograms((1.0, native(6, 3, ("-Inf", 0.1, 1), (0.1, 0.5, 2), (0.5, "+Inf", 3))))), 1
    )

    assert [found["lat_bucket", le] for le in ("0.1", "0.5", "+Inf")] == [1, 3, 6]


def test_an_empty_histogram_has_a_count():
    assert table(frame(histograms((1.0, native(0, 0)))), 1) == {
        ("lat_bucket", "+Inf"): 0, ("lat_sum", ""): 0, ("lat_count", ""): 0}  # fmt: skip


def test_where_a_scrape_keeps_both_the_classic_rows_count():
    classic = Series({"__name__": "lat_count", "app": "a"}, points=[(1.0, "7")])
    other = histograms((1.0, native(3, 1, (1, 2, 3))), app="b")

    found = frame(histograms((1.0, native(7, 9, (1, 2, 7))), app="a"), classic, other)

    assert sorted(found[found["service_name"] == "a"]["name"]) == ["lat_count"]
    assert sorted(found[found["service_name"] == "b"]["name"]) == ["lat_bucket"] * 3 + [
        "lat_count",
        "lat_sum",
    ]
