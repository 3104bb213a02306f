"""Metric samples as comparable series: counters become rates, histograms means, and each name says which way is bad.

Counters are `_total` and `_bucket`, and `_sum` with `_count` only where both exist for the same base name, service, pod
and labels; any other `_sum` is a gauge. A counter that falls was reset and starts again from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.diagnosis.groups import by_key

Floats = NDArray[np.float64]

_BAD_UP = re.compile(r"latency|duration|error|restart", re.IGNORECASE)
_BAD_DOWN = re.compile(r"availability|success", re.IGNORECASE)
_LARGEST = 1e100  # beyond it differences and means of samples overflow, and nothing measured is so large
_KEYS = ["service", "pod", "labels"]


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one service (and pod, "" where unknown) over time; direction: +1 up is bad, -1 down is, 0 both."""

    name: str
    unit: str
    service: str
    pod: str
    labels: str
    time: NDArray[np.int64]
    value: Floats
    direction: int


def direction_of(name: str) -> int:
    """Return which way a metric of this name gets worse: +1 up, -1 down, 0 cannot be told."""
    if _BAD_DOWN.search(name):
        return -1
    return 1 if _BAD_UP.search(name) else 0


def series_of(metrics: pd.DataFrame) -> Iterator[Series]:
    """Yield every comparable series of a metric frame, in ascending order of name, service, pod, labels."""
    frame = _clean(metrics)
    whole = dict(by_key(frame, ["name", *_KEYS]))
    for (name, service, pod, labels), rows in whole.items():
        base, kind = _split(name)
        if kind == "bucket" or (kind == "count" and (f"{base}_sum", service, pod, labels) in whole):
            continue
        time, value = rows["time"].to_numpy(), rows["value"].to_numpy()
        other = whole.get((f"{base}_count", service, pod, labels)) if kind == "sum" else None
        if other is not None:
            time, value = _means(rows, other)
        elif kind == "total":
            time, value = _rate(time, value)
        unit, shown = str(rows["unit"].iloc[0]), name if other is None else base
        if len(time):
            yield Series(shown, unit, service, pod, labels, time, value, direction_of(f"{shown} {unit}"))


def _clean(metrics: pd.DataFrame) -> pd.DataFrame:
    def text(column: str) -> NDArray[np.object_]:
        found = metrics[column] if column in metrics else pd.Series([None] * len(metrics), dtype=object)
        return found.astype(object).where(found.notna(), "").astype(str).to_numpy(dtype=object)

    frame = pd.DataFrame(
        {
            "name": text("name"),
            "service": text("service_name"),
            "pod": text("k8s_pod_name"),
            "labels": text("labels"),
            "unit": text("unit"),
            "time": metrics["time_unix_nano"].to_numpy(dtype=np.int64),
            "value": metrics["value"].to_numpy(dtype=np.float64),
        }
    )
    usable: pd.DataFrame = frame[np.abs(frame["value"].to_numpy()) <= _LARGEST]  # no NaN either
    return usable.sort_values(["name", *_KEYS, "time", "value"], kind="stable", ignore_index=True)


def immeasurable(metrics: pd.DataFrame) -> int:
    """Count the samples that are infinite, or larger than anything measured."""
    return int((np.abs(metrics["value"].to_numpy(dtype=np.float64)) > _LARGEST).sum())


def _split(name: str) -> tuple[str, str]:
    for ending in ("total", "bucket", "sum", "count"):
        if name.endswith(f"_{ending}"):
            return name[: -len(ending) - 1], ending
    return name, ""


def _increase(value: Floats) -> Floats:
    step = np.diff(value)
    return np.where(step < 0, value[1:], step)


def _rate(time: NDArray[np.int64], value: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the rate per second between neighbouring samples, at the later one."""
    seconds = np.diff(time) / 1e9
    used = seconds > 0
    return time[1:][used], _increase(value)[used] / seconds[used]


def _means(sums: pd.DataFrame, counts: pd.DataFrame) -> tuple[NDArray[np.int64], Floats]:
    """Return what one observation was on average between neighbouring samples that had any."""
    both = sums.merge(counts, on="time", suffixes=("", "_count")).drop_duplicates("time", keep="last")
    n = _increase(both["value_count"].to_numpy())
    used = n > 0
    return both["time"].to_numpy()[1:][used], _increase(both["value"].to_numpy())[used] / n[used]
