"""Logs, metrics and changes: what is new or shifted supports a suspect, and opens no case by itself."""

import json

import numpy as np
import pandas as pd
import pytest
from diagnosis_shop import BASELINE, INCIDENT, Fault, S, evidence, shop

from opslib.core.windows import Windows
from opslib.diagnosis import diagnose
from opslib.diagnosis.logpatterns import pattern
from opslib.diagnosis.metrics import metric_clues, metric_shifts
from opslib.diagnosis.series import direction_of, series_of

WINDOWS = Windows(INCIDENT, BASELINE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 12.5 ms for order 7731", "took 3 ms for order 99"),
        ("user 'anna' not found", "user 'bob' not found"),
        ("from 10.0.0.7:8080 refused", "from 192.168.3.14:9 refused"),
        ("span 3f2a9c1d4e5b6a7f lost", "span 00ff00ff00ff00ff lost"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-0000-4000-8000-000000000000"),
        ("a  b\tc", "a b c"),
    ],
)
def test_lines_that_differ_in_what_varies_share_a_pattern(one, other):
    assert pattern(one) == pattern(other)


def test_words_are_kept_and_length_is_bounded():
    assert pattern("database is locked") != pattern("database is closed")
    assert pattern("facade decade") == "facade decade"
    assert len(pattern("x" * 10**6)) <= 2_000


def logs(*rows):
    return pd.DataFrame(rows, columns=["time_unix_nano", "severity_text", "body", "service_name"])


def lines(window, service, body, n, severity="ERROR"):
    step = window.length_ns // max(n, 1)
    return [(window.start_ns + i * step, severity, body.format(i), service) for i in range(n)]


def test_a_new_pattern_supports_the_service_that_logs_it():
    more = logs(*lines(BASELINE, "payment", "paid {}", 80, "INFO"), *lines(INCIDENT, "payment", "paid {}", 80, "INFO"),
                *lines(INCIDENT, "payment", "card declined {}", 30))  # fmt: skip
    data = shop(3, 80, 80, Fault(payment_error=0.4))

    plain = diagnose(evidence(data), "payment").verdict.candidates[0]
    first = diagnose(evidence(data, logs=more), "payment").verdict.candidates[0]

    statements = [f.statement for f in first.evidence if f.signal == "log"]
    assert statements == ["payment logs new (ERROR): card declined <n>"]
    assert first.score > plain.score


def test_a_loud_service_without_part_in_the_calls_is_not_listed():
    more = logs(*lines(INCIDENT, "mailer", "cannot send {}", 5_000))

    found = diagnose(evidence(shop(3, 80, 80, Fault(ledger_ms=200)), logs=more), "payment").verdict

    assert found.candidates[0].service == "ledger"
    assert "mailer" not in {c.service for c in found.candidates}


def test_new_lines_alone_are_no_anomaly():
    more = logs(*lines(INCIDENT, "payment", "something odd {}", 300, "WARN"))

    found = diagnose(evidence(shop(4, 80, 80), logs=more), "payment").verdict

    assert found.verdict == "no_anomaly"
    assert found.candidates[0].evidence[0].signal == "log"


def samples(name, service, before, after, unit="", *, labels=None, pod=None):
    rows = []
    for window, values in ((BASELINE, before), (INCIDENT, after)):
        rows += [
            (window.start_ns + i * 5 * S, name, float(v), unit, service, pod, labels)
            for i, v in enumerate(values)
        ]
    columns = ["time_unix_nano", "name", "value", "unit", "service_name", "k8s_pod_name", "labels"]
    return pd.DataFrame(rows, columns=columns)


def shifts(*frames):
    return metric_shifts(series_of(pd.concat(frames, ignore_index=True)), WINDOWS)


def test_a_gauge_is_compared_with_its_own_baseline():
    (found,) = shifts(samples("cpu_utilisation", "risk", [0.1, 0.12, 0.11] * 4, [0.8] * 12))

    assert (found.before, found.after, found.beyond) == (0.11, 0.8, 1.0)
    (clue,) = metric_clues([found], (), "m")
    assert clue.finding.statement == "risk: cpu_utilisation rose from 0.11 to 0.8"


@pytest.mark.parametrize(
    ("name", "direction"),
    [("http.server.request.duration", 1), ("latency_p99", 1), ("errors", 1), ("kube_pod_container_status_restarts_total", 1),
     ("availability_average", -1), ("PodSuccessRate(%)", -1), ("pool_in_use", 0)],
)  # fmt: skip
def test_the_bad_direction_is_known_by_name(name, direction):
    assert direction_of(name) == direction


