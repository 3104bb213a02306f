"""Investigations of made-up traffic: storefront -> order -> payment -> risk, and payment -> ledger, broken as asked."""

import dataclasses
import json
import random
from dataclasses import dataclass
from types import SimpleNamespace

import pandas as pd
import pytest

from opslib.core.blocks import blocks_from_frame
from opslib.core.columns import COLUMNS
from opslib.core.evidence import Evidence, SourceNote
from opslib.core.model import Onset, Verdict
from opslib.core.settings import Environment
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.diagnosis import Diagnosis, diagnose, explain_trace
from opslib.telemetry.capture import CaptureWriter

START = 1_769_828_400 * NS_PER_S  # 2026-01-31T03:00:00Z
MS = 1_000_000


@dataclass(frozen=True)
class MadeInvestigation:
    """What figures ask of an investigation, without any source behind it."""

    service: str
    verdict: Verdict
    diagnosis: Diagnosis
    evidence: Evidence
    spans: pd.DataFrame
    logs: pd.DataFrame
    environment: Environment = Environment("lab")  # noqa: RUF009 - frozen
    window_choice: str = "as made"
    capture: object = None
    sources: object = dataclasses.field(default_factory=lambda: SimpleNamespace(traces=None))

    def trace(self, trace_id):
        return explain_trace(self.spans[self.spans["trace_id"] == trace_id])

    def logs_of(self, trace_id):
        return self.logs[self.logs["trace_id"] == trace_id]

    def slow_and_normal(self):
        def pick(window, share):
            calls = self.diagnosis.calls
            rows = calls[calls["window"] == window].sort_values(["duration_ns", "trace_id"])
            return rows["trace_id"].iloc[int(share * (len(rows) - 1))] if len(rows) else None

        return pick("incident", 0.9), pick("baseline", 0.5)


def peer(name):
    return json.dumps({"peer.service": name})


