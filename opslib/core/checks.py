"""One checked fact, as preflights, `opslib doctor` and `opslib capture verify` report it."""

from __future__ import annotations

from dataclasses import dataclass

from opslib.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it came out, one sentence, and what to do where it is not `pass`."""

    name: str
    outcome: Outcome
    statement: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        return {
            "name": self.name,
            "outcome": str(self.outcome),
            "statement": self.statement,
            "hint": self.hint,
        }


def worst(checks: tuple[Check, ...]) -> Outcome:
    """Return the outcome of all checks together: error before fail before no_data before pass."""
    order = (Outcome.ERROR, Outcome.REFUSED, Outcome.FAIL, Outcome.NO_DATA)
    return next((o for o in order if any(check.outcome is o for check in checks)), Outcome.PASS)
