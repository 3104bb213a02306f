"""A clue: one piece of evidence against one service, with its strength."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from opslib.core.model import Finding, Kind


@dataclass(frozen=True, slots=True)
class Clue:
    """Evidence that `service` is the cause; `strength` is 0 to 1 before weighting; `family` picks the weight."""

    family: str
    service: str
    kind: Kind
    strength: float
    finding: Finding
    edge: tuple[str, str] | None = None
    operation: str | None = None
    pod: str | None = None
    version: str = ""  # of the release that is blamed
    place: str = ""  # where its versions differ, if that is a wait between two services
    silent: bool = False
    significant: bool = False  # beyond chance and large enough to act on by itself

    def weaker(self, factor: float) -> Clue:
        """Return the same clue with its strength scaled down, no longer enough by itself."""
        return dataclasses.replace(self, strength=self.strength * factor, significant=False)


def saturate(value: float, half: float) -> float:
    """Return 0 for nothing, one half at `half`, towards 1 beyond."""
    return value / (value + half) if value > 0 else 0.0