class Traffic:
    """Spans of payment calls, one trace after another."""

    def __init__(self, seed, names):
        self.draw = random.Random(seed)
        self.names = names
        self.spans = []
        self.logs = []

    def span(self, trace, parent, who, kind, times, *, attributes=None, error=False, version=None):
        (service, name), (start, end) = who, times
        span = f"{len(self.spans) + 1:016x}"
        row = (
            trace,
            span,
            parent,
            name,
            kind,
            start,
            end,
            "ERROR" if error else "OK",
            service,
            attributes,
            version,
        )
        self.spans.append(row)
        return span

    def call(self, start, fault):
        names, draw = self.names, self.draw
        trace = f"{len(self.spans) + 7:032x}"
        ms = lambda low, high: round(draw.uniform(low, high) * MS)  # noqa: E731
        wire = ms(280, 420) if fault == "edge" else ms(0.3, 0.8)
        work = ms(180, 300) if fault == "risk" else ms(6, 14)
        lock = ms(120, 500) if fault == "ledger" and draw.random() < 0.6 else ms(1, 4)
        failed = fault == "errors" and draw.random() < 0.4
        version = "2" if fault == "release" and draw.random() < 0.5 else "1"
        work += ms(200, 300) if version == "2" else 0
        t0 = start + ms(2, 5)
        t1 = t0 + ms(1, 2)
        t2 = t1 + ms(1, 3)
        risk_end = t2 + wire + work
        t3 = risk_end + ms(1, 2)
        ledger_end = t3 + lock
        t4 = ledger_end + ms(1, 2)
        shop, payment, risk, ledger = (names[n] for n in ("storefront", "payment", "risk", "ledger"))
        ends = t4 + ms(5, 9)
        root = self.span(trace, None, (shop, "POST /checkout"), "SERVER", (start, ends), error=failed)
        out = self.span(
            trace,
            root,
            (shop, f"POST {payment}"),
            "CLIENT",
            (t0, t4 + MS),
            attributes=peer(payment),
            error=failed,
        )
        pay = self.span(trace, out, (payment, names["operation"]), "SERVER", (t1, t4), error=failed)
        ask = self.span(
            trace, pay, (payment, f"POST {risk}"), "CLIENT", (t2, risk_end), attributes=peer(risk)
        )
        scored = (t2 + wire // 2, t2 + wire // 2 + work)
        self.span(trace, ask, (risk, "POST /score"), "SERVER", scored, version=version)
        database = json.dumps({"db.namespace": ledger, "db.system.name": "sqlite"})
        self.span(trace, pay, (payment, "INSERT payments"), "CLIENT", (t3, ledger_end), attributes=database)
        self.logs.append((t3, "ERROR" if failed else "INFO", names["log"], names["payment"], trace, pay))


NAMES = {
    "storefront": "storefront",
    "payment": "payment",
    "risk": "risk",
    "ledger": "ledger",
    "operation": "POST /payments",
    "log": "charged card in 12 ms",
}


def make(
    fault="edge",
    *,
    seed=1,
    seconds=60,
    rate=8,
    names=None,
    events=(),
    baseline=True,
    onset=True,
    incident=True,
):
    names = NAMES | (names or {})
    traffic = Traffic(seed, names)
    middle = START + seconds * NS_PER_S
    count = seconds * rate
    for i in range(2 * count):
        if (i < count and baseline) or (i >= count and incident):
            start = START + round(i * NS_PER_S / rate) + traffic.draw.randrange(NS_PER_S // rate)
            traffic.call(start, fault if i >= count else "")
    windows = Windows(
        Window(middle, middle + seconds * NS_PER_S), Window(START, middle) if baseline else None
    )
    spans = pd.DataFrame(
        traffic.spans,
        columns=[
            "trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano",
            "end_time_unix_nano", "status_code", "service_name", "attributes", "service_version",
        ],
    )  # fmt: skip
    logs = pd.DataFrame(
        traffic.logs,
        columns=["time_unix_nano", "severity_text", "body", "service_name", "trace_id", "span_id"],
    )
    evidence = Evidence(
        windows,
        blocks_from_frame(spans),
        logs,
        blank("metrics"),
        pd.DataFrame(events, columns=[c.name for c in COLUMNS["events"]]) if events else blank("events"),
        blank("topology"),
        selection={"incident": "all", "baseline": "all"},
        notes=(
            SourceNote("trace", "capture", "incident-42/spans.parquet", "trace_id is not null", len(spans)),
        ),
    )
    found = diagnose(evidence, names["payment"])
    verdict = found.verdict
    begun = Onset(middle + NS_PER_S, 1.5) if onset and fault else None
    verdict = dataclasses.replace(verdict, onset=begun)
    return MadeInvestigation(names["payment"], verdict, found, evidence, spans, logs)


def blank(signal):
    return pd.DataFrame({column.name: pd.Series(dtype=object) for column in COLUMNS[signal]})


def change(after_s, reason="Rollout", name="payment", **more):
    row = {"kind": "Deployment", "message": "image 1.4.1 -> 1.4.2", "type_": "Change"} | more
    at = START + round(after_s * NS_PER_S)
    return (at, row["type_"], reason, row["message"], row["kind"], name, "shop", None)


@pytest.fixture(scope="session")
def edge():
    return make(
        "edge", events=(change(58), change(61, "Config", "risk", kind="ConfigMap", message="limits changed"))
    )


@pytest.fixture(scope="session")
def healthy():
    return make("")


@pytest.fixture(scope="session")
def alone():
    """An investigation without a baseline."""
    return make("edge", baseline=False)


HOSTILE = "<script>alert(1)</script>\u202egnp.exe\n<a href='javascript:x'>$x$%{y}</a>"


@pytest.fixture(scope="session")
def release():
    """Half the calls of the incident meet version 2 of risk, which is slow."""
    return make("release", seconds=30)


@pytest.fixture(scope="session")
def hostile():
    names = {
        "risk": HOSTILE.replace("\n", "\\n"),
        "operation": HOSTILE,
        "log": HOSTILE,
        "ledger": "<b>ledger</b>",
    }
    return make("edge", names=names, events=(change(58, name=HOSTILE, message=HOSTILE),))


@pytest.fixture(scope="session")
def make_investigation():
    return make


@pytest.fixture(scope="session")
def make_change():
    return change


@pytest.fixture(scope="session")
def captured(tmp_path_factory):
    """A function that writes made traffic as a capture, once, and returns its folder."""
    folders = {}

    def write(made):
        if id(made) not in folders:
            folders[id(made)] = folder = tmp_path_factory.mktemp("capture") / "incident"
            writer = CaptureWriter(folder)
            frames = {"spans": made.spans, "logs": made.logs, "events": made.evidence.events}
            for signal, frame in frames.items():
                rows = frame.reindex(columns=[column.name for column in COLUMNS[signal]]).astype(object)
                writer.append(signal, list(rows.where(rows.notna(), None).itertuples(index=False, name=None)))
            writer.close(windows=made.evidence.windows)
        return folders[id(made)]

    return write
