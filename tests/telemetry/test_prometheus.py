"""Metrics of a server with Prometheus' API: every sample of a window once and exact, whatever the server's ways."""

import json
import random

import httpx2
import pandas as pd
import pytest

from opslib.core.columns import COLUMNS
from opslib.core.errors import SourceError, UsageError
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import Window
from opslib.telemetry.prometheus import connect
from opslib.telemetry.prometheus import source as source_module
from opslib.telemetry.prometheus.checks import check
from tests.telemetry.prometheus_fake import NOW_MS, Clock, Fake, answer, source

MS = 1_000_000
REQUESTS = {"__name__": "istio_requests_total", "pod": "p1", "destination_workload": "payment"}
CPU = {"__name__": "process_cpu_utilization", "pod": "p1", "app": "payment"}


def counting(first_ms, last_ms, step_ms=1000):
    return [(ms, str(n)) for n, ms in enumerate(range(first_ms, last_ms + 1, step_ms))]


def window(first_ms, end_ms):
    return Window(first_ms * MS, end_ms * MS)


def told(frame):
    return list(zip(frame["time_unix_nano"] // MS, frame["value"], strict=True))


@pytest.mark.parametrize("left_open", [True, False], ids=["prometheus-3", "prometheus-2"])
def test_every_sample_of_the_window_comes_once_and_none_beside_it(left_open):
    samples = counting(NOW_MS - 400_000, NOW_MS)
    fake = Fake([(REQUESTS, samples)], left_open=left_open)

    frame = source(fake).metrics(window(NOW_MS - 300_000, NOW_MS - 1000)).frame

    assert told(frame) == [(ms, float(v)) for ms, v in samples if NOW_MS - 300_000 <= ms < NOW_MS - 1000]
    assert [path for path, _ in fake.asked].count("query") == 2
    assert list(frame.columns) == [column.name for column in COLUMNS["metrics"]]


@pytest.mark.parametrize("left_open", [True, False], ids=["prometheus-3", "prometheus-2"])
def test_a_window_may_begin_and_end_between_milliseconds(left_open):
    fake = Fake([(REQUESTS, counting(NOW_MS, NOW_MS + 10, 1))], left_open=left_open)

    frame = source(fake).metrics(Window(NOW_MS * MS + 1, (NOW_MS + 2) * MS + 1)).frame

    assert list(frame["time_unix_nano"]) == [(NOW_MS + 1) * MS, (NOW_MS + 2) * MS]


def test_rows_do_not_depend_on_the_order_of_the_answer():
    series = [
        ({**REQUESTS, "pod": f"p{n}", "reporter": side}, counting(NOW_MS - 9000, NOW_MS))
        for n in range(5)
        for side in ("source", "destination")
    ]
    frames = []
    for seed in range(3):
        shuffled = random.Random(seed).sample(series, len(series))
        frames.append(source(Fake(shuffled)).metrics(window(NOW_MS - 9000, NOW_MS)).frame)

    assert len(frames[0]) == 90
    assert all(frame.equals(frames[0]) for frame in frames)


def test_what_is_no_number_is_no_sample_and_infinity_is_one():
    fake = Fake([(CPU, [(NOW_MS, "NaN"), (NOW_MS + 1, "+Inf"), (NOW_MS + 2, "1e-3"), (NOW_MS + 3, "-Inf")])])

    found = source(fake).metrics(window(NOW_MS, NOW_MS + 10))

    assert list(found.frame["value"]) == [float("inf"), 0.001, float("-inf")]
    assert found.note.rows == 3


def test_what_the_server_warns_of_stands_in_the_note():
    fake = Fake([(CPU, counting(NOW_MS, NOW_MS))])
    fake.envelope = {
        "warnings": ["store-1: timed out"],
        "infos": ["PromQL info: may not be a counter"],
        "isPartial": True,
    }

    note = source(fake).metrics(window(NOW_MS, NOW_MS + 60_000)).note

    assert note.warnings[:2] == ("store-1: timed out", "PromQL info: may not be a counter")
    assert "part of the data" in note.warnings[2]
    assert (note.signal, note.kind, note.url) == ("metric", "prometheus", "http://prometheus.example/base")
    assert "istio_requests_total" in note.query


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        (lambda: answer("<html>log in</html>"), "web page"),
        (lambda: answer(b'{"status": "success", "data": {"resultType": "matr'), "not its protocol"),
        (lambda: answer({"status": "success", "data": {"resultType": "string", "result": [1, "x"]}}), "answers with string"),
        (lambda: answer({"status": "error", "errorType": "bad_data", "error": "parse error: x"}, 400), "parse error: x"),
        (lambda: answer({"status": "error", "errorType": "timeout", "error": "query timed out"}, 503), "query timed out"),
        (lambda: answer("404 page not found", 404), "404 page not found"),
        (lambda: answer({"status": "success", "data": None}), "answers with nothing"),
    ],
)  # fmt: skip
def test_no_answer_is_told_in_the_servers_words(instead, words):
    fake = Fake()
    fake.instead = {"query": instead}

    with pytest.raises(SourceError, match=words):
        source(fake).metrics(window(NOW_MS, NOW_MS + 1000))


