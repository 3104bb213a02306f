"""What doctor says of a log server: what is there, and what is lost by what is not."""

import pytest

from opslib.core.outcome import Outcome
from opslib.core.settings import SourceSettings
from opslib.core.windows import NS_PER_S, rfc3339
from opslib.telemetry import elasticsearch
from opslib.telemetry.elasticsearch.checks import check
from tests.telemetry.elastic import ECS, Clock, FakeElastic, environment, logs_of

NOW = Clock().now_ns()


def documents(age_s=60, **more):
    return [
        {
            "@timestamp": rfc3339(NOW - (age_s + k) * NS_PER_S),
            "message": f"paid {k}",
            "service": {"name": "payment"},
            **more,
        }
        for k in range(10)
    ]


def checked(fake, services=("payment",)):
    return {one.name: one for one in check(logs_of(fake), services, Clock())}


def test_all_is_well():
    found = checked(FakeElastic(documents(trace={"id": "0af7651916cd43dd8448eb211c80319c"})))
    assert {name: (one.outcome, one.statement) for name, one in found.items()} == {
        "logs": (Outcome.PASS, "http://es.example:9200 answers, Elasticsearch 8.19.21"),
        "log server": (Outcome.PASS, "the cluster is green"),
        "log server's clock": (Outcome.PASS, "agrees with ours"),
        "log indices": (Outcome.PASS, "1 indices match filebeat-*"),
        "newest log record": (Outcome.PASS, "is 1 min old"),
        "logs of services": (Outcome.PASS, "1 of 1 services of the map have log records of the last 15 min"),
        "logs with trace ids": (Outcome.PASS, "100 % (10 of 10), drawn from the last 15 min"),
    }


@pytest.mark.parametrize(
    ("changes", "name", "outcome", "statement"),
    [
        ({"status": "red"}, "log server", Outcome.FAIL, "red"),
        ({"status": None}, "log server", Outcome.PASS, "may not ask"),
        ({"ahead_s": 70}, "log server's clock", Outcome.FAIL, "is 1 min 10 s ahead of ours"),
        ({"ahead_s": -70}, "log server's clock", Outcome.FAIL, "behind"),
        ({"mapping": {}}, "log indices", Outcome.NO_DATA, "no index matches"),
        ({"documents": []}, "newest log record", Outcome.NO_DATA, "there is none"),
        ({"documents": documents(7200)}, "newest log record", Outcome.NO_DATA, "2 h"),
        ({"documents": documents(-600)}, "newest log record", Outcome.FAIL, "in our future"),
        ({"documents": documents(7200)}, "logs of services", Outcome.NO_DATA, "none: payment"),
        ({}, "logs with trace ids", Outcome.NO_DATA, "none of 10"),
        ({"opensearch": "3.8.0"}, "logs", Outcome.PASS, "OpenSearch 3.8.0"),
    ],
)
def test_what_is_not_well_is_said(changes, name, outcome, statement):
    fake = FakeElastic(documents())
    for attribute, value in changes.items():
        setattr(fake, attribute, value)
    found = checked(fake)[name]
    assert found.outcome is outcome
    assert statement in found.statement
    assert bool(found.hint) == (outcome is not Outcome.PASS)


def test_conflicts_of_types_are_said():
    found = checked(FakeElastic(documents(), ECS | {"log.level": ("keyword", "text")}))
    assert "disagree on the type of log.level" in found["log indices"].statement


def test_a_server_that_is_not_there_is_one_error():
    settings = SourceSettings("elasticsearch", "http://127.0.0.1:9", {})
    (one,) = elasticsearch.check(settings, environment(), "logs", Clock())
    assert one.outcome is Outcome.ERROR
    assert "cannot connect" in one.statement
