"""A lab that sends to real servers: what those give back is what its capture holds, record by record."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest
from catalogue import ask
from servers import Servers

from opslib import lab
from opslib.core.settings import Environment, Settings, load_environment

sys.path.insert(0, str(Path(__file__).parents[2] / "lab"))

from lab_spans import table

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]  # they may be built first
PROMETHEUS = ("prometheus-2", "prometheus-3")
SPANS = 1_500
S = 1_000_000_000


@dataclass(frozen=True)
class Ended:
    """A lab that has run for a while and is down; `end_ns` is when it had some seconds left."""

    state: Path
    environment: Environment
    end_ns: int
    urls: Mapping[str, str]

    def rows(self, signal: str) -> pd.DataFrame:
        found = table(self.state, signal).astype(object)
        return found.where(found.notna(), None)


def until(condition: Callable[[], Any], within_s: float = 120) -> Any:
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def ended(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("servers")
    names = ("jaeger", *PROMETHEUS, "elasticsearch", "rsyslog")
    said = {name: dict(servers[name]) for name in names}
    said["prometheus-3"]["scrape"] = str(servers.state / "scrape")  # all of them look there
    (folder / "servers.json").write_text(json.dumps(said))
    state = folder / "lab"
    lab.up(state, servers=folder / "servers.json")
    try:
        until(lambda: len(table(state, "spans")) > SPANS)
        environment = load_environment("lab-servers", Settings(state, lab_state=state))
        end_ns = time.time_ns()
        until(lambda: table(state, "metrics").time_unix_nano.max() > end_ns + 4 * S)
    finally:
        lab.down(state)
    return Ended(state, environment, end_ns, {name: one["url"] for name, one in said.items() if "url" in one})


def test_jaeger_has_the_spans_of_the_capture(ended: Ended) -> None:
    spans = ended.rows("spans")
    first, last = int(spans.start_time_unix_nano.min()), int(spans.start_time_unix_nano.max())
    found: dict[str, tuple] = {}
    for start_ns in range(first // S * S, last + S, S):  # so that no limit is met
        query = {
            "service": "storefront",
            "limit": 1_500,
            "start": start_ns // 1000,
            "end": (start_ns + S) // 1000,
        }
        for trace in ask(f"{ended.environment.traces.url}/api/traces?{urlencode(query)}")["data"]:
            services = {key: process["serviceName"] for key, process in trace["processes"].items()}
            for span in trace["spans"]:
                what = (
                    trace["traceID"],
                    services[span["processID"]],
                    span["operationName"],
                    span["startTime"],
                )
                found[span["spanID"]] = what
    kept = {
        row.span_id: (row.trace_id, row.service_name, row.name, row.start_time_unix_nano // 1000)
        for row in spans.itertuples()
    }

    assert len(kept) > SPANS
    assert found == kept


def series(labels: dict[str, str]) -> tuple:
    """A series without what the scrape adds: name, service, pod, labels."""
    own = {name: text for name, text in labels.items() if name not in {"job", "instance"}}
    name, service, pod = (own.pop(key, None) for key in ("__name__", "service_name", "k8s_pod_name"))
    if "le" in own:  # Prometheus 3 writes 10 as 10.0
        own["le"] = own["le"].removesuffix(".0")
    return name, service, pod, tuple(sorted(own.items()))


@pytest.mark.parametrize("name", PROMETHEUS)
def test_prometheus_has_the_samples_of_the_capture(ended: Ended, name: str) -> None:
    plain = (lambda text: text.replace(".", "_")) if name == "prometheus-2" else str
    rows = ended.rows("metrics")
    rows = rows[rows.time_unix_nano < ended.end_ns]
    kept = Counter(
        (
            plain(row.name), row.service_name, row.k8s_pod_name,
            tuple(sorted((plain(k), v) for k, v in json.loads(row.labels or "{}").items())),
            row.time_unix_nano // 1_000_000, row.value,
        )
        for row in rows.itertuples()
    )  # fmt: skip
    seconds = (ended.end_ns - int(rows.time_unix_nano.min())) // S + 2
    query = {
        "query": f'{{job="opslib-lab",service_name!=""}}[{seconds}s]',
        "time": f"{ended.end_ns / 1e9:.3f}",
    }
    found = Counter(
        (*series(one["metric"]), round(at * 1000), float(value))
        for one in ask(f"{ended.urls[name]}/api/v1/query?{urlencode(query)}")["data"]["result"]
        for at, value in one["values"]
    )

    assert not found - kept, "nothing is made up"
    assert found.total() >= 0.9 * kept.total(), (
        "but for what came and went between two scrapes of a busy machine"
    )
    assert {key[:4] for key in found} == {key[:4] for key in kept}


@pytest.mark.parametrize("name", PROMETHEUS)
def test_exemplars_lead_to_traces(ended: Ended, name: str) -> None:
    selector = (
        "http_server_request_duration_bucket"
        if name == "prometheus-2"
        else '{"http.server.request.duration_bucket"}'
    )
    query = {"query": selector, "start": ended.end_ns / 1e9 - 600, "end": ended.end_ns / 1e9}
    found = ask(f"{ended.urls[name]}/api/v1/query_exemplars?{urlencode(query)}")["data"]
    traces = {exemplar["labels"]["trace_id"] for one in found for exemplar in one["exemplars"]}

    assert len(traces & set(ended.rows("spans").trace_id)) > 10
    assert {one["seriesLabels"]["service_name"] for one in found} == set(ended.environment.services)


def test_elasticsearch_has_the_log_records_and_they_lead_to_traces(ended: Ended) -> None:
    logs = ended.rows("logs")
    pods = sorted(set(logs.k8s_pod_name))
    search = {"size": 10_000, "track_total_hits": True, "query": {"terms": {"kubernetes.pod.name": pods}}}
    url = f"{ended.environment.logs.url}/{ended.environment.logs.options['index']}/_search"

    def shipped() -> list[dict[str, Any]] | None:
        hits = ask(url, json.dumps(search))["hits"]
        return [hit["_source"] for hit in hits["hits"]] if hits["total"]["value"] >= len(logs) else None

    found = Counter(
        (
            document["@timestamp"][:23], document["log"]["level"], document["message"],
            document["service"]["name"], document["kubernetes"]["pod"]["name"],
            document["trace"]["id"], document["span"]["id"],
        )
        for document in until(shipped)
    )  # fmt: skip
    kept = Counter(
        (
            pd.Timestamp(row.time_unix_nano // 1_000_000, unit="ms").isoformat(timespec="milliseconds"),
            row.severity_text, row.body, row.service_name, row.k8s_pod_name, row.trace_id, row.span_id,
        )
        for row in logs.itertuples()
    )  # fmt: skip

    assert len(kept) > 100
    assert found == kept
    for trace_id in [key[5] for key in found][:5]:
        (trace,) = ask(f"{ended.environment.traces.url}/api/traces/{trace_id}")["data"]
        assert len(trace["spans"]) > 1
