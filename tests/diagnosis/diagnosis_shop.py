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


@dataclass
class Spans:
    rows: list = field(default_factory=list)
    n: int = 0

    def add(self, trace, parent, service, name, kind, start, end, status="UNSET", **attributes):
        self.n += 1
        span = f"{self.n:016x}"
        self.rows.append(
            (trace, span, parent, name, kind, int(start), int(end), status, service, _json(attributes))
        )
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

    burst = (start_ns // (2 * S)) % 2 == 0 if fault.ledger_share < 1 else True
    risk = ms(3) + fault.risk_ms * MS * float(np.exp(rng.normal(0, 0.1)))
    ledger = ms(2) + (fault.ledger_ms * MS * rng.uniform(0.2, 1.8) if burst else 0)
    skip = rng.random() < fault.risk_skip
    fails = rng.random() < fault.payment_error
    retried = rng.random() < fault.retries
    t = start_ns
    plan = []  # (what, start, end) below payment's server span
    front_start = t
    order_client = t + ms(0.8)
    order_server = order_client + wire()
    pay_client = order_server + ms(0.6)
    pay_server = pay_client + wire() + fault.order_edge_ms * MS
    t = pay_server + ms(1) + fault.payment_ms * MS
    if retried:
        plan.append(("risk_failed", t, t + ms(2)))
        t += ms(2) + 20 * MS
    if not skip:
        leg = wire() + fault.edge_ms * MS / 2
        plan.append(("risk", t, t + 2 * leg + risk, leg))
        t += 2 * leg + risk + ms(0.3)
    if not fails:
        plan.append(("ledger", t, t + ledger))
        t += ledger + ms(0.3)
    pay_end = t
    pay_client_end = pay_end + wire()
    order_end = pay_client_end + ms(0.4)
    order_client_end = order_end + wire()
    front_end = order_client_end + ms(0.5)
    bad = "ERROR" if fails else "UNSET"
    a = spans.add(trace, None, "storefront", "POST /checkout", "SERVER", front_start, front_end, bad)
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
               "end_time_unix_nano", "status_code", "service_name", "attributes"]  # fmt: skip
    return pd.DataFrame(spans.rows, columns=columns)


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
    )
