"""The arithmetic of a HorizontalPodAutoscaler: from what pods use to how many there should be. Pure.

As Kubernetes 1.34 computes it: a tenth of deviation is tolerated; what is unknown is assumed against the direction of the
change; windows and policies of `behavior` bound how far and how fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from opslib.lab.cluster.options import Object

TOLERANCE = 0.1
_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Object = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One pod: what it requests and what it uses, in any one unit; `used` None: unknown; `ready`: counts already."""

    requested: int
    used: int | None
    ready: bool = True


@dataclass(frozen=True, slots=True)
class Past:
    """What was recommended, or by how much was scaled, at a time in seconds."""

    at_s: float
    replicas: int


@dataclass(slots=True)
class History:
    """Earlier wishes (`recommended`) and changes (`scaled`, positive: pods added), oldest first."""

    recommended: list[Past] = field(default_factory=list)
    scaled: list[Past] = field(default_factory=list)

    def forget(self, before_s: float) -> None:
        self.recommended = [each for each in self.recommended if each.at_s > before_s]
        self.scaled = [each for each in self.scaled if each.at_s > before_s]


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas, the reason and message of condition ScalingLimited, and whether a window held the wish back."""

    replicas: int
    limit: str = ""
    message: str = "the desired count is within the acceptable range"
    held: bool = False


def utilisation(samples: Sequence[Sample]) -> int | None:
    """Return what the pods use in per cent of what they request; None where nothing is known."""
    known = [s for s in samples if s.ready and s.used is not None]
    requested = sum(s.requested for s in known)
    return sum(s.used or 0 for s in known) * 100 // requested if requested else None


def replicas_for(samples: Sequence[Sample], current: int, target: float, *, per_cent: bool) -> int | None:
    """Return how many replicas bring the average to its target (per cent of requests, or units per pod)."""
    known = [s for s in samples if s.ready and s.used is not None]
    ratio = _ratio(known, target, per_cent=per_cent)
    if ratio is None:
        return None
    missing = [s for s in samples if s.used is None and s.ready]
    unready = [s for s in samples if not s.ready] if ratio > 1 else []
    if not missing and not unready:
        return current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * len(known))
    assumed = [Sample(s.requested, _assumed(s, ratio, target, per_cent=per_cent)) for s in missing]
    every = [*known, *assumed, *(Sample(s.requested, 0) for s in unready)]
    again = _ratio(every, target, per_cent=per_cent) or 0.0
    wanted = math.ceil(again * len(every))
    if abs(again - 1) <= TOLERANCE or (ratio < 1) != (again < 1) or (again < 1) != (wanted < current):
        return current
    return wanted


def _ratio(samples: Sequence[Sample], target: float, *, per_cent: bool) -> float | None:
    if not samples:
        return None
    if not per_cent:
        return sum(s.used or 0 for s in samples) / len(samples) / target
    used = utilisation(samples)
    return None if used is None else used / target


def _assumed(sample: Sample, ratio: float, target: float, *, per_cent: bool) -> int:
    """Return what a pod without figures is taken to use: nothing when growing, its whole share when shrinking."""
    if ratio >= 1:
        return 0
    return int(sample.requested * max(100.0, target) / 100) if per_cent else int(target)


def bounded(wanted: int, current: int, spec: Object, history: History, now_s: float) -> Decision:
    """Hold a wish to the windows and policies of `behavior`, then to minReplicas and maxReplicas."""
    behavior = spec.get("behavior") or {}
    up, down = _UP | (behavior.get("scaleUp") or {}), _DOWN | (behavior.get("scaleDown") or {})
    lowest = min([wanted, *_within(history.recommended, now_s, up["stabilizationWindowSeconds"])])
    highest = max([wanted, *_within(history.recommended, now_s, down["stabilizationWindowSeconds"])])
    steady = min(max(current, lowest), highest)
    pace = (
        min(current, _limit(down, current, history.scaled, now_s, sign=-1)),
        max(current, _limit(up, current, history.scaled, now_s, sign=1)),
    )
    return replace(_limited(steady, current, pace, spec), held=steady != wanted)


def _limited(steady: int, current: int, pace: tuple[int, int], spec: Object) -> Decision:
    """Hold a number to what the policies allow now, and to the bounds."""
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    if steady > current and steady > min(most, pace[1]):
        return Decision(most, *_TOO_MANY) if most <= pace[1] else Decision(pace[1], *_UP_LIMIT)
    if steady < current and steady < max(least, pace[0]):
        return Decision(least, *_TOO_FEW) if least >= pace[0] else Decision(pace[0], *_DOWN_LIMIT)
    if steady > most:
        return Decision(most, *_TOO_MANY)
    return Decision(least, *_TOO_FEW) if steady < least else Decision(steady)


_TOO_MANY = "TooManyReplicas", "the desired replica count is more than the maximum replica count"
_TOO_FEW = "TooFewReplicas", "the desired replica count is less than the minimum replica count"
_UP_LIMIT = "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
_DOWN_LIMIT = "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"


def _within(past: Sequence[Past], now_s: float, window_s: float) -> list[int]:
    return [each.replicas for each in past if each.at_s > now_s - window_s]


def _limit(rules: Object, current: int, scaled: Sequence[Past], now_s: float, *, sign: int) -> int:
    """Return how many replicas the policies of one direction allow now."""
    if rules["selectPolicy"] == "Disabled":
        return current
    limits: list[int] = []
    for policy in rules["policies"]:
        start = current - sum(_within(scaled, now_s, policy["periodSeconds"]))
        if policy["type"] == "Pods":
            limits.append(start + sign * policy["value"])
        elif sign > 0:
            limits.append(math.ceil(start * (100 + policy["value"]) / 100))
        else:
            limits.append(start * (100 - policy["value"]) // 100)
    widest = (rules["selectPolicy"] == "Max") == (sign > 0)
    return max(limits) if widest else min(limits)
