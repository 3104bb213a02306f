"""Log patterns that are new or risen: a line's pattern is its text with everything variable masked.

Rates are per call of the service where there are calls, so that more load is no news; else per second.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opslib.core.evidence import Evidence
from opslib.core.model import Finding
from opslib.core.windows import Window
from opslib.core.words import figures, printable
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.compare import CallShift
from opslib.diagnosis.statistics import rate_shift

_LONGEST = 2_000  # characters of a line that are looked at
_MASKS = (
    (re.compile(r"\"[^\"]*\"|'[^']*'"), "<text>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b"), "<ip>"),
    (re.compile(r"\b(?:0x)?(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?"), "<n>"),
    (re.compile(r"\s+"), " "),
)
_LOUDNESS = {"FATAL": 1.0, "CRITICAL": 1.0, "ERROR": 1.0, "ERR": 1.0, "WARN": 0.6, "WARNING": 0.6}
_QUIET = 0.3


def pattern(body: str) -> str:
    """Return a line with numbers, hex, uuids, addresses and quoted texts masked."""
    text = body[:_LONGEST]
    for mask, word in _MASKS:
        text = mask.sub(word, text)
    return text.strip()


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of one service: lines and rates (before, after), the loudest severity, when it was first seen."""

    service: str
    text: str
    severity: str
    n: tuple[int, int]
    rate: tuple[float, float]
    z: float
    first_ns: int


def risen_patterns(evidence: Evidence, calls: CallShift) -> tuple[list[Pattern], str]:
    """Compare every pattern of both windows. Returns them with the word for what rates are per."""
    windows = (evidence.windows.baseline, evidence.windows.incident)
    if windows[0] is None or not len(evidence.logs):
        return [], "call"
    per_call = min(calls.before.n, calls.after.n) >= weights.MIN_CALLS
    seconds = [w.length_ns / 1e9 for w in windows if w]
    exposure = (float(calls.before.n), float(calls.after.n)) if per_call else (seconds[0], seconds[1])
    frame = _in_windows(evidence.logs, windows[0], windows[1])
    found = []
    for (service, text), rows in frame.groupby(["service", "pattern"], sort=True):
        n = (int((~rows["after"]).sum()), int(rows["after"].sum()))
        rate = (n[0] / exposure[0], n[1] / exposure[1])
        z = rate_shift(n[0], exposure[0], n[1], exposure[1])
        first = int(rows["time"][rows["after"]].min()) if n[1] else 0
        found.append(Pattern(str(service), str(text), _loudest(rows["severity"]), n, rate, z, first))
    return found, "call" if per_call else "s"


def _in_windows(logs: pd.DataFrame, baseline: Window, incident: Window) -> pd.DataFrame:
    time = logs["time_unix_nano"].to_numpy(dtype=np.int64)
    after = (time >= incident.start_ns) & (time < incident.end_ns)
    before = (time >= baseline.start_ns) & (time < baseline.end_ns) & ~after
    rows = logs[after | before]
    body = rows["body"].fillna("").astype(str)
    patterns = {text: pattern(text) for text in sorted(set(body))}
    return pd.DataFrame(
        {
            "service": rows["service_name"].fillna("").astype(str).to_numpy(dtype=object),
            "pattern": body.map(patterns).to_numpy(dtype=object),
            "severity": rows["severity_text"].fillna("").astype(str).str.upper().to_numpy(dtype=object),
            "time": time[after | before],
            "after": after[after | before],
        }
    )


def _loudest(severities: pd.Series) -> str:
    return min({str(s) for s in severities}, key=lambda s: (-_LOUDNESS.get(s, _QUIET), s))


def log_clues(
    found: list[Pattern], per: str, involved: Collection[str], critical: float, source: str
) -> list[Clue]:
    """Return for each service its new or risen patterns, the strongest ones.

    involved: services in the calls asked about; a service that has no part in them may be as loud as it likes. Empty
    where there are no traces: then every service counts.
    """
    by_service: dict[str, list[Clue]] = defaultdict(list)
    for one in found:
        risen = one.z >= critical and one.rate[1] >= weights.LOG_RATIO * one.rate[0]
        if risen and one.service and (not involved or one.service in involved):
            by_service[one.service].append(_clue(one, per, source))
    return [
        clue
        for service in sorted(by_service)
        for clue in sorted(by_service[service], key=lambda c: (-c.strength, c.finding.statement))[:3]
    ]


def _clue(one: Pattern, per: str, source: str) -> Clue:
    loud = _LOUDNESS.get(one.severity, _QUIET)
    strength = loud * saturate(one.rate[1] - one.rate[0], weights.HALF_LOG_RATE)
    what = "new" if not one.n[0] else f"{figures(one.rate[1] / one.rate[0], 2)} times as often"
    statement = f"{printable(one.service, 80)} logs {what} ({one.severity or 'no severity'}): {printable(one.text, 160)}"
    finding = Finding(
        "log", statement, round(one.rate[1], 6), round(one.rate[0], 6), f"lines/{per}", source,
        f"service {printable(one.service, 80)}, pattern {printable(one.text, 160)}",
    )  # fmt: skip
    return Clue("log", one.service, "service", strength, finding)
