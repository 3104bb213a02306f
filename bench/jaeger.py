"""The slowest calls and whole windows from a real Jaeger with its memory storage, which `tests/stack/telemetry` starts."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from measure import ROOT

from opslib.core.clock import SystemClock
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import Window, Windows
from opslib.telemetry.jaeger import backend
from opslib.telemetry.jaeger.dialects import Search

T = TypeVar("T")
SERVERS = ROOT / "tests/stack/telemetry"
MS, S = 10**6, 10**9
LENGTH_NS = 600 * S
BATCH = 250  # traces of one request
SLOWEST, NAIVE = 100, 1_500
# service, kind (2 is a server's, 3 a client's), operation, peer: each is called by the one before
CHAIN = (
    ("storefront", 2, "POST /checkout", ""),
    ("storefront", 3, "POST", "order"),
    ("order", 2, "POST /orders", ""),
    ("order", 3, "POST", "payment"),
    ("payment", 2, "POST /payments", ""),
    ("payment", 3, "POST", "risk"),
    ("risk", 2, "POST /score", ""),
    ("risk", 3, "SELECT", "ledger"),
)


@dataclass(frozen=True)
class Loaded:
    """What was sent: the window that holds it all, and how long payment took in each trace."""

    window: Window
    payment_ns: dict[str, int]


def missing() -> str:
    """Return why no Jaeger can be started, if so; it is not built here: that takes minutes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opslib-stack"
    build = (SERVERS / "build").relative_to(ROOT)
    return "" if any(cache.glob("jaeger-*")) else f"Jaeger is not built: {build} jaeger"


@contextmanager
def server(folder: Path) -> Iterator[dict[str, Any]]:
    """Start a Jaeger, and end it."""
    state = ("--state", str(folder))
    up = subprocess.run([SERVERS / "up", *state, "jaeger"], check=True, capture_output=True, text=True)
    try:
        yield json.loads(up.stdout)["jaeger"]
    finally:
        subprocess.run([SERVERS / "down", *state], check=True, capture_output=True)


def load(otlp: str, traces: int, seed: int = 7) -> Loaded:
    """Send traces of eight spans over ten minutes up to now; one in fifty calls of payment has a long tail."""
    draw = random.Random(seed)
    end_ns = time.time_ns() // S * S - S
    window = Window(end_ns - LENGTH_NS, end_ns)
    took: dict[str, int] = {}
    starts = sorted(draw.randrange(window.start_ns, window.end_ns) for _ in range(traces))
    for first in range(0, traces, BATCH):
        spans: dict[str, list[dict[str, Any]]] = {}
        for start in starts[first : first + BATCH]:
            trace_id = f"{draw.getrandbits(128):032x}"
            payment = draw.lognormvariate(3, 0.4) * (draw.paretovariate(1.2) if draw.random() < 0.02 else 1)
            took[trace_id] = _trace(spans, trace_id, start, round(payment * MS), draw)
        _send(otlp, spans)
    return Loaded(window, took)


def _trace(
    spans: dict[str, list[dict[str, Any]]], trace_id: str, start: int, payment_ns: int, draw: random.Random
) -> int:
    parent = ""
    for depth, (service, kind, name, peer) in enumerate(CHAIN):
        span_id = f"{draw.getrandbits(64) | 1:016x}"
        at = start + depth * MS
        attributes = {"http.request.method": "POST", "http.response.status_code": "200", "url.path": "/"}
        attributes |= {"peer.service": peer} if peer else {}
        spans.setdefault(service, []).append({
            "traceId": trace_id, "spanId": span_id, "parentSpanId": parent, "name": name, "kind": kind,
            "startTimeUnixNano": str(at), "endTimeUnixNano": str(at + payment_ns + (8 - 2 * depth) * MS),
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()], "status": {},
        })  # fmt: skip
        parent = span_id
    return payment_ns


def _send(otlp: str, spans: dict[str, list[dict[str, Any]]]) -> None:
    body = {
        "resourceSpans": [
            {
                "resource": {"attributes": [
                    {"key": "service.name", "value": {"stringValue": service}},
                    {"key": "service.version", "value": {"stringValue": "v1"}},
                    {"key": "k8s.pod.name", "value": {"stringValue": f"{service}-5d8f7c9b4-abcde"}},
                ]},
                "scopeSpans": [{"spans": of}],
            }
            for service, of in spans.items()
        ]
    }  # fmt: skip
    request = urllib.request.Request(
        f"{otlp}/v1/traces", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


@dataclass(frozen=True)
class Figures:
    """Recalls are shares of the true slowest; questions are requests."""

    traces: int
    recall: float
    naive_recall: float
    questions: int
    coverage: str
    slowest_s: float
    naive_s: float
    fetch_s: float
    fetched_spans: int
    selection: str


def measure(folder: Path, traces: int = 20_000) -> Figures:
    """Load, then ask for the slowest calls of payment, and for both halves of the window."""
    with server(folder) as running:
        loaded = load(running["otlp"], traces)
        settings = SourceSettings("jaeger", running["url"], {"max_traces": 100_000, "budget_s": 600})
        asked = backend(settings, Environment("bench"), "bench", SystemClock())
        _settled(asked, loaded)
        true = {t for t, _ in sorted(loaded.payment_ns.items(), key=lambda item: -item[1])[:SLOWEST]}
        slowest_s, slowest = _timed(lambda: asked.slowest("payment", loaded.window, SLOWEST))
        naive_s, naive = _timed(
            lambda: asked.dialect.search(Search("payment", loaded.window, NAIVE)).trace_ids()
        )
        middle = loaded.window.start_ns + loaded.window.length_ns // 2
        halves = Windows(Window(middle, loaded.window.end_ns), Window(loaded.window.start_ns, middle))
        fetch_s, fetched = _timed(lambda: asked.fetch(halves, lambda _: None))
        return Figures(
            traces,
            len(true & set(slowest.durations["trace_id"])) / SLOWEST,
            len(true & naive) / SLOWEST,
            slowest.tail.asked,
            slowest.tail.coverage(),
            slowest_s,
            naive_s,
            fetch_s,
            fetched.note.rows,
            fetched.selection["incident"],
        )


def _timed(ask: Callable[[], T]) -> tuple[float, T]:
    begin = time.perf_counter()
    answer = ask()
    return time.perf_counter() - begin, answer


def rows(found: Figures) -> Iterator[tuple[str, str, str, str]]:
    """Yield what, ours, the naive query's, and a note."""
    yield (
        f"slowest {SLOWEST} of payment among {found.traces:,} traces (peer: one query, limit {NAIVE:,})",
        f"recall {100 * found.recall:.0f} %, {found.slowest_s:.1f} s, {found.questions} questions",
        f"recall {100 * found.naive_recall:.0f} %, {found.naive_s:.1f} s",
        found.coverage,
    )
    rate = found.fetched_spans / found.fetch_s
    yield (
        f"fetch both windows, {found.traces:,} traces",
        f"{found.fetch_s:.1f} s, {rate:,.0f} spans/s",
        "",
        found.selection,
    )


def _settled(jaeger: Any, loaded: Loaded) -> None:
    """Wait until the last trace can be found."""
    last = next(reversed(loaded.payment_ns))
    for _ in range(100):
        if len(jaeger.trace(last)[0]) == len(CHAIN):
            return
        time.sleep(0.1)
    raise TimeoutError("Jaeger does not show what was sent to it")
