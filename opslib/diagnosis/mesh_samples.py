"""Istio's counters as increases from scrape to scrape, each with what its labels say.

Names, labels and units are those of Istio's standard metrics; durations are milliseconds. An increase belongs to one
window: both of its samples lie in it. A counter that falls was reset, one that appears while others were being scraped
already was born; both start from zero.
"""

from __future__ import annotations

import json
import math
from dataclasses import astuple, dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.core.windows import Windows
from opslib.diagnosis.critical_path import Bools
from opslib.diagnosis.partial import BASELINE, INCIDENT

REQUESTS, DURATION = "istio_requests_total", "istio_request_duration_milliseconds"
SOURCE, DESTINATION = "source", "destination"
_PARTS = {REQUESTS: "requests", **{f"{DURATION}_{part}": part for part in ("bucket", "sum", "count")}}
_FAULTS_OF_SERVERS = frozenset({"2", "4", "12", "13", "14", "15"})  # gRPC: unknown, deadline, ... data loss
_LATE = 1.5  # scrape intervals after the first scrape of a window: who appears later was born


@dataclass(frozen=True, slots=True)
class _Labels:
    """What the labels of a series say; origin: all of them but `le`, in a fixed order."""

    reporter: str
    caller: str
    caller_version: str
    callee: str
    callee_version: str
    failed: bool
    le: float
    origin: str


_COLUMNS = [one.name for one in fields(_Labels)]


def is_mesh(names: pd.Series) -> Bools:
    """Tell which metric names are Istio's."""
    return names.isin(_PARTS).to_numpy(dtype=np.bool_)


def workloads_in(metrics: pd.DataFrame) -> set[str]:
    """Return the workloads that Istio's metrics name."""
    told = metrics[is_mesh(metrics["name"])]
    found = [_labels(text) for text in told["labels"].dropna().unique()] if "labels" in told else []
    return {name for one in found if one is not None for name in (one.caller, one.callee) if name}


def increases(metrics: pd.DataFrame, windows: Windows) -> pd.DataFrame:
    """Return a row per increase, in an order of its own: window, time, part, value, and the labels' columns."""
    told = metrics[is_mesh(metrics["name"])].reset_index(drop=True)
    texts = told["labels"] if "labels" in told else pd.Series(None, told.index, dtype=object)
    labels = {text: found for text in texts.dropna().unique() if (found := _labels(text)) is not None}
    known = told[texts.isin(set(labels))]
    said = pd.DataFrame([astuple(labels[text]) for text in texts[known.index]], columns=_COLUMNS)
    time = known["time_unix_nano"].to_numpy(dtype=np.int64)
    rows = said.assign(
        part=known["name"].map(_PARTS).to_numpy(dtype=object),
        origin=said["origin"] + _pods(known),
        time=time,
        value=known["value"].to_numpy(dtype=np.float64),
        window=_window_of(time, windows),
    )
    usable = rows[(rows["window"] >= 0) & np.isfinite(rows["value"].to_numpy())]
    return _increases(usable.sort_values(["part", "origin", "le", "time", "value"], ignore_index=True))


def _pods(rows: pd.DataFrame) -> NDArray[np.object_]:
    pods = rows["k8s_pod_name"] if "k8s_pod_name" in rows else pd.Series([None] * len(rows), dtype=object)
    return pods.astype(object).where(pods.notna(), "").astype(str).to_numpy(dtype=object)


def _window_of(time: NDArray[np.int64], windows: Windows) -> NDArray[np.int64]:
    """Return the window of each sample, the incident where they overlap, -1 outside."""
    found = np.full(len(time), -1, np.int64)
    for number, window in ((BASELINE, windows.baseline), (INCIDENT, windows.incident)):
        if window is not None:
            found[(time >= window.start_ns) & (time < window.end_ns)] = number
    return found


def _increases(rows: pd.DataFrame) -> pd.DataFrame:
    series = rows.groupby(["part", "origin", "le"], sort=False)
    rows = rows.assign(series=series.ngroup(), begun=series["time"].transform("min"))
    rows = rows.drop_duplicates(["series", "time"], keep="last")
    same = rows.groupby(["series", "window"], sort=False)
    previous, since = same["value"].shift(), same["time"].shift()
    first = rows.groupby("window")["time"].transform("min")
    steps = (rows["time"] - since).dropna()
    late = first + _LATE * float(steps.median()) if len(steps) else first
    born = since.isna() & (rows["time"] == rows["begun"]) & (rows["time"] > late)
    step = rows["value"] - previous.where(~born, 0.0)
    value = step.where(~(step < 0), rows["value"])
    return rows.assign(value=value)[value.notna()].drop(columns=["series", "begun"])


def _labels(text: str) -> _Labels | None:
    """Read one label set; None where it tells no workloads or is reported by neither end."""
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(labels, dict) or labels.get("reporter") not in (SOURCE, DESTINATION):
        return None
    told = {str(k): "" if v in (None, "unknown") else str(v) for k, v in labels.items()}
    callee = told.get("destination_workload") or told.get("destination_service_name", "")
    le = _bound(told.pop("le", "+Inf"))
    if not callee or le is None:
        return None
    return _Labels(
        told["reporter"],
        told.get("source_workload", ""),
        told.get("source_version", ""),
        callee,
        told.get("destination_version", ""),
        _failed(told.get("response_code", ""), told.get("grpc_response_status", "")),
        le,
        json.dumps(told, sort_keys=True),
    )


def _bound(text: str) -> float | None:
    try:
        return None if math.isnan(bound := float(text)) else bound
    except ValueError:
        return None


def _failed(code: str, grpc: str) -> bool:
    """Tell whether a request failed at the server; code 0 is a connection that ended without an answer."""
    return code == "0" or (len(code) == 3 and code[0] == "5") or grpc in _FAULTS_OF_SERVERS
