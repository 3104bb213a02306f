"""What can be broken, how, and what is then true: the ground-truth table.

Names and truth are read by nothing outside `opslib.lab`. The processes of the lab are told knobs and helpers, never a
name, so nothing that a diagnosis sees gives a scenario away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opslib.core.errors import UsageError, near_names
from opslib.core.model import VerdictKind


@dataclass(frozen=True, slots=True)
class Truth:
    """The right verdict: its kind, who is charged, and the edge where the kind is one or the callee is a dependency."""

    kind: VerdictKind
    service: str | None = None
    edge: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Helper:
    """A process beside the shop that causes trouble; `settings` are its own."""

    role: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault: its name, its cause in a sentence, its truth, and what is set to bring it about."""

    name: str
    cause: str
    truth: Truth
    knobs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # process -> knob -> value
    helpers: tuple[Helper, ...] = ()

    def fault(self) -> dict[str, Any]:
        """Return what the supervisor is told to set."""
        return {
            "knobs": {process: dict(values) for process, values in self.knobs.items()},
            "helpers": [{"role": h.role, "settings": dict(h.settings)} for h in self.helpers],
        }


# Sizes at the default load of 8 payments a second: each process stays below half of what it can do.
_TABLE = (
    Scenario("healthy", "nothing is broken", Truth("no_anomaly")),
    Scenario(
        "risk-cpu",
        "the scorer of risk does heavy work",
        Truth("service", "risk"),
        knobs={"risk": {"score_cpu_ms": 44.0}},  # 8 x 44 ms: 0.35 of a core
    ),
    Scenario(
        "ledger-lock",
        "another process holds the ledger's write lock in bursts",
        Truth("dependency", "ledger", ("payment", "ledger")),
        # Six parts in ten of the time it is held, so a booking waits about 90 ms in the mean, at most 300 or so.
        helpers=(Helper("locker", {"hold_ms": [200, 300], "gap_ms": [120, 180]}),),
    ),
    Scenario(
        "edge-delay",
        "the wire from payment to risk is slow",
        Truth("edge", "risk", ("payment", "risk")),
        knobs={"proxy": {"delay_ms": 80.0}},
    ),
    Scenario(
        "payment-exception",
        "payment fails a share of its calls with an exception of its own",
        Truth("service", "payment"),
        knobs={"payment": {"fail_share": 0.3}},
    ),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _TABLE}


def scenario_names() -> tuple[str, ...]:
    """Return the names of the scenarios that can be injected, sorted."""
    return tuple(sorted(SCENARIOS))


def scenario(name: str) -> Scenario:
    """Return a scenario by its name. Raises UsageError with near names."""
    if name not in SCENARIOS:
        raise UsageError(f"there is no scenario {name!r}", hint=near_names(name, SCENARIOS))
    return SCENARIOS[name]
