"""A real Jaeger, with either of its storages: what was sent is what is fetched, whatever its limits are."""

import random
import time

import pandas as pd
import pytest
from servers import send_spans

from opslib.core.clock import SystemClock
from opslib.core.errors import SourceError
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import Window, Windows
from opslib.telemetry.fetched import FetchedTraces
from opslib.telemetry.jaeger import backend
from opslib.telemetry.jaeger.checks import check
from opslib.telemetry.jaeger.dialects import Legacy

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
MS, S = 10**6, 10**9
TRACES, LENGTH_NS = 600, 120 * S
KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT"}
TIMES = ("start_time_unix_nano", "end_time_unix_nano")
CHAIN = (("storefront", 2), ("storefront", 3), ("payment", 2), ("payment", 1))


class Sent:
    """Traces that were sent to one server, by the columns of a capture."""

    def __init__(self, server, seed):
        draw = random.Random(seed)
        self.server = server
        self.shop = f"shop{draw.getrandbits(32):08x}"  # names of this run alone: the server may not be ours
        end_ns = time.time_ns() // S * S
        self.window = Window(end_ns - LENGTH_NS, end_ns)
        self.rows, groups = [], []
        for _ in range(TRACES):
            start = draw.randrange(self.window.start_ns, self.window.end_ns - 20 * S) // 1000 * 1000
            groups += self._trace(draw, start, round(draw.lognormvariate(3, 1) * 1000) * 1000)
        send_spans(server["otlp"], groups)

    def _trace(self, draw, start, took):
        trace_id, parent = f"{draw.getrandbits(124):032x}", ""
        for depth, (service, kind) in enumerate(CHAIN):
            span_id, at = f"{draw.getrandbits(60) | 1:016x}", start + depth * MS
            end, name = at + 10 * MS + took - 2 * depth * MS, self.name(service)
            attributes = {"http.route": f"/{len(self.rows) % 3}"}
            self.rows.append(
                (
                    trace_id,
                    span_id,
                    parent or None,
                    KINDS[kind],
                    at,
                    end,
                    "ERROR" if depth == 3 else "UNSET",
                    name,
                )
            )
            yield {
                "resource": {"attributes": _pairs({"service.name": name, "service.version": "v1", "k8s.pod.name": f"{name}-1"})},
                "scopeSpans": [{"spans": [{
                    "traceId": trace_id, "spanId": span_id, "parentSpanId": parent, "name": "POST /", "kind": kind,
                    "startTimeUnixNano": str(at), "endTimeUnixNano": str(end), "attributes": _pairs(attributes),
                    "status": {"code": 2} if depth == 3 else {},
                }]}],
            }  # fmt: skip
            parent = span_id

    def name(self, service):
        return f"{self.shop}-{service}"

    def backend(self, **options):
        environment = Environment(
            "real", services={name: {"traces": self.name(name)} for name in ("storefront", "payment")}
        )
        return backend(
            SourceSettings("jaeger", self.server["url"], options), environment, "real", SystemClock()
        )

    def windows(self):
        middle = (self.window.start_ns + self.window.end_ns) // 2
        return Windows(Window(middle, self.window.end_ns), Window(self.window.start_ns, middle))

    def is_there(self):
        """Whether all can be found; a storage without indices refuses to answer until its first ones are ready."""
        try:
            return len(fetched(self.backend(), self.windows())[0]) == len(self.rows)
        except SourceError:
            return False

    def ours(self, rows):
        return [(*row[:-1], row[-1].removeprefix(f"{self.shop}-")) for row in rows]


def _pairs(attributes):
    return [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]


@pytest.fixture(scope="module", params=["jaeger", "jaeger-elasticsearch"])
def sent(servers, request):
    made = Sent(servers[request.param], seed=time.time_ns())
    deadline = time.monotonic() + 120
    while not made.is_there():
        assert time.monotonic() < deadline, "not all that was sent can be found"
        time.sleep(0.5)
    return made