def test_a_sample_that_is_no_number_is_told():
    with pytest.raises(SourceError, match="no number"):
        source(Fake([(CPU, [(NOW_MS, "many")])])).metrics(window(NOW_MS, NOW_MS + 1000))


def test_a_question_too_large_for_the_server_is_cut_until_it_is_not():
    fake = Fake([(CPU, counting(NOW_MS - 300_000, NOW_MS, 100))], max_samples=100)

    found = source(fake).metrics(window(NOW_MS - 100_000, NOW_MS))

    assert len(found.frame) == 1000
    assert not found.note.truncated


def test_a_second_that_is_too_large_is_told():
    fake = Fake([(CPU, counting(NOW_MS - 5000, NOW_MS, 1))], max_samples=100)

    with pytest.raises(SourceError, match="too many samples") as told_:
        source(fake).metrics(window(NOW_MS - 5000, NOW_MS))
    assert "shorter time" in told_.value.hint


def test_more_samples_than_we_take_are_the_oldest_and_it_is_said(monkeypatch):
    monkeypatch.setattr(source_module, "MAX_ROWS", 100)
    samples = counting(NOW_MS - 600_000, NOW_MS)
    fake = Fake([(CPU, samples)])

    found = source(fake).metrics(window(NOW_MS - 600_000, NOW_MS))

    assert told(found.frame) == [(ms, float(v)) for ms, v in samples[:100]]
    assert found.note.truncated
    assert found.note.rows == 100
    assert "more than 100 samples" in found.note.warnings[0]


def test_only_the_namespace_of_the_environment_is_asked_and_what_has_none():
    fake = Fake([
        ({**CPU, "namespace": "shop"}, counting(NOW_MS, NOW_MS)),
        ({**CPU, "namespace": "shop-2"}, counting(NOW_MS, NOW_MS)),
        (CPU, counting(NOW_MS, NOW_MS)),
    ])  # fmt: skip

    frame = source(fake, namespace="shop").metrics(window(NOW_MS, NOW_MS + 1)).frame

    assert set(frame["labels"]) == {'{"app":"payment"}', '{"app":"payment","namespace":"shop"}'}


def test_metrics_that_are_not_usual_are_asked_for_by_match():
    other = {"__name__": "queue_depth", "app": "payment"}
    series = [(CPU, counting(NOW_MS, NOW_MS)), (other, counting(NOW_MS, NOW_MS))]
    asked = window(NOW_MS, NOW_MS + 1)

    assert list(source(Fake(series)).metrics(asked).frame["name"]) == ["process_cpu_utilization"]
    by_match = source(Fake(series), match=['{__name__="queue_depth"}']).metrics(asked)
    assert list(by_match.frame["name"]) == ["process_cpu_utilization", "queue_depth"]


def test_a_series_that_two_selectors_bring_comes_once():
    fake = Fake([(CPU, counting(NOW_MS, NOW_MS + 5, 1))])

    both = source(fake, match=['{app="payment"}']).metrics(window(NOW_MS, NOW_MS + 6))

    assert len(both.frame) == 6


