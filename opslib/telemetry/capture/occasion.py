"""What was known when evidence was taken and no row of it tells, so that asking the capture gives the same answer.

Read as hostile text: what is no text or no number counts as not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.model import Onset
from opslib.core.redact import USUAL, Redaction

_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Occasion:
    """How the windows were chosen, what the sources could not say, whom the service map knew, what was masked."""

    told: str = ""
    onset: Onset | None = None
    warnings: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    redaction: Redaction = USUAL

    def to_dict(self) -> dict[str, Any]:
        onset = self.onset and {"time": self.onset.time_ns, "uncertainty_s": self.onset.uncertainty_s}
        return {
            "told": self.told,
            "onset": onset,
            "warnings": list(self.warnings),
            "services": list(self.services),
            "redaction": self.redaction.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Occasion | None:
        """Return what `to_dict` has written; None where nothing is said."""
        if not isinstance(value, dict):
            return None
        told = value.get("told")
        return cls(
            told[:_MANY] if isinstance(told, str) else "",
            _onset(value.get("onset")),
            _texts(value, "warnings"),
            _texts(value, "services"),
            _rules(value.get("redaction")),
        )


def _onset(value: Any) -> Onset | None:
    if not isinstance(value, dict):
        return None
    time, uncertainty = value.get("time"), value.get("uncertainty_s")
    if type(time) is not int or not isinstance(uncertainty, int | float) or not abs(time) < 2**63:
        return None
    return Onset(time, float(uncertainty))


def _rules(value: Any) -> Redaction:
    try:
        return Redaction.from_dict(value if isinstance(value, dict) else {}).afterwards()
    except ValueError:  # of a foreign hand: the usual rules mask more than none
        return USUAL


def _texts(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    items = value.get(name)
    return tuple(t[:_MANY] for t in items[:_MANY] if isinstance(t, str)) if isinstance(items, list) else ()
