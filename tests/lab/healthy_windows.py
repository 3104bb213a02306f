"""Pairs of windows cut from a healthy capture, each diagnosed as a question about an incident that there was not."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opslib.core.windows import NS_PER_S, Window
from opslib.investigate import find_cause
from opslib.telemetry.capture import open_capture

LENGTHS_S = (60, 120, 180, 240, 300)  # of the incident, and of the baseline before it


@dataclass(frozen=True)
class Cut:
    """One pair of windows: the incident's start in s from the beginning, its length, and what was said of it."""

    start_s: float
    length_s: int
    verdict: str
    summary: str
    missing: tuple[str, ...]

    @property
    def outcome(self) -> str:
        """Say what it was: to blame somebody is a false alarm, to find the whole machine slower need be none."""
        if self.verdict == "no_anomaly":
            return "no anomaly"
        if self.verdict == "undetermined":
            return "everything slower alike" if "alike" in " ".join(self.missing) else "undetermined"
        return "false alarm"


def cuts(capture: Path, number: int) -> Iterator[Cut]:
    """Slide `number` pairs over the whole capture, as many of each length."""
    held = open_capture(capture, live=True).extent()
    assert held is not None
    each = number // len(LENGTHS_S)
    for length_s in LENGTHS_S:
        length_ns = length_s * NS_PER_S
        first, last = held.start_ns + length_ns, held.end_ns - length_ns - 2 * NS_PER_S
        for k in range(each):
            start = first + (last - first) * k // (each - 1)
            incident = Window(start, start + length_ns)
            verdict = find_cause(
                "payment", capture=capture, window=str(incident), baseline=str(incident.before())
            ).verdict
            since_s = round((start - held.start_ns) / NS_PER_S, 1)
            yield Cut(since_s, length_s, verdict.verdict, verdict.summary, verdict.missing)