def test_a_name_with_dots_finds_what_the_server_calls_otherwise():
    plain = {"__name__": "http_server_request_duration_bucket", "app": "payment", "le": "1.0"}
    dotted = {"__name__": "http.server.request.duration_count", "app": "payment"}
    fake = Fake(
        [
            (plain, counting(NOW_MS, NOW_MS)),
            (dotted, counting(NOW_MS, NOW_MS)),
            (CPU, counting(NOW_MS, NOW_MS)),
        ]
    )
    names = ["http.server.request.duration_bucket", "http.server.request.duration_count"]

    frame = source(fake).metrics(window(NOW_MS, NOW_MS + 1), names=names).frame

    assert sorted(frame["name"]) == names


def test_services_come_with_our_names_and_all_that_is_told_of_them():
    theirs = {"label": "destination_workload", "value": "payment-svc"}
    services = {"payment": {"metrics": theirs}, "risk": {"metrics": "risk-api"}, "ledger": {}}
    of_mesh = {**REQUESTS, "source_workload": "order", "destination_workload": "payment-svc"}
    of_kubelet = {"__name__": "container_memory_rss", "pod": "payment-svc-7c9d8b6f5-x2x4z", "job": "kubelet"}
    to_risk = {**REQUESTS, "source_workload": "payment-svc", "destination_workload": "risk-api"}
    all_of_them = [of_mesh, of_kubelet, to_risk, {**CPU, "app": "ledger"}]
    metrics = source(Fake([(one, counting(NOW_MS, NOW_MS)) for one in all_of_them]), services=services)
    asked = window(NOW_MS, NOW_MS + 1)

    assert set(metrics.metrics(asked).frame["service_name"]) == {"payment", "risk", "ledger"}
    payment = metrics.metrics(asked, services=["payment"]).frame
    assert list(payment["name"]) == ["container_memory_rss", "istio_requests_total"]
    risk = metrics.metrics(asked, services=["risk"]).frame
    assert [json.loads(text) for text in risk["labels"]] == [
        {"destination_workload": "risk", "source_workload": "payment"}
    ]


@pytest.mark.parametrize("asked", [{}, {"names": []}, {"services": []}, {"services": ["nobody"]}])
def test_no_samples_are_a_frame_with_the_columns(asked):
    fake = Fake([(CPU, counting(NOW_MS, NOW_MS))] if asked else [])
    found = source(fake).metrics(window(NOW_MS, NOW_MS + 1000), **asked)

    assert (len(found.frame), found.note.rows, found.note.truncated) == (0, 0, False)
    assert list(found.frame.columns) == [column.name for column in COLUMNS["metrics"]]


def test_units_come_from_metadata_else_from_the_name():
    families = {
        "http_server_request_duration": [{"type": "histogram", "help": "in s", "unit": ""}],
        "process_memory_usage": [{"type": "gauge", "help": "Memory in use", "unit": "bytes"}],
    }
    names = ["http_server_request_duration_count", "process_memory_usage", "process_cpu_time_seconds_total",
             "process_cpu_utilization_ratio", "process_cpu_number"]  # fmt: skip
    fake = Fake([({"__name__": name}, counting(NOW_MS, NOW_MS)) for name in names], metadata=families)
    asked = window(NOW_MS, NOW_MS + 1)

    frame = source(fake).metrics(asked).frame.set_index("name")
    assert [frame["unit"].fillna("")[name] for name in names] == ["s", "By", "s", "1", ""]
    fake.instead = {"metadata": lambda: answer("404 page not found", 404)}
    frame = source(fake).metrics(asked).frame.set_index("name")
    assert [frame["unit"].fillna("")[name] for name in names] == ["", "", "s", "1", ""]


def test_a_range_is_asked_in_parts_that_the_server_takes_and_every_step_comes_once():
    asked = Window(NOW_MS * MS + 1, (NOW_MS + 30_000) * MS)

    frame = source(Fake()).range_query("up", asked, 0.001).frame

    assert told(frame) == [(ms, float(ms)) for ms in range(NOW_MS + 1, NOW_MS + 30_000)]


def test_the_end_of_a_range_is_left_out_as_of_every_window():
    frame = source(Fake()).range_query("up", window(NOW_MS, NOW_MS + 60_000), 15).frame

    assert list(frame["time_unix_nano"]) == [(NOW_MS + 15_000 * n) * MS for n in range(4)]


