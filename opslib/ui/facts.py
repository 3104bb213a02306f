"""What figures and words say about an investigation, said once: the culprit, its place, its segment, the reader's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

import pandas as pd

from opslib.core.model import Candidate, Verdict
from opslib.core.windows import NS_PER_S
from opslib.ui.sampling import Sample
from opslib.ui.text import ARROW, short

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_BESIDE = 3  # ranks looked at
NO_CAUSE = ("no_anomaly", "undetermined")


def culprit(verdict: Verdict) -> Candidate | None:
    """Return the candidate that the verdict charges, None where it charges nobody."""
    if verdict.verdict in NO_CAUSE or not verdict.candidates:
        return None
    return verdict.candidates[0]


def others_suspected(verdict: Verdict) -> tuple[Candidate, ...]:
    """Return who is suspected with high confidence beside the one charged: two faults may be there at once."""
    beside = verdict.candidates[1:_BESIDE] if culprit(verdict) else ()
    return tuple(candidate for candidate in beside if candidate.confidence == "high")


def segment_of(candidate: Candidate) -> str:
    """Return the name of the budget segment that holds a candidate's time."""
    if candidate.kind == "edge" and candidate.edge:
        return f"edge {candidate.edge[0]}->{candidate.edge[1]}"
    return f"{'dependency' if candidate.kind == 'dependency' else 'service'} {candidate.service}"


def place(candidate: Candidate) -> str:
    """Name a candidate for people: `edge payment → risk`, `dependency ledger`, `service risk (pod risk-1)`."""
    if candidate.kind == "edge" and candidate.edge:
        return f"edge {short(candidate.edge[0])} {ARROW} {short(candidate.edge[1])}"
    pod = f" (pod {short(candidate.pod)})" if candidate.pod else ""
    return f"{candidate.kind} {short(candidate.service)}{pod}"


def segment_name(segment: str) -> str:
    """Name a budget segment for people."""
    kind, _, rest = segment.partition(" ")
    if kind != "edge":
        return short(segment, 44)
    caller, _, callee = rest.partition("->")
    return f"edge {short(caller)} {ARROW} {short(callee)}"


def sample(inv: Investigation, window: str) -> Sample:
    """Return the calls of the service that started in `baseline` or `incident`, by time."""
    calls: pd.DataFrame = inv.diagnosis.calls
    return Sample.of(calls[(calls["window"] == window).to_numpy()])


@dataclass(frozen=True, slots=True)
class Zone:
    """The reader's time of day: one offset for a whole figure, that of its incident window."""

    offset_s: int

    @classmethod
    def at(cls, time_ns: int, zone: tzinfo | None = None) -> Zone:
        """Return the offset that `zone` (default: this machine's) has at a moment."""
        moment = datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC).astimezone(zone)
        return cls(int((moment.utcoffset() or timedelta()).total_seconds()))

    @property
    def name(self) -> str:
        if not self.offset_s:
            return "UTC"
        hours, minutes = divmod(abs(self.offset_s) // 60, 60)
        return f"UTC{'+' if self.offset_s > 0 else '-'}{hours:02}:{minutes:02}"

    def axis_ms(self, time_ns: int) -> int:
        """Return where a moment stands on a plotly date axis, which knows no zones."""
        return time_ns // 1_000_000 + self.offset_s * 1000

    def clock(self, time_ns: int) -> str:
        """Write the time of day, `14:12:52`."""
        return _text(time_ns + self.offset_s * NS_PER_S, "%H:%M:%S")

    def stamp(self, time_ns: int) -> str:
        """Write date and time of day with the zone, `2026-01-31 14:12:52 UTC+01:00`."""
        return f"{_text(time_ns + self.offset_s * NS_PER_S, '%Y-%m-%d %H:%M:%S')} {self.name}"


def utc(time_ns: int) -> str:
    """Write a moment in UTC for a hover: `2026-01-31 13:12:52 UTC`."""
    return _text(time_ns, "%Y-%m-%d %H:%M:%S UTC")


def _text(time_ns: int, form: str) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // NS_PER_S)).strftime(form)


def zone_of(inv: Investigation, zone: tzinfo | None = None) -> Zone:
    """Return the reader's offset at the start of the incident."""
    return Zone.at(inv.verdict.windows.incident.start_ns, zone)
