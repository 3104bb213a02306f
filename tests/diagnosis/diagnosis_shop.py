"""A seeded shop as spans, without processes: storefront -> order -> payment -> risk, and payment -> ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from opslib.core.blocks import blocks_from_frame
from opslib.core.columns import COLUMNS
from opslib.core.evidence import Evidence
from opslib.core.windows import Window, Windows

MS = 1_000_000
S = 1_000_000_000
T0 = 1_700_000_000 * S
BASELINE, INCIDENT = Window(T0, T0 + 60 * S), Window(T0 + 60 * S, T0 + 120 * S)


@dataclass
class Fault:
    """What happens to a payment call under the fault; times in ms."""

    risk_ms: float = 0.0
    ledger_ms: float = 0.0
    ledger_share: float = 1.0  # in bursts of 2 s
    edge_ms: float = 0.0
    payment_ms: float = 0.0
    order_edge_ms: float = 0.0
    payment_error: float = 0.0
    risk_skip: float = 0.0
    retries: float = 0.0
    silent_risk: bool = False
    skew_ms: float = 0.0
    tenant: str = ""  # risk_ms meets this tenant's calls alone
    release: float = (
        0.0  # share of payment's calls in its version 2.0, which takes release_ms and fails release_error
    )
    release_ms: float = 0.0
    release_error: float = 0.0
    risk_release: float = 0.0  # share of risk's calls in its version 2.0, which does as the other
    bad_pod_ms: float = 0.0  # more work in one of risk's three pods
    starved: float = 1.0  # all that payment does, at either end of its waits, takes so many times as long
    retry_share: float = (
        0.0  # of its attempts that risk fails; payment tries up to three times, with back-off
    )


@dataclass
class Spans:
    rows: list = field(default_factory=list)
    n: int = 0
    instances: dict = field(default_factory=dict)  # service -> (version, pod) of the call under way

    def add(self, trace, parent, service, name, kind, start, end, status="UNSET", **attributes):
        self.n += 1
        span = f"{self.n:016x}"
        self.rows.append(
            (
                trace, span, parent, name, kind, int(start), int(end), status, service, _json(attributes),
                *self.instances.get(service, ("1.0", f"{service}-0")),
            )
        )  # fmt: skip
        return span


def _json(attributes):
    import json

    return json.dumps({k.replace("_", "."): v for k, v in attributes.items()}) if attributes else None


def one_call(spans, rng, trace, start_ns, fault, noise):
    """Append the spans of one order with its payment; log-normal times, `noise` scales all of them."""

    def ms(mean):
        return mean * noise * float(np.exp(rng.normal(0, 0.35))) * MS

    def wire():
        return ms(0.35)

    draw = np.random.default_rng(
        int(trace[:8], 16)
    )  # beside rng: what a trace draws here moves no other's times
    tenant = str(draw.choice(["acme", "blue", "coral", "delta"], p=[0.25, 0.35, 0.25, 0.15]))
    region = str(draw.choice(["north", "south"]))
    new, new_risk, pod = (
        draw.random() < fault.release,
        draw.random() < fault.risk_release,
        int(draw.integers(3)),
    )
    spans.instances = {
        "payment": ("2.0", "payment-2-0") if new else ("1.0", "payment-1-0"),
        "risk": ("2.0" if new_risk else "1.0", f"risk-{pod}"),
    }
    burst = (start_ns // (2 * S)) % 2 == 0 if fault.ledger_share < 1 else True
    extra = fault.risk_ms if fault.tenant in ("", tenant) else 0.0
    risk = ms(3) + extra * MS * float(np.exp(rng.normal(0, 0.1))) + (fault.bad_pod_ms * MS if pod == 1 else 0)
    ledger = ms(2) + (fault.ledger_ms * MS * rng.uniform(0.2, 1.8) if burst else 0)
    skip = rng.random() < fault.risk_skip
    fails = rng.random() < fault.payment_error or (new and draw.random() < fault.release_error)
    retried = rng.random() < fault.retries
    t = start_ns
    plan = []  # (what, start, end) below payment's server span
    front_start = t
    order_client = t + ms(0.8)
    order_server = order_client + wire()
    pay_client = order_server + ms(0.6)
    held = fault.starved  # a process that does not run is late at either end of its waits
    pay_server = pay_client + wire() * held + fault.order_edge_ms * MS
    t = pay_server + ms(1) * held + fault.payment_ms * MS + (fault.release_ms * MS if new else 0)
    if retried:
        plan.append(("risk_failed", t, t + ms(2)))
        t += ms(2) + 20 * MS
    for attempt in range(2):
        if draw.random() >= fault.retry_share:
            break
        plan.append(("risk_failed", t, t + ms(2)))
        t += ms(2) + 20 * 2**attempt * MS
    if not skip:
        leg = wire() * held + fault.edge_ms * MS / 2
        plan.append(("risk", t, t + 2 * leg + risk, leg))
        t += 2 * leg + risk + ms(0.3) * held
    if not fails:
        ledger *= 1 + (held - 1) / 30
        plan.append(("ledger", t, t + ledger))
        t += ledger + ms(0.3) * held
    pay_end = t
    pay_client_end = pay_end + wire()
    order_end = pay_client_end + ms(0.4)
    order_client_end = order_end + wire()
    front_end = order_client_end + ms(0.5)
    bad = "ERROR" if fails else "UNSET"
    a = spans.add(trace, None, "storefront", "POST /checkout", "SERVER", front_start, front_end, bad,
                  app_tenant=tenant, cloud_region=region)  # fmt: skip
    b = spans.add(
        trace, a, "storefront", "POST", "CLIENT", order_client, order_client_end, bad, peer_service="order"
    )
    c = spans.add(trace, b, "order", "POST /order", "SERVER", order_server, order_end, bad)
    d = spans.add(
        trace, c, "order", "POST", "CLIENT", pay_client, pay_client_end, bad, peer_service="payment"
    )
    e = spans.add(trace, d, "payment", "POST /pay", "SERVER", pay_server, pay_end, bad)
    skew = fault.skew_ms * MS
    for what, lo, hi, *leg in plan:
        if what == "ledger":
            spans.add(
                trace,
                e,
                "payment",
                "INSERT ledger",
                "CLIENT",
                lo,
                hi,
                db_namespace="ledger",
                db_system="sqlite",
            )
        elif what == "risk_failed":
            f = spans.add(trace, e, "payment", "POST", "CLIENT", lo, hi, "ERROR", peer_service="risk")
            spans.add(
                trace, f, "risk", "POST /score", "SERVER", lo + 0.2 * (hi - lo), hi - 0.2 * (hi - lo), "ERROR"
            )
        else:
            f = spans.add(trace, e, "payment", "POST", "CLIENT", lo, hi, peer_service="risk")
            if not fault.silent_risk:
                g = spans.add(
                    trace, f, "risk", "POST /score", "SERVER", lo + leg[0] + skew, hi - leg[0] + skew
                )
                spans.add(
                    trace, g, "risk", "score", "INTERNAL", lo + leg[0] + skew, hi - leg[0] - 0.1 * MS + skew
                )


def _pace(rng, wobble):
    """Return the machine's speed by second: a stationary walk that forgets in about five seconds."""
    drift, pace = rng.normal(0, wobble), []
    for _ in range(61):
        drift = 0.8 * drift + 0.6 * rng.normal(0, wobble)
        pace.append(float(np.exp(drift)))
    return pace


