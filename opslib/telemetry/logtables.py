"""The tables that every source of logs answers with beside the records: rates and patterns, sorted, their rows bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import pandas as pd

from opslib.core.errors import UsageError
from opslib.core.windows import NS_PER_S, Window

MAX_STEPS = 11_000  # of one table of rates, as Prometheus has it
MAX_PATTERNS = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """Lines of a service with a severity in the step that starts at `time_unix_nano`."""

    time_unix_nano: int
    service_name: str
    severity_text: str
    count: int


@dataclass(frozen=True, slots=True, order=True)
class PatternCount:
    """Lines of a pattern in both windows; `exact` unless lines that read otherwise may be among them.

    A pattern of no text stands for all lines whose pattern was not told apart.
    """

    service_name: str
    severity_text: str
    pattern: str
    count_incident: int
    count_baseline: int
    example: str
    exact: bool


def step_ns(window: Window, step_s: float) -> int:
    """Return the step in nanoseconds, whole milliseconds. Raises UsageError where there would be too many."""
    step = round(step_s * 1_000) * 1_000_000 if math.isfinite(step_s) else 0
    if step <= 0 or window.length_ns / step > MAX_STEPS:
        raise UsageError(
            f"steps of {step_s:g} s in {window}: there are at most {MAX_STEPS:,}, of a millisecond at least",
            hint=f"step_s = {max(1, -(-window.length_ns // (MAX_STEPS * NS_PER_S)))}",
        )
    return step


def rates_frame(rates: Iterable[Rate]) -> pd.DataFrame:
    """Return the columns of `Rate`, by time, service and severity; steps without lines have no row."""
    frame = pd.DataFrame(map(astuple, sorted(rates)), columns=[item.name for item in fields(Rate)])
    return frame.astype({"time_unix_nano": "int64", "count": "int64"})


def patterns_frame(patterns: Iterable[PatternCount]) -> tuple[pd.DataFrame, bool]:
    """Return the columns of `PatternCount`, the commonest of both windows first, and whether some were left out."""
    rows = sorted(patterns, key=lambda row: (-row.count_incident - row.count_baseline, row))
    names = [item.name for item in fields(PatternCount)]
    frame = pd.DataFrame(map(astuple, rows[:MAX_PATTERNS]), columns=names)
    types = {"count_incident": "int64", "count_baseline": "int64", "exact": "bool"}
    return frame.astype(types), len(rows) > MAX_PATTERNS