def test_a_range_of_more_points_than_we_take_is_cut_and_it_is_said(monkeypatch):
    monkeypatch.setattr(source_module, "MAX_ROWS", 15_000)

    found = source(Fake()).range_query("up", window(NOW_MS, NOW_MS + 50_000), 0.001)

    assert told(found.frame) == [(ms, float(ms)) for ms in range(NOW_MS, NOW_MS + 15_000)]
    assert found.note.truncated
    assert "more than 15,000 samples" in found.note.warnings[0]


def test_a_range_without_a_step_cannot_be_asked():
    with pytest.raises(UsageError, match="step of 0 s"):
        source(Fake()).range_query("up", window(NOW_MS, NOW_MS + 1000), 0)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"resultType": "vector", "result": [{"metric": {"a": "1"}, "value": [1.5, "2"]}]}, [2.0]),
        ({"resultType": "scalar", "result": [1.5, "3"]}, [3.0]),
        ({"resultType": "vector", "result": []}, []),
    ],
)
def test_an_expression_is_evaluated_at_one_time(data, values):
    fake = Fake()
    fake.instead = {"query": lambda: answer({"status": "success", "data": data})}

    frame = source(fake).instant("1 + 1", NOW_MS * MS).frame

    assert list(frame["value"]) == values
    assert fake.asked == [("query", {"query": "1 + 1", "time": f"{NOW_MS // 1000}.{NOW_MS % 1000}"})]


def test_exemplars_lead_to_traces():
    labels = {"__name__": "http_server_request_duration_bucket", "app": "payment"}
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    seen = [
        {"labels": {"trace_id": trace.upper()}, "value": "0.25", "timestamp": NOW_MS / 1000},
        {"labels": {"traceID": "a1" * 11}, "value": "0.5", "timestamp": (NOW_MS - 5) / 1000},
        {"labels": {"user": "7"}, "value": "0.5", "timestamp": NOW_MS / 1000},
        {"labels": {"trace_id": trace}, "value": "0.5", "timestamp": (NOW_MS + 10) / 1000},
    ]
    fake = Fake(exemplars=[{"seriesLabels": labels, "exemplars": seen},
                           {"seriesLabels": {**labels, "app": "risk"}, "exemplars": seen[:1]}])  # fmt: skip
    metrics, asked = source(fake), window(NOW_MS - 5, NOW_MS + 10)

    frame = metrics.exemplars("http.server.request.duration", asked).frame

    assert frame.to_numpy().tolist() == [
        [(NOW_MS - 5) * MS, "payment", 0.5, ("a1" * 11).zfill(32)],
        [NOW_MS * MS, "payment", 0.25, trace],
        [NOW_MS * MS, "risk", 0.25, trace],
    ]
    assert list(metrics.exemplars("http.server.request.duration", asked, ["risk"]).frame["service_name"]) == [
        "risk"
    ]
    assert "http_server_request_duration" in fake.asked[0][1]["query"]


def test_an_exemplar_that_is_no_number_is_told():
    odd = {"labels": {"trace_id": "a1"}, "value": "many", "timestamp": NOW_MS / 1000}
    with pytest.raises(SourceError, match="no number"):
        source(Fake(exemplars=[{"exemplars": [odd]}])).exemplars("x", window(NOW_MS, NOW_MS + 1))


def test_a_server_that_knows_no_exemplars_has_none():
    fake = Fake()
    fake.instead = {"query_exemplars": lambda: answer({"status": "success", "data": None})}

    assert len(source(fake).exemplars("x", window(NOW_MS, NOW_MS + 1)).frame) == 0


def test_connect_reads_the_table_of_a_source():
    settings = SourceSettings("prometheus", "https://prometheus.example", {"match": ["up"]})
    environment = Environment("prod", namespace="shop")

    metrics = connect(settings, environment, "prod, metrics", Clock())

    assert metrics.selectors()[1:] == ["up"]
    assert 'namespace=~"shop|"' in metrics.selectors()[0]


@pytest.mark.parametrize(
    ("options", "table", "words"),
    [
        ({"match": "up"}, {}, "list of selectors"),
        ({"matches": ["up"]}, {}, "no option 'matches'"),
        ({}, {"metrics": {"label": "app"}}, "a name, or a label and its value"),
    ],
)
def test_connect_refuses_what_cannot_be(options, table, words):
    environment = Environment("prod", services={"a": table})
    with pytest.raises(UsageError, match=words):
        connect(SourceSettings("prometheus", "http://p.example", options), environment, "prod", Clock())


