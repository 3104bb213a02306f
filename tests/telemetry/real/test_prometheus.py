"""Metrics from real Prometheus servers: rows are what was sent to them, whichever of the two versions holds them."""

import json
import math
import random
import struct
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from opslib.core.clock import SystemClock
from opslib.core.errors import SourceError
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import Window
from opslib.telemetry.prometheus import connect, increase, quantile
from opslib.telemetry.prometheus.answers import query
from opslib.telemetry.prometheus.checks import check
from tests.telemetry.real.remote_write import Native, Sent, remote_write

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]  # a server may be built first
BOTH = pytest.mark.parametrize("server", ["prometheus-2", "prometheus-3"])
THIRD = pytest.mark.parametrize("server", ["prometheus-3"])
MS = 1_000_000
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
QS = (0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@pytest.fixture
def name():
    """A metric's name of this test alone: the servers are shared."""
    return f"test_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def begin():
    """A time in ms, some minutes ago."""
    return time.time_ns() // MS - 600_000


@pytest.fixture
def source(servers):
    """What asks a server, and lets go of it in the end."""
    connected = []

    def connected_to(server, services=None):
        settings = SourceSettings("prometheus", servers[server]["url"])
        environment = Environment("test", services=services or {})
        connected.append(connect(settings, environment, "test, metrics", SystemClock()))
        return connected[-1]

    yield connected_to
    for metrics in connected:
        metrics.http.close()


def until(answer, within_s=30.0):
    end_s = time.monotonic() + within_s
    while not (found := answer()):
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.2)
    return found


