"""What the whole evidence says about a name: an instrumented service, a silent one, or a dependency.

A dependency is a callee that nothing says is an instrumented service: no spans of its own in either window, no logs or
metrics under its own name, not a caller in the topology, not in the environment's service map.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from opslib.core.evidence import Evidence
from opslib.diagnosis.partial import Partial
from opslib.diagnosis.segments import EDGE, SERVICE, Segment


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where time can be spent, as a budget names it. `service` is the one charged; `silent`: no server span seen."""

    label: str
    kind: str  # service, edge, dependency or unexplained
    service: str = ""
    caller: str = ""
    callee: str = ""
    silent: bool = False

    @property
    def edge(self) -> tuple[str, str] | None:
        return (self.caller, self.callee) if self.callee else None


UNEXPLAINED = Place("unexplained", "unexplained")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Names by what is known of them, from all signals and both windows."""

    traced: frozenset[str]  # services with spans of their own
    known: frozenset[str]  # traced, or named by another signal as a service
    answered: frozenset[tuple[str, str]]  # (caller, callee) with at least one server span
    aliases: dict[tuple[str, str], str]  # (caller, peer as the client names it) -> callee as it names itself

    def callee_of(self, segment: Segment) -> str:
        """Return the callee's own name where answered calls tell it, else the name that the client gives it."""
        return self.aliases.get((segment.caller, segment.callee), segment.callee)

    def place(self, segment: Segment) -> Place:
        """Return where the time of a segment belongs."""
        caller, callee = segment.caller, self.callee_of(segment)
        if segment.kind == SERVICE:
            return Place(f"service {caller}", "service", caller, caller)
        edge = f"edge {caller}->{callee}"
        if segment.kind == EDGE:
            return Place(edge, "edge", callee, caller, callee)
        if (caller, callee) in self.answered:
            return UNEXPLAINED
        if callee in self.known:
            return Place(edge, "edge", callee, caller, callee, silent=True)
        return Place(f"dependency {callee}", "dependency", callee, "", callee)


def learn(evidence: Evidence, partial: Partial, workloads: Collection[str] = ()) -> Knowledge:
    """Collect what is known of every name. workloads: those with a proxy of their own in a mesh."""
    traced = frozenset(partial.tables["census"]["service"])
    others = {
        *_names(evidence.logs, "service_name"),
        *_names(evidence.metrics, "service_name"),
        *_names(evidence.topology, "caller"),
        *evidence.known_services,
        *workloads,
    }
    edges = partial.tables["edges"]
    answered = edges.loc[edges["kind"] == EDGE, ["caller", "callee"]].drop_duplicates()
    return Knowledge(
        traced,
        traced | others,
        frozenset(zip(answered["caller"], answered["callee"], strict=True)),
        _aliases(partial.tables["aliases"]),
    )


def _names(frame: pd.DataFrame, column: str) -> set[str]:
    return set(frame[column].dropna().astype(str)) - {""} if column in frame else set()


def _aliases(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Take for each (caller, peer) the callee that answered most often; ties by name."""
    ranked = table.sort_values(["caller", "peer", "n", "callee"], ascending=[True, True, False, True])
    first = ranked.drop_duplicates(["caller", "peer"])
    return {
        (caller, peer): callee
        for caller, peer, callee in zip(first["caller"], first["peer"], first["callee"], strict=True)
    }
