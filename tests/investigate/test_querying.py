"""A look at logs asks for what was said and nothing more; a trace is found by whatever leads to one."""

import dataclasses
from types import SimpleNamespace

import pandas as pd
import pytest

from opslib.core.columns import COLUMNS
from opslib.core.errors import ServiceNotFoundError, SourceError, UsageError
from opslib.core.evidence import SourceNote
from opslib.core.settings import Settings
from opslib.core.windows import Window
from opslib.investigate import follow_trace, query_logs
from opslib.telemetry.collect import empty_frame
from opslib.telemetry.fetched import FetchedTraces
from opslib.telemetry.protocols import Frame
from opslib.testing import ManualClock

NOTE = SourceNote("log", "made", "", "", 0)


@pytest.fixture
def look(capture_folder):
    def ask(service="payment", **asked):
        return query_logs(service, capture=capture_folder, clock=ManualClock(), **asked)

    return ask


def with_sources(found, **sources):
    question = dataclasses.replace(
        found.question, sources=dataclasses.replace(found.question.sources, **sources)
    )
    return dataclasses.replace(found, question=question)


def test_records_rates_and_patterns_are_those_of_the_captures_windows(look):
    found = look()

    assert found.records["body"].tolist() == [f"paid {t}" for t in range(20, 40)]
    assert found.step_s == 1
    assert found.rates.groupby("window")["count"].sum().to_dict() == {"baseline": 20, "incident": 20}
    assert found.patterns[["pattern", "count_incident", "count_baseline"]].to_numpy().tolist() == [
        ["paid <n>", 20, 20]
    ]


def test_records_are_narrowed_by_trace_text_level_and_pod(look, rows):
    assert look(trace_id=rows[4 * 25]["trace_id"], window="").records["body"].tolist() == ["paid 25"]
    assert look(text="paid 31").records["body"].tolist() == ["paid 31"]
    assert look(level="error").records.empty
    assert len(look(level="INFO").records) == 20
    assert look(pod="payment-9").records.empty
    few = look(limit=4)
    assert len(few.records) == 4
    assert few.notes[0].truncated
    assert few.rates["count"].sum() == 40, "rates tell of all records"


@pytest.mark.parametrize(
    ("text", "count"), [("paid <n>", 20), ("paid <n> twice", 0), ("<n>", 20), ("unpaid <n>", 0)]
)
def test_a_text_may_be_a_pattern_as_the_table_writes_it(look, text, count):
    assert len(look(text=text).records) == count


def test_a_trace_is_looked_at_in_its_surroundings(look, made, rows):
    found = look(trace_id=rows[4 * 30]["trace_id"].upper())

    incident = found.windows.incident
    assert made.T0 + 30 * made.S in incident
    assert 300 <= incident.length_ns / made.S < 302
    assert found.windows.baseline == incident.before()


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"level": "LOUD"}, "no level 'LOUD'"), ({"limit": 0}, "a limit of 0"), ({"limit": 9999}, "a limit of"),
     ({"trace_id": "xyz"}, "no trace id"), ({"trace_id": "ab" * 20}, "no trace id")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(look, asked, words):
    with pytest.raises(UsageError, match=words):
        look(**asked)


def test_an_unknown_service_gets_near_names(look):
    with pytest.raises(ServiceNotFoundError) as raised:
        look("paymnt")
    assert "payment" in raised.value.hint
    assert look("front").records.empty, "a service that does not log is no mistake"


def test_without_a_source_of_logs_it_says_so(tmp_path, capture_folder):
    (tmp_path / "opslib.toml").write_text('[environments.x]\ntraces = {kind = "capture", path = "capture"}\n')

    with pytest.raises(SourceError, match="no source of logs"):
        query_logs(environment="x", settings=Settings(cwd=tmp_path))


def test_without_traces_the_clock_tells_the_window(tmp_path, capture_folder, made):
    (tmp_path / "opslib.toml").write_text('[environments.x]\nlogs = {kind = "capture", path = "capture"}\n')
    clock = ManualClock(made.T0 + 40 * made.S)

    found = query_logs(environment="x", settings=Settings(cwd=tmp_path), clock=clock)
    assert found.windows.incident == Window(made.T0 - 860 * made.S, made.T0 + 40 * made.S)
    assert len(found.records) == 40
    trace = follow_trace(found)
    assert (trace.trace_id, len(trace.logs)) == ("", 0)
    assert "no calls" in trace.how