def fetched(traces, windows):
    """The rows that a fetch writes, sorted, and what it says."""
    frames = []
    said = traces.fetch(windows, frames.append)
    names = ("trace_id", "span_id", "parent_span_id", "kind", *TIMES, "status_code", "service_name")
    rows = [row for frame in frames for row in frame[list(names)].itertuples(index=False, name=None)]
    return sorted(tuple(None if pd.isna(value) else value for value in row) for row in rows), said


def test_what_was_sent_is_what_is_fetched(sent):
    rows, said = fetched(sent.backend(), sent.windows())
    assert rows == sorted(sent.ours(sent.rows))
    assert said.selection == {"incident": "all", "baseline": "all"}
    assert not said.note.truncated


def test_the_older_way_brings_the_same(sent):
    traces = sent.backend()
    traces.dialect = Legacy(traces.http)
    assert fetched(traces, sent.windows())[0] == sorted(sent.ours(sent.rows))


def test_rows_hold_what_the_resource_says(sent):
    frames = []
    sent.backend().fetch(sent.windows(), frames.append)
    for frame in frames:
        assert set(frame["service_version"]) == {"v1"}
        assert set(frame["k8s_pod_name"]) <= {f"{sent.shop}-storefront-1", f"{sent.shop}-payment-1"}
        assert frame["attributes"].str.contains('"http.route":"/').all()


def test_too_many_are_sampled_alike(sent):
    rows, said = fetched(sent.backend(max_traces=150), sent.windows())
    traces = {row[0] for row in rows}
    assert len(rows) == 4 * len(traces)
    assert 50 < len(traces) < 180  # the last round may hold a few more than an average one
    assert said.selection["incident"] == said.selection["baseline"] != "all"


def test_the_slowest_are_the_true_ones(sent):
    longest = {
        row[0]: row[5] - row[4] for row in sent.rows if row[7] == sent.name("payment") and row[3] == "SERVER"
    }
    true = sorted(longest.items(), key=lambda pair: (-pair[1], pair[0]))[:20]
    slowest = sent.backend().slowest("payment", sent.window, 20)
    assert list(slowest.durations.itertuples(index=False, name=None)) == true
    assert slowest.tail.share == 1
    assert len(slowest.spans) == 4 * 20


def test_the_extent_reaches_to_the_newest_span(sent):
    extent = sent.backend().extent()
    assert extent.end_ns > max(row[4] for row in sent.rows)
    assert extent.start_ns <= min(row[4] for row in sent.rows)


def test_a_trace_is_found_by_its_id_in_capitals(sent):
    trace_id = sent.rows[0][0]
    rows, note = sent.backend().trace(trace_id.upper())
    assert sorted(row[1] for row in rows) == sorted(row[1] for row in sent.rows if row[0] == trace_id)
    assert note.rows == 4
    assert sent.backend().trace("f" * 32)[0] == []


def test_attributes_that_are_ignored_are_compared_here(sent):
    answer = sent.backend().matching("payment", sent.window, {"http.route": "/1"}, limit=TRACES)
    wanted = {row[0] for i, row in enumerate(sent.rows) if i % 3 == 1 and row[7] == sent.name("payment")}
    assert set(answer.frame["trace_id"]) == wanted


def test_the_doctor_finds_what_there_is(sent):
    found = {one.name: one for one in check(sent.backend())}
    assert {one.outcome for one in found.values()} == {Outcome.PASS}, found


def test_services_are_those_of_the_window(sent):
    names = sent.backend().services(sent.window)
    assert {"payment", "storefront"} <= set(names)
    before = Window(sent.window.start_ns - 9 * 86_400 * S, sent.window.start_ns - 8 * 86_400 * S)
    assert not {"payment", "storefront"} & set(sent.backend().services(before))


def test_what_was_fetched_is_read_as_a_capture_is(sent):
    blocks = FetchedTraces(sent.backend(), SystemClock()).spans(sent.windows())
    assert sum(len(block) for block in blocks.blocks) == len(sent.rows)
    assert sum(len(block.trace_ids) for block in blocks.blocks) == TRACES
