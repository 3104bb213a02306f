"""What was changed, and what Kubernetes complained of, in or shortly before the incident window.

A release that was taken back before the incident began is over: neither it nor its rollback is a change to blame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from opslib.core.evidence import Evidence
from opslib.core.foreign import json_object
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
    over = _taken_back(events[time < incident.start_ns])
    clues: list[Clue] = []
    for service, rows in near.groupby("name", sort=True):
        if not involved or str(service) in involved:
            counting = [row for row in rows.to_dict("records") if _counts(row) and _identity(row) not in over]
            found = [_clue(row, evidence) for row in counting]
            clues += sorted(found, key=lambda c: (-c.strength, c.finding.statement))[:_MOST]
    return clues


def _taken_back(events: pd.DataFrame) -> set[tuple[str, ...]]:
    """Return the identities of changes of a version that a later one led back to the version before, and of that one."""
    over: set[tuple[str, ...]] = set()
    standing: dict[tuple[str, str], list[dict[Any, Any]]] = defaultdict(list)
    for row in sorted(events.to_dict("records"), key=_identity):
        before, after = _versions(row)
        if row.get("type") != "Change" or not before or not after:
            continue
        changes = standing[str(row.get("namespace")), str(row["name"])]
        begun = next((i for i, c in enumerate(changes) if _versions(c)[0] == after), None)
        if begun is None:
            changes.append(row)
        else:
            over |= {_identity(change) for change in (*changes[begun:], row)}
            del changes[begun:]
    return over


def _identity(row: dict[Any, Any]) -> tuple[str, ...]:
    names = ("namespace", "name", "type", "reason", "message", "attributes")
    return (f"{int(row['time_unix_nano']):020d}", *(str(row.get(name)) for name in names))


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
    message = "" if row.get("message") is None or pd.isna(row["message"]) else str(row["message"])
    before, after = _versions(row)
    if not before or not after:
        return message
    step = f"{before} -> {after}"
    return message if step in message else f"{message} ({step})".strip()


def _versions(row: dict[Any, Any]) -> tuple[str, str]:
    """Return which version a change led from and to, empty where it does not say."""
    attributes = json_object(row.get("attributes"))
    before, after = (attributes.get(name) for name in ("from", "to"))
    return _version(before), _version(after)


def _version(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