def test_the_slowest_call_of_the_window_is_followed(look, rows, made):
    trace = follow_trace(look())

    calls = [
        row for row in rows
        if row["kind"] == "SERVER" and row["service_name"] == "payment" and row["start_time_unix_nano"] >= made.T0 + 20 * made.S
    ]  # fmt: skip
    assert len(trace.calls) == len(calls) == 20
    assert trace.how == "the slowest of 20 calls of payment"
    assert trace.trace_id in trace.logs["trace_id"].tolist()
    assert set(trace.spans["trace_id"]) == {trace.trace_id}


def test_what_was_asked_for_leads_before_the_slowest_call(look, rows):
    by_text = follow_trace(look(text="paid 33"))
    assert by_text.trace_id == rows[4 * 33]["trace_id"]
    assert by_text.how == "of the first record with text paid 33 that bears the id of a trace"

    wanted = rows[4 * 7]["trace_id"]
    assert follow_trace(look(text="paid 33", trace_id=wanted)).trace_id == wanted


class Exemplars:
    """A metric source with exemplars of one metric."""

    def __init__(self, name, rows):
        self.name, self.rows = name, rows

    def exemplars(self, name, window, services=None):
        columns = ["time_unix_nano", "service_name", "value", "trace_id"]
        found = [row for row in self.rows if name == self.name and row[0] in window and row[1] in services]
        return Frame(pd.DataFrame(found, columns=columns), NOTE)


def test_exemplars_lead_to_the_slowest_trace_that_was_kept(look, rows, made):
    at = made.T0 + 30 * made.S
    kept = rows[4 * 30]["trace_id"]
    told = [
        (at, "payment", 0.9, "f" * 32),
        (at, "payment", 0.4, kept),
        (at, "payment", 0.1, rows[0]["trace_id"]),
    ]
    found = with_sources(look(), metrics=Exemplars("istio_request_duration_milliseconds", told))

    trace = follow_trace(found)
    assert trace.trace_id == kept
    assert trace.how == "the slowest exemplar of istio_request_duration_milliseconds"
    assert sorted(trace.calls["duration_ns"]) == [100_000, 400_000, 900_000]
    own = with_sources(look(), metrics=Exemplars("mine_seconds", told))
    assert follow_trace(own, metric="mine_seconds").calls["duration_ns"].max() == 900_000_000
    assert follow_trace(own).calls_are == "calls of payment", "no exemplars of the usual metrics"


class Backend:
    """A trace server that finds slow traces; it is never asked for all."""

    def __init__(self, rows):
        self.rows, self.asked = rows, []

    def slowest(self, service, window, n):
        self.asked.append((service, window, n))
        return SimpleNamespace(spans=pd.DataFrame(self.rows), note=NOTE)

    def trace(self, trace_id):
        names = [column.name for column in COLUMNS["spans"]]
        return [tuple(row[name] for name in names) for row in self.rows if row["trace_id"] == trace_id], NOTE


def test_a_server_that_finds_slow_traces_is_not_asked_for_all(look, rows):
    found = look()
    backend = Backend(rows[4 * 22 : 4 * 26])
    trace = follow_trace(with_sources(found, traces=FetchedTraces(backend, ManualClock())))

    assert backend.asked == [("payment", found.windows.incident, 50)]
    assert trace.how == "the slowest of 4 slow calls of payment"
    assert trace.trace_id in {row["trace_id"] for row in backend.rows}
    assert len(trace.spans) == 4


class WithoutIds:
    """A source of logs that bear no trace ids."""

    def __init__(self, logs):
        self.whole = logs

    def logs(self, window, *, services=None, trace_id=None, **narrowed):
        found = self.whole.logs(window, services=services, **narrowed).frame
        return Frame(empty_frame("logs") if trace_id else found.assign(trace_id=None), NOTE)


def test_without_trace_ids_in_logs_the_services_records_of_its_time_stand_in(look):
    found = look()
    trace = follow_trace(with_sources(found, logs=WithoutIds(found.question.sources.logs)))

    assert len(trace.spans)
    assert trace.logs_are == "of its services in its time: none bears the id of the trace"
    within = trace.logs["time_unix_nano"].map(lambda time: time in trace.window)
    assert within.all()


def test_secrets_are_masked_in_all_three_answers(capture_folder, made, rows):
    secret = "password=hunter2hunter2"
    made.write_parquet(capture_folder / "logs.parquet", "logs", [
        {"time_unix_nano": made.T0 + 30 * made.S, "severity_text": "INFO", "body": f"login {secret}",
         "service_name": "payment", "trace_id": rows[4 * 30]["trace_id"]}])  # fmt: skip
    made.write_manifest(capture_folder)
    found = query_logs("payment", capture=capture_folder, clock=ManualClock())
    trace = follow_trace(found)

    shown = "".join(frame.to_json() for frame in (found.records, found.patterns, trace.logs))
    assert "login" in shown
    assert "hunter2" not in shown
