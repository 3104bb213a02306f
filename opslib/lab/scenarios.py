"""What can be broken, how, and what is then true: the ground-truth table.

Names and truth are read by nothing outside `opslib.lab`. The services of the shop are told knobs, never a
name, so nothing that a diagnosis sees gives a scenario away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opslib.core.errors import UsageError, near_names
from opslib.lab.truth import Answer, Truth

Knobs = Mapping[str, Mapping[str, float]]  # service (or network) -> knob -> value


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
    knobs: Knobs = field(default_factory=dict)
    helpers: tuple[Helper, ...] = ()
    standing: Knobs = field(default_factory=dict)  # what is so before the fault already
    keep_slower_ms: float | None = None  # under the fault only slower traces are kept
    begins_broken: bool = False  # nothing was captured before
    share: float = 1.0  # of the calls that meet the fault

    def fault(self) -> dict[str, Any]:
        """Return what the supervisor is told to set.

        `{"knobs": {service: {knob: value}}, "helpers": [{"role", "settings"}]}`; where it applies also `keep` (which
        traces the collector keeps) and `forget` (the capture).
        """
        names = {*self.standing, *self.knobs}
        fault: dict[str, Any] = {
            "knobs": {name: {**self.standing.get(name, {}), **self.knobs.get(name, {})} for name in names},
            "helpers": [{"role": h.role, "settings": dict(h.settings)} for h in self.helpers],
        }
        if self.keep_slower_ms is not None:
            fault["keep"] = {"slower_ms": self.keep_slower_ms}
        if self.begins_broken:
            fault["forget"] = True
        return fault

    def before(self) -> dict[str, Any]:
        """Return what the supervisor is told to set before the fault, for the time that it is compared with."""
        return {"knobs": {name: dict(values) for name, values in self.standing.items()}, "helpers": []}


# Sizes at the default load of 8 payments a second: each process stays below half of what it can do.
_HEAVY_SCORE = {"score_cpu_ms": 44.0}  # 8 x 44 ms: 0.35 of a core
_SLOW_WIRE = {"delay_ms.risk": 80.0}
_AHEAD = {"clock_offset_ms": 2000.0}
# Six parts in ten of the time it is held, so a booking waits about 90 ms in the mean, at most 300 or so.
_LOCKER = Helper("locker", {"hold_ms": [200, 300], "gap_ms": [120, 180]})
_EDGE = ("payment", "risk")
_LEDGER = Truth("dependency", "ledger", ("payment", "ledger"))

_PLAIN = (
    Scenario("healthy", "nothing is broken", Truth("no_anomaly")),
    Scenario(
        "risk-cpu",
        "the scorer of risk does heavy work",
        Truth("service", "risk"),
        knobs={"risk": _HEAVY_SCORE},
    ),
    Scenario(
        "ledger-lock",
        "another process holds the ledger's write lock in bursts",
        _LEDGER,
        helpers=(_LOCKER,),
    ),
    Scenario(
        "edge-delay",
        "the wire from payment to risk is slow",
        Truth("edge", "risk", _EDGE),
        knobs={"network": _SLOW_WIRE},
    ),
    Scenario(
        "payment-exception",
        "payment fails a share of its calls with an exception of its own",
        Truth("service", "payment"),
        knobs={"payment": {"fail_share": 0.3}},
        share=0.3,
    ),
    Scenario(
        "ledger-missing-index",
        "the index of the ledger's look-up is dropped: each reads the whole table",
        _LEDGER,
        helpers=(Helper("indexer", {}),),
    ),
    Scenario(
        "pool-exhausted",
        "a job inside payment keeps every connection of the ledger's pool for a while, again and again",
        Truth("service", "payment", evidence=("pool",)),
        knobs={"payment": {"pool_hold_ms": 250.0, "pool_gap_ms": 150.0}},
    ),
    Scenario(
        "retry-storm",
        "risk fails half of its calls, payment asks again with growing pauses",
        Truth("service", "risk", also=(Answer("edge", "risk", _EDGE),)),
        knobs={"risk": {"fail_share": 0.5}},
    ),
    Scenario(
        "payment-cpu-starved",
        "payment gets the processor for a quarter of the time only, in turns",
        Truth("service", "payment", also=(Answer("edge", "payment", ("order", "payment")),)),
        helpers=(Helper("throttle", {"target": "payment", "run_ms": 60, "stop_ms": 200}),),
    ),
    Scenario(
        "early-return",
        "payment skips risk",
        Truth("service", "payment"),
        knobs={"payment": {"score_share": 0.0}},
    ),
    Scenario(
        "red-herring",
        "the ledger's write lock is held in bursts while the storefront logs errors about its banners",
        Truth("dependency", "ledger", ("payment", "ledger"), innocent=("storefront",)),
        knobs={"storefront": {"banner_fail_share": 1.0}},
        helpers=(_LOCKER,),
    ),
)

_MIXED = (
    Scenario(
        "two-faults",
        "the scorer of risk does heavy work, and the ledger's write lock is held in bursts",
        Truth("service", "risk", also=(_LEDGER,), together=("risk", "ledger")),
        knobs={"risk": _HEAVY_SCORE},
        helpers=(_LOCKER,),
    ),
    Scenario(
        "slow-only-for-one-tenant",
        "the scorer of risk does heavy work for one tenant of four",
        Truth("service", "risk", scope=("tenant", "initech")),
        knobs={"risk": {"score_cpu_ms.initech": 80.0}},
        share=0.25,
    ),
    Scenario(
        "bad-release",
        "a second release of payment, slower and with errors, takes four calls in ten",
        Truth("release", "payment", scope=("version", "1.5.0")),
        knobs={"order": {"canary_share": 0.4}},
        helpers=(
            Helper(
                "release",
                {
                    "service": "payment",
                    "version": "1.5.0",
                    "knobs": {"sign_cpu_ms": 80.0, "fail_share": 0.02},
                },
            ),
        ),
        share=0.4,
    ),
)

_BLIND = (
    Scenario(
        "uninstrumented",
        "the scorer of risk does heavy work, and risk sends no spans",
        Truth(
            "undetermined",
            "risk",
            confidence="low",
            also=(Answer("edge", "risk", _EDGE, "low"),),
            missing=("risk", "server spans"),
            suspects=("risk",),
        ),
        knobs={"risk": _HEAVY_SCORE},
        standing={"risk": {"spans": 0.0}},
    ),
    Scenario(
        "tail-sampled",
        "the wire from payment to risk is slow, and the collector keeps only slow or failed traces since then",
        Truth("undetermined", missing=("alike-selected windows",), suspects=("risk",)),
        knobs={"network": _SLOW_WIRE},
        keep_slower_ms=60.0,
    ),
    Scenario(
        "clock-skew",
        "the clock of risk's host is two seconds ahead",
        Truth("no_anomaly", skewed=True),
        knobs={"risk": _AHEAD},
    ),
    Scenario(
        "clock-skew-edge-delay",
        "the wire from payment to risk is slow; the clock of risk's host is two seconds ahead all the time",
        Truth("edge", "risk", _EDGE, skewed=True),
        knobs={"network": _SLOW_WIRE},
        standing={"risk": _AHEAD},
    ),
    Scenario(
        "cold-start",
        "the scorer of risk does heavy work, and the capture begins with it",
        Truth("undetermined", missing=("baseline",), suspects=("risk",)),
        knobs={"risk": _HEAVY_SCORE},
        begins_broken=True,
    ),
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in (*_PLAIN, *_MIXED, *_BLIND)}


def scenario_names() -> tuple[str, ...]:
    """Return the names of the scenarios that can be injected, sorted."""
    return tuple(sorted(SCENARIOS))


def scenario(name: str) -> Scenario:
    """Return a scenario by its name. Raises UsageError with near names."""
    if name not in SCENARIOS:
        raise UsageError(f"there is no scenario {name!r}", hint=near_names(name, SCENARIOS))
    return SCENARIOS[name]