def shop(seed=1, baseline=100, incident=100, fault=None, *, wobble=0.1, healthy_fault=None):
    """Return spans of `baseline` calls in BASELINE and `incident` calls in INCIDENT, columns as in a capture.

    wobble: how far the machine's speed wanders from second to second (log-normal sigma).
    """
    rng = np.random.default_rng(seed)
    spans = Spans()
    for window, n, active in (
        (BASELINE, baseline, healthy_fault or Fault()),
        (INCIDENT, incident, fault or Fault()),
    ):
        pace = _pace(rng, wobble)
        for at in np.sort(rng.uniform(0, 60, n)):
            trace = "".join(f"{x:08x}" for x in rng.integers(0, 2**32, 4, dtype=np.uint64))
            one_call(spans, rng, trace, window.start_ns + int(at * S), active, pace[int(at)])
    columns = ["trace_id", "span_id", "parent_span_id", "name", "kind", "start_time_unix_nano",
               "end_time_unix_nano", "status_code", "service_name", "attributes", "service_version", "k8s_pod_name"]  # fmt: skip
    return pd.DataFrame(spans.rows, columns=columns)


def pool_metrics(waits_ms, *, every_s=5):
    """Return what payment's pool says: seconds waited by 20 borrowers every few seconds, (baseline, incident)."""
    rows, total, count = [], 0.0, 0
    for at in range(0, 121, every_s):
        total += 20 * waits_ms[at > 60] / 1000
        count += 20
        labels = '{"db.client.connection.pool.name": "books"}'
        for name, value, unit in (("sum", total, "s"), ("count", float(count), "s")):
            rows.append(
                (T0 + at * S, f"db.client.connection.wait_time_{name}", value, unit, "payment", None, labels)
            )
    columns = ["time_unix_nano", "name", "value", "unit", "service_name", "k8s_pod_name", "labels"]
    return pd.DataFrame(rows, columns=columns)


def loud_logs(frame, service, body):
    """Return a line at each of a service's server spans of the incident: errors that have nothing to do with it."""
    at = frame[(frame["service_name"] == service) & (frame["kind"] == "SERVER")]
    at = at[at["start_time_unix_nano"] >= INCIDENT.start_ns]
    return pd.DataFrame(
        {
            "time_unix_nano": at["start_time_unix_nano"],
            "severity_text": "ERROR",
            "body": [f"{body} {i}" for i in range(len(at))],
            "service_name": service,
            "k8s_pod_name": None,
            "trace_id": at["trace_id"],
            "span_id": at["span_id"],
            "attributes": None,
        }
    )


def empty(signal):
    return pd.DataFrame(
        {
            c.name: pd.Series(dtype={"VARCHAR": "object", "BIGINT": "int64", "DOUBLE": "float64"}[c.type])
            for c in COLUMNS[signal]
        }
    )


def evidence(
    frame,
    *,
    parts=1,
    windows=None,
    logs=None,
    metrics=None,
    events=None,
    topology=None,
    selection=None,
    known=(),
    rng=None,
):
    """Return the frame as evidence in `parts` blocks of whole traces."""
    traces = frame["trace_id"].unique()
    if rng is not None:
        frame = frame.sample(frac=1, random_state=int(rng.integers(1 << 30)))
        traces = rng.permutation(traces)
    blocks = []
    for share in np.array_split(traces, parts):
        blocks += blocks_from_frame(frame[frame["trace_id"].isin(set(share))], attributes=False)
    return Evidence(
        windows=windows or Windows(INCIDENT, BASELINE),
        spans=tuple(blocks),
        logs=empty("logs") if logs is None else logs,
        metrics=empty("metrics") if metrics is None else metrics,
        events=empty("events") if events is None else events,
        topology=empty("topology") if topology is None else topology,
        selection=selection or {"incident": "all", "baseline": "all"},
        known_services=frozenset(known),
        attributed=lambda traces: blocks_from_frame(frame[frame["trace_id"].isin(traces)], attributes=True),
    )
