"""What Istio's proxies count in a seeded shop without traces: edge -> order -> payment -> risk, and payment -> ledger.

Each request is drawn and counted at both ends, as `istio_requests_total` and as a histogram of milliseconds, by proxies
that are scraped every 5 s. Versions of a caller and of a callee meet as `lane` says.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd
from diagnosis_shop import BASELINE, INCIDENT, S

BOUNDS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
_DURATION = "request_duration_milliseconds"
SCRAPE_S = 5
WORK_MS = {"order": 6.0, "payment": 12.0, "risk": 20.0, "ledger": 4.0}


@dataclass
class Trouble:
    """What the incident does; times in ms. `v2`: share of requests that meet version v2 of a service, in the incident."""

    v2: dict = field(default_factory=dict)
    work: dict = field(default_factory=dict)  # service -> more work, in every version
    work_v2: dict = field(default_factory=dict)  # service -> more work, in v2 alone
    fail_v2: dict = field(default_factory=dict)  # service -> share of requests that fail, in v2 alone
    way: dict = field(default_factory=dict)  # (caller, callee) -> longer on the way
    way_v2: dict = field(default_factory=dict)  # the same, to v2 of the callee alone
    way_fails: dict = field(default_factory=dict)  # (caller, callee) -> share that never arrives
    heavy_v2: dict = field(default_factory=dict)  # caller -> more work for its callees, when v2 asks
    lane: bool = False  # a request meets v2 of all services or of none
    reset_at: int = -1  # scrape at which all proxies start anew
    before: bool = False  # v2 was there before, and as bad


class Shop:
    """Draws requests and counts what the proxies see."""

    def __init__(self, seed: int, trouble: Trouble) -> None:
        self.rng, self.trouble, self.seen = np.random.default_rng(seed), trouble, defaultdict(list)

    def rows(self, rps: int = 40) -> pd.DataFrame:
        found = []
        for window in (BASELINE, INCIDENT):
            bad = window is INCIDENT
            if bad and self.trouble.reset_at == 0:
                self.seen.clear()
            for scrape in range(window.length_ns // (SCRAPE_S * S)):
                if bad and scrape == self.trouble.reset_at:
                    self.seen.clear()
                for _ in range(int(self.rng.poisson(rps * SCRAPE_S))):
                    self.request(bad)
                time = window.start_ns + (scrape + 1) * SCRAPE_S * S - 1
                found += self.scrape(time)
        frame = pd.DataFrame(found, columns=["time_unix_nano", "name", "labels", "value"])
        return frame.assign(unit=None, service_name=None, k8s_pod_name=None)

    def request(self, bad: bool) -> None:
        lane = self.rng.random() < max(self.trouble.v2.values(), default=0.0)
        versions = {s: self.version(s, bad, lane) for s in WORK_MS}
        self.call("edge", "v1", "order", versions, bad)

    def version(self, service: str, bad: bool, lane: bool) -> str:
        share = self.trouble.v2.get(service, 0.0) if bad or self.trouble.before else 0.0
        chosen = lane if self.trouble.lane and share else self.rng.random() < share
        return "v2" if chosen else "v1"

    def call(self, caller: str, asked_by: str, callee: str, versions: dict, bad: bool) -> tuple[float, bool]:
        """Return how long the caller waits in ms and whether it fails; count both ends."""
        t, version = self.trouble, versions[callee]
        longer = t.way.get((caller, callee), 0.0) + t.way_v2.get((caller, callee), 0.0) * (version == "v2")
        way = (0.6 + longer * bad) * float(np.exp(self.rng.normal(0, 0.3)))
        if bad and self.rng.random() < t.way_fails.get((caller, callee), 0.0):
            self.count("source", caller, asked_by, callee, version, way, 503)
            return way, True
        worse = bad or t.before
        more = (t.work.get(callee, 0.0) if bad else 0.0) + (
            t.work_v2.get(callee, 0.0) * (version == "v2") * worse
            + t.heavy_v2.get(caller, 0.0) * (asked_by == "v2")
        )
        took = (WORK_MS[callee] + more) * float(np.exp(self.rng.normal(0, 0.4)))
        failed = bool(version == "v2" and worse and self.rng.random() < t.fail_v2.get(callee, 0.0))
        for below in {"order": ["payment"], "payment": ["risk", "ledger"]}.get(callee, []):
            waited, broken = self.call(callee, version, below, versions, bad)
            took, failed = took + waited, failed or broken
        code = 500 if failed else 200
        self.count("destination", caller, asked_by, callee, version, took, code)
        self.count("source", caller, asked_by, callee, version, took + way, code)
        return took + way, failed

    def count(self, *series_and_ms) -> None:
        *series, ms, code = series_and_ms
        self.seen[(*series, code)].append(ms)

    def scrape(self, time: int) -> list:
        """Return one sample of each counter."""
        found = []
        for series, durations in self.seen.items():
            ms = np.array(durations)
            values = [len(ms), ms.sum(), len(ms), *(int((ms <= le).sum()) for le in BOUNDS), len(ms)]
            found += [(time, *one, float(v)) for one, v in zip(_names(series), values, strict=True)]
        return found


@cache
def _names(series: tuple) -> list[tuple[str, str]]:
    """Return (metric, labels) of all that is counted for one pair of versions, proxy and response code."""
    reporter, caller, caller_version, callee, callee_version, code = series
    labels = {
        "reporter": reporter, "source_workload": caller, "source_version": caller_version,
        "destination_workload": callee, "destination_version": callee_version, "response_code": str(code),
        "request_protocol": "http", "connection_security_policy": "mutual_tls",
    }  # fmt: skip
    whole = [
        (f"istio_{name}", json.dumps(labels))
        for name in ("requests_total", f"{_DURATION}_sum", f"{_DURATION}_count")
    ]
    bounds = (*(f"{le:g}" for le in BOUNDS), "+Inf")
    return whole + [(f"istio_{_DURATION}_bucket", json.dumps({**labels, "le": le})) for le in bounds]


def mesh_rows(trouble: Trouble, seed: int = 1, rps: int = 40) -> pd.DataFrame:
    return Shop(seed, trouble).rows(rps)