def by_name(fake, services=()):
    return {one.name: one for one in check(source(fake), services)}


def healthy(interval_ms=15_000):
    fake = Fake([(CPU, counting(NOW_MS - 890_000, NOW_MS, interval_ms))])
    trace = {"labels": {"trace_id": "a1"}, "value": "1", "timestamp": (NOW_MS - 1000) / 1000}
    fake.exemplars = [{"seriesLabels": CPU, "exemplars": [trace]}]
    return fake


def test_a_server_that_has_all_passes_every_check():
    found = check(source(healthy()), ["payment"])

    assert [one.outcome for one in found] == [Outcome.PASS] * len(found)
    assert {one.name for one in found} == {
        *("metrics", "samples", "metrics of services", "scrape interval", "exemplars")
    }
    assert "Prometheus 3.16.0" in found[0].statement


def test_what_is_missing_is_said_with_what_to_do():
    fake = healthy(interval_ms=120_000)
    fake.exemplars = []
    found = by_name(fake, ["payment", "risk"])

    assert found["metrics of services"].outcome is Outcome.NO_DATA
    assert "none of risk" in found["metrics of services"].statement
    assert found["scrape interval"].outcome is Outcome.NO_DATA
    assert "exemplar-storage" in found["exemplars"].hint
    assert by_name(Fake())["samples"].outcome is Outcome.NO_DATA


@pytest.mark.parametrize(
    ("headers", "build", "words"),
    [
        ({"X-Server-Hostname": "vm"}, {"version": "2.24.0"}, "VictoriaMetrics"),
        ({}, None, "tells no version"),
        ({}, {"application": "Grafana Mimir", "version": "2.17.0"}, "Grafana Mimir 2.17.0"),
    ],
)
def test_compatible_servers_are_told_apart(headers, build, words):
    fake = healthy()
    whole = {"status": "success", "data": {"resultType": "vector", "result": []}}
    fake.instead = {
        "query": lambda: answer(whole, **headers),
        "status/buildinfo": lambda: (
            answer({"status": "success", "data": build}) if build else answer("no", 404)
        ),
    }

    assert words in by_name(fake)["metrics"].statement


@pytest.mark.parametrize(
    ("date", "outcome", "words"),
    [
        ("Wed, 25 Nov 2026 14:04:15 GMT", Outcome.PASS, "agrees"),
        ("Wed, 25 Nov 2026 14:09:15 GMT", Outcome.FAIL, "ahead"),
        ("Wed, 25 Nov 2026 13:59:15 GMT", Outcome.FAIL, "behind"),
        ("yesterday", None, ""),
    ],
)
def test_a_clock_that_is_wrong_is_told(date, outcome, words):
    fake = healthy()
    empty = {"status": "success", "data": {"resultType": "vector", "result": []}}
    fake.instead = {"query": lambda: answer(empty, Date=date)}

    found = by_name(fake).get("clock of metrics")

    assert (found and found.outcome) is outcome
    assert not found or words in found.statement


def test_a_server_that_is_gone_fails_the_check_and_raises_nothing():
    fake = Fake()

    def gone():
        raise httpx2.ConnectError("refused")

    fake.instead = {"*": gone}
    found = check(source(fake))

    assert [(one.name, one.outcome) for one in found] == [("metrics", Outcome.FAIL)]


def test_what_was_found_before_the_server_failed_is_kept():
    fake = healthy()
    fake.instead = {"query_exemplars": lambda: answer("no", 404)}
    found = check(source(fake))

    assert [one.outcome for one in found] == [Outcome.PASS] * 3 + [Outcome.FAIL]


def test_rows_are_what_a_diagnosis_reads():
    from opslib.diagnosis.series import series_of

    fake = Fake([(REQUESTS, counting(NOW_MS - 9000, NOW_MS)), (CPU, counting(NOW_MS - 9000, NOW_MS))])
    frame = source(fake).metrics(window(NOW_MS - 9000, NOW_MS)).frame

    found = {(one.name, one.service, one.pod): len(one.time) for one in series_of(pd.concat([frame]))}

    assert found == {
        ("istio_requests_total", "payment", "p1"): 8,
        ("process_cpu_utilization", "payment", "p1"): 9,
    }
