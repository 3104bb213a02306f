"""Without traces: metrics on the call graph, and the public incidents where they are present."""

import pandas as pd
from diagnosis_shop import BASELINE, INCIDENT, S, empty, evidence, shop

from opslib.diagnosis import diagnose

GRAPH = pd.DataFrame(
    [("site", "search"), ("search", "table"), ("site", "mail"), ("mail", "queue")],
    columns=["caller", "callee"],
)
STEADY = {"site": (0.1, 100.0, 700), "search": (0.02, 100.0, 1_100), "table": (0.01, 100.0, 1_200),
          "mail": (0.4, 100.0, 10), "queue": (0.3, 100.0, 10)}  # fmt: skip


def metrics(**incident):
    """Latency in s, availability in %, requests per sample; 40 samples before, 5 after; `incident` replaces a service's."""
    rows = []
    for window, n, values in ((BASELINE, 40, STEADY), (INCIDENT, 5, {**STEADY, **incident})):
        for i in range(n):
            time = window.start_ns + i * S
            for service, (latency, success, requests) in values.items():
                wobble = 1 + 0.01 * ((i * 7 + len(service)) % 5 - 2)
                rows += [
                    (time, "latency_average", latency * wobble, "s", service),
                    (time, "availability_average", success, None, service),
                    (time, "requests_sum", requests * wobble, None, service),
                ]
    return pd.DataFrame(rows, columns=["time_unix_nano", "name", "value", "unit", "service_name"])


def verdict(frame):
    return diagnose(evidence(shop(1, 0, 0), metrics=frame, topology=GRAPH), "site").verdict


def test_steady_metrics_are_no_anomaly():
    assert verdict(metrics()).verdict == "no_anomaly"


def test_latency_is_charged_to_where_it_is_added():
    found = verdict(metrics(site=(0.2, 100.0, 700), search=(0.085, 100.0, 1_100), table=(0.07, 100.0, 1_200)))

    assert (found.verdict, found.candidates[0].service) == ("service", "table")
    assert found.candidates[0].evidence[0].statement == "table: latency_average rose from 10 ms to 70 ms"


def test_failures_are_charged_to_where_they_begin():
    found = verdict(metrics(site=(0.1, 98.4, 700), search=(0.02, 99.0, 1_100)))

    assert found.candidates[0].service == "search"
    assert "fell from 100 to 99 %" in found.candidates[0].evidence[0].statement


def test_what_the_service_did_not_lose_it_did_not_wait_for():
    found = verdict(
        metrics(
            site=(0.13, 100.0, 700),
            search=(0.04, 100.0, 1_100),
            mail=(9.0, 100.0, 10),
            queue=(8.9, 100.0, 10),
        )
    )

    assert found.candidates[0].service == "search"


def test_without_traces_and_metrics_it_is_undetermined():
    found = diagnose(evidence(shop(1, 0, 0), metrics=empty("metrics"), topology=GRAPH), "site").verdict

    assert found.verdict == "undetermined"
