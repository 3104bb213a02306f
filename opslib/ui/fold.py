"""The call graph as nodes and links, folded to the paths that matter when it has more nodes than a figure can show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from opslib.core.model import Candidate

MAX_NODES = 25
OTHER = "other"
_HIDDEN = 3.0  # a mean that moves by more than so many times the median's change is not told by the median


@dataclass(frozen=True, slots=True)
class Link:
    """Calls from one node to another; medians and means in ns, NaN where a window has none."""

    caller: str
    callee: str
    calls_baseline: int
    calls_incident: int
    errors_baseline: int
    errors_incident: int
    p50_baseline_ns: float
    p50_incident_ns: float
    dependency: bool = False
    mean_baseline_ns: float = float("nan")
    mean_incident_ns: float = float("nan")

    @property
    def statistic(self) -> str:
        """Return `p50`, or `mean` where some calls take so much longer that the median hides it."""
        moved = abs(self.mean_incident_ns - self.mean_baseline_ns)
        median = abs(self.p50_incident_ns - self.p50_baseline_ns)
        return "mean" if moved > max(_HIDDEN * median, self.p50_baseline_ns) else "p50"

    @property
    def was_ns(self) -> float:
        """What its calls took in the baseline, by its statistic."""
        return self.mean_baseline_ns if self.statistic == "mean" else self.p50_baseline_ns

    @property
    def now_ns(self) -> float:
        """The same in the incident."""
        return self.mean_incident_ns if self.statistic == "mean" else self.p50_incident_ns

    @property
    def change_ns(self) -> float:
        """How much that moved; 0 where one of the windows has no calls."""
        change = self.now_ns - self.was_ns
        return 0.0 if math.isnan(change) else change


def links_of(edges: pd.DataFrame) -> list[Link]:
    """Return the rows of a diagnosis' edges, sorted by name."""
    found = [
        Link(
            caller=str(row["caller"]),
            callee=str(row["callee"]),
            calls_baseline=int(row["calls_baseline"]),
            calls_incident=int(row["calls_incident"]),
            errors_baseline=int(row["errors_baseline"]),
            errors_incident=int(row["errors_incident"]),
            p50_baseline_ns=_time(row["p50_baseline_ns"], row["calls_baseline"]),
            p50_incident_ns=_time(row["p50_incident_ns"], row["calls_incident"]),
            dependency=bool(row["dependency"]),
            mean_baseline_ns=_time(row.get("mean_baseline_ns"), row["calls_baseline"]),
            mean_incident_ns=_time(row.get("mean_incident_ns"), row["calls_incident"]),
        )
        for row in edges.to_dict("records")
    ]
    return sorted(found, key=lambda link: (link.caller, link.callee))


def _time(value: Any, calls: Any) -> float:
    """Return a median or mean in ns; of no calls there is none, whatever the frame holds."""
    return float("nan") if pd.isna(value) or not calls else float(value)


def fold(links: list[Link], service: str, guilty: Candidate | None) -> tuple[list[Link], int]:
    """Return at most MAX_NODES nodes' links and how many nodes were folded into `other (n)`.

    Kept are the service, the culprit and, along the way from the service, the callees whose time changed most.
    """
    nodes = {link.caller for link in links} | {link.callee for link in links}
    if len(nodes) <= MAX_NODES:
        return links, 0
    weight = dict.fromkeys(nodes, 0.0)
    for link in links:
        weight[link.callee] += abs(link.change_ns) * max(link.calls_incident, 1)
    first = [service, *(guilty.edge or () if guilty else ()), guilty.service if guilty else service]
    ranked = [name for name in first if name in nodes]
    ranked += sorted(nodes, key=lambda name: (-weight[name], name))
    callers = {link.callee: link.caller for link in reversed(links) if link.caller != link.callee}
    kept: set[str] = set()
    for name in ranked:
        way = _way(name, callers)
        if len(kept | way) < MAX_NODES:
            kept |= way
    other = f"{OTHER} ({len(nodes - kept)})"
    return _merged(links, kept, other), len(nodes - kept)


def _way(name: str, callers: dict[str, str]) -> set[str]:
    """Return the node and one chain of callers up to the root."""
    way = {name}
    while name in callers and callers[name] not in way:
        name = callers[name]
        way.add(name)
    return way


def _merged(links: Iterable[Link], kept: set[str], other: str) -> list[Link]:
    found: dict[tuple[str, str], Link] = {}
    for link in links:
        ends = tuple(name if name in kept else other for name in (link.caller, link.callee))
        if ends != (other, other):
            same = dataclasses.replace(link, caller=ends[0], callee=ends[1])
            found[same.caller, same.callee] = _both(found.get((same.caller, same.callee)), same, other)
    return [found[ends] for ends in sorted(found)]


def _both(old: Link | None, link: Link, other: str) -> Link:
    """Add two links between the same nodes; a median of several edges is not known."""
    if other not in (link.caller, link.callee):
        return link
    return dataclasses.replace(
        link,
        calls_baseline=link.calls_baseline + (old.calls_baseline if old else 0),
        calls_incident=link.calls_incident + (old.calls_incident if old else 0),
        errors_baseline=link.errors_baseline + (old.errors_baseline if old else 0),
        errors_incident=link.errors_incident + (old.errors_incident if old else 0),
        p50_baseline_ns=float("nan"),
        p50_incident_ns=float("nan"),
    )