def test_what_gets_better_is_no_clue():
    found = shifts(
        samples("latency_p99", "a", [5, 5.1, 5.2] * 4, [1.0] * 12),
        samples("availability", "b", [50, 51, 50] * 4, [100.0] * 12),
    )

    assert metric_clues(found, (), "m") == []


def test_counters_are_rates_and_resets_start_from_zero():
    (one,) = series_of(samples("jobs_total", "a", [10, 20, 3, 13], [], labels="{}"))

    assert one.value.tolist() == [2.0, 0.6, 2.0]


def test_a_histogram_is_its_mean_and_a_sum_without_a_count_is_a_gauge():
    series = list(
        series_of(
            pd.concat(
                [
                    samples("d_sum", "a", [0, 10, 30], [], "s", labels="{}"),
                    samples("d_count", "a", [0, 5, 10], [], labels="{}"),
                    samples("d_bucket", "a", [0, 5, 10], [], labels='{"le":"1"}'),
                    samples("requests_sum", "a", [100, 90, 80], []),
                    samples("d_sum", "b", [7, 8, 9], [], labels="{}"),
                ],
                ignore_index=True,
            )
        )
    )

    assert {(s.name, s.service): s.value.tolist() for s in series} == {
        ("d", "a"): [2.0, 4.0],
        ("requests_sum", "a"): [100.0, 90.0, 80.0],
        ("d_sum", "b"): [7.0, 8.0, 9.0],
    }


def test_few_samples_say_little():
    few, many = (
        metric_clues(shifts(samples("latency", "a", [1, 1.1] * k, [9.0] * k)), (), "m")[0].strength
        for k in (1, 10)
    )

    assert few < many / 3


def test_a_rollout_near_the_start_is_evidence_and_an_old_one_is_not():
    def event(minutes, name):
        return {
            "time_unix_nano": INCIDENT.start_ns - int(minutes * 60 * S), "type": "Change", "reason": "Rollout",
            "message": "image", "kind": "Deployment", "name": name, "namespace": "shop",
            "attributes": json.dumps({"from": "v1", "to": "v2"}),
        }  # fmt: skip

    events = pd.DataFrame([event(0.1, "risk"), event(30, "payment"), event(0.1, "stranger")])
    found = diagnose(evidence(shop(5, 80, 80, Fault(risk_ms=50)), events=events), "payment").verdict

    signals = {c.service: [f.signal for f in c.evidence] for c in found.candidates}
    assert "event" not in signals.get("payment", []) + signals.get("stranger", [])
    (change,) = [f for f in found.candidates[0].evidence if f.signal == "event"]
    assert change.statement == "Rollout of risk 6 s before the incident: image (v1 -> v2)"


def test_a_release_that_was_taken_back_before_the_incident_is_no_evidence():
    def rollout(seconds, before, after, name="risk"):
        return {
            "time_unix_nano": INCIDENT.start_ns + int(seconds * S), "type": "Change", "reason": "Rollout",
            "message": f"to {after}", "kind": "Deployment", "name": name, "namespace": "shop",
            "attributes": json.dumps({"from": before, "to": after}),
        }  # fmt: skip

    def told(*events):
        found = diagnose(evidence(shop(5, 80, 80, Fault(risk_ms=50)), events=pd.DataFrame(events)), "payment")
        return [f.statement for c in found.verdict.candidates for f in c.evidence if f.signal == "event"]

    assert told(rollout(-9, "v1", "v2"), rollout(-3, "v2", "v1")) == []
    assert told(rollout(-3, "v2", "v1"), rollout(-9, "v1", "v2"), rollout(-6, "v2", "v3")) == []
    assert len(told(rollout(-9, "v1", "v2"), rollout(-3, "v2", "v1"), rollout(-1, "v1", "v2"))) == 1
    assert len(told(rollout(-9, "v1", "v2"), rollout(1, "v2", "v1"))) == 2, (
        "it was there when the incident began"
    )
    assert len(told(rollout(-9, "v1", "v2"), rollout(-3, "v2", "v3"))) == 2
    assert len(told(rollout(-9, "v1", "v2"), rollout(-3, "v2", "v1", name="payment"))) == 2


def test_normal_events_are_no_evidence():
    events = pd.DataFrame(
        [{"time_unix_nano": INCIDENT.start_ns, "type": "Normal", "reason": "Pulled", "message": None, "kind": "Pod",
          "name": "risk", "namespace": "shop", "attributes": None}]
    )  # fmt: skip

    found = diagnose(evidence(shop(5, 40, 40), events=events), "payment").verdict

    assert all(f.signal != "event" for c in found.candidates for f in c.evidence)
    assert np.isfinite(found.budget.total.delta_ns)