def told(frame):
    return list(zip(frame["time_unix_nano"] // MS, frame["value"], strict=True))


@BOTH
def test_every_sample_of_the_window_comes_once(servers, source, server, name, begin):
    samples = [(begin + 1000 * n, float(n)) for n in range(300)]
    odd = [(begin, 1.0), (begin + 1, math.inf), (begin + 2, math.nan), (begin + 3, 0.1), (begin + 4, STALE)]
    remote_write(servers[server]["url"], [
        Sent({"__name__": f"{name}_total", "app": "payment", "pod": "p1"}, samples),
        Sent({"__name__": f"{name}_odd", "app": "payment", "pod": "p1"}, odd),
    ])  # fmt: skip
    window = Window(begin * MS, (begin + 299_000) * MS)

    metrics = source(server)
    counter = metrics.metrics(window, names=[f"{name}_total"])
    gauge = metrics.metrics(window, names=[f"{name}_odd"])

    assert told(counter.frame) == samples[:-1]
    assert told(gauge.frame) == [(begin, 1.0), (begin + 1, math.inf), (begin + 3, 0.1)]
    assert set(counter.frame["service_name"]) == {"payment"}
    assert set(counter.frame["k8s_pod_name"]) == {"p1"}
    assert (counter.note.truncated, counter.note.warnings) == (False, ())


@BOTH
def test_increases_are_what_was_counted(servers, source, server, name, begin):
    def sent(kind, samples):
        labels = {"__name__": f"{name}_total", "app": "payment", "pod": "p1", "kind": kind}
        return Sent(labels, [(begin + 15_000 * n, float(v)) for n, v in samples])

    remote_write(servers[server]["url"], [
        sent("old", enumerate([1000, 1001, 1003, 1003])),
        sent("restarted", enumerate([50, 51, 2, 3])),
        sent("new", [(2, 4), (3, 9)]),
    ])  # fmt: skip

    frame = source(server).metrics(Window(begin * MS, (begin + 60_000) * MS), names=[f"{name}_total"]).frame
    totals = increase(frame).groupby("labels")["value"].sum()

    assert {json.loads(text)["kind"]: value for text, value in totals.items()} == {
        "old": 3,
        "restarted": 4,
        "new": 9,
    }


@BOTH
def test_quantiles_of_classic_histograms_are_the_servers(servers, source, server, name, begin):
    draw, sent = random.Random(1), []
    for case in range(25):
        bounds = [-1.0, *sorted({round(draw.uniform(0.001, 10), 3) for _ in range(6)}), math.inf][case % 2 :]
        count = 0.0
        for bound in bounds:
            count += draw.choice([0, 0, 1, 3, 17])
            labels = {
                "__name__": f"{name}_bucket",
                "app": str(case),
                "le": "+Inf" if bound == math.inf else str(bound),
            }
            sent.append(Sent(labels, [(begin, count)]))
    remote_write(servers[server]["url"], sent)

    compare(source(server), f"{name}_bucket", f"{name}_bucket", begin, cases=25, native=False)


@THIRD
def test_quantiles_of_native_histograms_are_the_servers(servers, source, server, name, begin):
    draw, sent = random.Random(2), []
    for case in range(30):
        positive = {draw.randint(-9, 20): draw.randint(1, 9) for _ in range(case % 7)}
        negative = {draw.randint(-9, 20): draw.randint(1, 9) for _ in range(case % 3)}
        native = Native(case % 5 - 1, 1.5, positive, negative, zero=case % 4, zero_threshold=1e-7)
        sent.append(Sent({"__name__": name, "app": str(case)}, (), [(begin, native)]))
    remote_write(servers[server]["url"], sent)

    compare(source(server), name, f"{name}_bucket", begin, cases=30, native=True)


def compare(metrics, expr, buckets_name, at_ms, *, cases, native):
    at_ns = at_ms * MS
    frame = metrics.metrics(Window(at_ns, at_ns + MS), names=[buckets_name]).frame
    buckets = {
        service: [(float(json.loads(row.labels)["le"]), row.value) for row in rows.itertuples(index=False)]
        for service, rows in frame.groupby("service_name")
    }
    assert len(buckets) == cases
    for q in QS:
        theirs = metrics.instant(f"histogram_quantile({q}, {expr})", at_ns).frame
        said = dict(zip(theirs["service_name"], theirs["value"], strict=True))
        ours = {case: quantile(q, of, native=native) for case, of in buckets.items()}
        assert {case: value for case, value in ours.items() if not math.isnan(value)} == pytest.approx(
            said, rel=1e-9
        ), q


@BOTH
def test_native_histograms_come_as_rows_of_classic_ones(servers, source, server, name, begin):
    labels = {"__name__": name, "app": "payment"}
    histograms = [
        (begin, Native(0, 9.0, {1: 2, 3: 1})),
        (begin + 1000, Native(0, 19.0, {1: 2, 2: 4, 3: 1})),
    ]
    remote_write(servers[server]["url"], [Sent(labels, (), histograms)])

    frame = (
        source(server)
        .metrics(Window(begin * MS, (begin + 2000) * MS), names=[f"{name}_bucket", f"{name}_count"])
        .frame
    )

    last = frame[frame["time_unix_nano"] == (begin + 1000) * MS]
    assert [json.loads(text).get("le") if isinstance(text, str) else None for text in last["labels"]] == [
        "+Inf",
        "1",
        "2",
        "4",
        "8",
        None,
    ]
    assert list(last["value"]) == [7, 0, 2, 6, 7, 7]
    first = frame[frame["time_unix_nano"] == begin * MS]
    assert list(first["value"]) == [3, 0, 2, 2, 3, 3]


@BOTH
def test_a_range_longer_than_the_server_takes_comes_whole(source, server, begin):
    metrics = source(server)
    window = Window(begin * MS, (begin + 25_000) * MS)

    frame = metrics.range_query("vector(time())", window, 0.001).frame

    assert list(frame["time_unix_nano"]) == [(begin + n) * MS for n in range(25_000)]
    one = {"query": "vector(1)", "start": "1", "step": "1"}
    assert len(query(metrics.http, "query_range", {**one, "end": "11001"}).data[0].points) == 11_001
    with pytest.raises(SourceError, match="maximum resolution of 11,000 points"):
        query(metrics.http, "query_range", {**one, "end": "11002"})


@BOTH
def test_exemplars_lead_to_traces(servers, source, server, name, begin):
    trace = uuid.uuid4().hex
    labels = {"__name__": f"{name}_bucket", "app": "payment", "le": "+Inf"}
    remote_write(servers[server]["url"], [
        Sent(labels, [(begin, 1.0)], exemplars=[(begin, 0.75, {"trace_id": trace, "span_id": "a1"})]),
    ])  # fmt: skip

    frame = source(server).exemplars(name, Window(begin * MS, (begin + 1000) * MS)).frame

    assert frame.to_numpy().tolist() == [[begin * MS, "payment", 0.75, trace]]


@BOTH
def test_the_server_tells_what_is_wrong_with_a_query(source, server):
    with pytest.raises(SourceError, match="unclosed left parenthesis"):
        source(server).instant("sum(")
    with pytest.raises(SourceError, match=r"found duplicate series|many-to-many"):
        source(server).instant(
            'label_replace(vector(1), "a", "1", "", "") + on() (vector(1) or label_replace(vector(1), "b", "2", "", ""))'
        )


PAGE = """# HELP {quoted} in s
# TYPE {quoted} histogram
{open}le="1",{labels}}} 3 {ms}
{open}le="2.5",{labels}}} 4 {ms}
{open}le="+Inf",{labels}}} 5 {ms}
"""


@pytest.fixture
def page(begin):
    """A page of one histogram with dots in its name, for those who know no such names with underscores."""
    labels = 'service_name="payment",k8s_pod_name="payment-1",job_id="7"'

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            utf8 = "allow-utf-8" in self.headers.get("Accept", "")
            name = "page.duration" if utf8 else "page_duration"
            opened = f'{{"{name}_bucket",' if utf8 else f"{name}_bucket{{"
            text = PAGE.format(quoted=f'"{name}"' if utf8 else name, open=opened, labels=labels, ms=begin)
            kind = "text/plain; version=1.0.0; escaping=allow-utf-8" if utf8 else "text/plain; version=0.0.4"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@BOTH
def test_rows_are_what_a_page_said_with_the_names_that_were_asked(servers, source, server, page, begin):
    metrics, window = source(server), Window(begin * MS, (begin + 1) * MS)
    assert servers[server]  # started before it is told whom to scrape
    servers.scrape(f"page-{uuid.uuid4().hex[:8]}", page)

    def rows():
        frame = metrics.metrics(window, names=["page.duration_bucket"]).frame
        return [(*row[1:6], json.loads(row[6])) for row in frame.itertuples(index=False)]

    assert until(rows) == [
        ("page.duration_bucket", value, "s", "payment", "payment-1", {"job_id": "7", "le": le})
        for le, value in (("+Inf", 5), ("1", 3), ("2.5", 4))
    ]


@THIRD
def test_a_label_with_dots_may_name_a_service(servers, source, server, name, begin):
    label = f"of.{name}"
    services = {"payment": {"metrics": {"label": label, "value": "pay.api"}}}
    remote_write(servers[server]["url"], [
        Sent({"__name__": "process.cpu.utilization", label: "pay.api"}, [(begin, 0.5)]),
    ])  # fmt: skip

    frame = source(server, services).metrics(Window(begin * MS, (begin + 1) * MS), services=["payment"]).frame

    assert list(frame["value"]) == [0.5]


@BOTH
def test_a_server_with_data_passes_its_checks(servers, source, server, name):
    now = time.time_ns() // MS
    labels = {"__name__": "http_server_request_duration_bucket", "app": name, "le": "+Inf"}
    samples = [(now - 20_000 + 1000 * n, float(n)) for n in range(20)]
    exemplars = [(now - 1000, 0.5, {"trace_id": uuid.uuid4().hex})]
    remote_write(servers[server]["url"], [Sent(labels, samples, exemplars=exemplars)])

    found = check(source(server), [name])

    assert [one.outcome for one in found] == [Outcome.PASS] * 6, found
    assert ("2.42" if server == "prometheus-2" else "3.16") in found[0].statement
