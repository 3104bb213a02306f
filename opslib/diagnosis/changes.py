"""What was changed, and what Kubernetes complained of, in or shortly before the incident window."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from opslib.core.evidence import Evidence
from opslib.core.model import Finding
from opslib.core.words import duration, printable
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue

_MOST = 3  # events per workload


def change_clues(evidence: Evidence, involved: Collection[str]) -> list[Clue]:
    """Return changes and warnings of involved workloads by nearness to the incident's start; `name` is the workload."""
    events = evidence.events
    if not len(events):
        return []
    incident = evidence.windows.incident
    time = events["time_unix_nano"].to_numpy(dtype=np.int64)
    early = incident.start_ns - round(weights.CHANGE_REACH * incident.length_ns)
    near = events[(time >= early) & (time < incident.end_ns)]
    clues: list[Clue] = []
    for service, rows in near.groupby("name", sort=True):
        if not involved or str(service) in involved:
            found = [_clue(row, evidence) for row in rows.to_dict("records") if _counts(row)]
            clues += sorted(found, key=lambda c: (-c.strength, c.finding.statement))[:_MOST]
    return clues


def _counts(row: dict[Any, Any]) -> bool:
    return row.get("type") in ("Warning", "Change")


def _clue(row: dict[Any, Any], evidence: Evidence) -> Clue:
    incident = evidence.windows.incident
    after_ns = int(row["time_unix_nano"]) - incident.start_ns
    near = 1 - min(abs(after_ns) / max(weights.CHANGE_REACH * incident.length_ns, 1), 1.0)
    service = str(row["name"])
    when = f"{duration(abs(after_ns))} {'into' if after_ns >= 0 else 'before'} the incident"
    statement = (
        f"{printable(str(row.get('reason') or ''), 60)} of {printable(service, 80)} {when}: "
        f"{printable(_message(row), 160)}"
    )
    finding = Finding(
        "event", statement, round(after_ns / 1e9, 3), None, "s", evidence.note("event").url or "events"
    )
    strong = 1.0 if row.get("type") == "Change" else 0.6
    return Clue("event", service, "service", strong * (0.5 + near / 2), finding)


def _message(row: dict[Any, Any]) -> str:
    try:
        attributes = json.loads(row.get("attributes") or "{}")
    except (TypeError, ValueError):
        attributes = {}
    message = "" if row.get("message") is None or pd.isna(row["message"]) else str(row["message"])
    if isinstance(attributes, dict) and attributes.get("from") and attributes.get("to"):
        step = f"{attributes['from']} -> {attributes['to']}"
        message = message if step in message else f"{message} ({step})".strip()
    return message
