"""When a probe runs and what its results mean: the probe worker of the Kubernetes 1.34 kubelet, as pure functions.

Source: pkg/kubelet/prober/worker.go and prober_manager.go. A worker wakes at ticks that began when the pod was added,
not when the container started; a tick that falls into a running probe is taken right after it, further ones are lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["startup", "readiness", "liveness"]
Result = Literal["unknown", "success", "failure"]
Step = Literal["wait", "probe", "end"]

_INITIAL: Mapping[Kind, Result] = {"startup": "unknown", "readiness": "failure", "liveness": "success"}


@dataclass(frozen=True, slots=True)
class Timing:
    """The numbers of a probe, with their defaults."""

    initial_delay_s: int = 0
    period_s: int = 10
    timeout_s: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3

    @classmethod
    def of(cls, probe: Mapping[str, Any]) -> Timing:
        return cls(
            int(probe.get("initialDelaySeconds") or 0),
            int(probe.get("periodSeconds") or 10),
            int(probe.get("timeoutSeconds") or 1),
            int(probe.get("successThreshold") or 1),
            int(probe.get("failureThreshold") or 3),
        )


@dataclass(frozen=True, slots=True)
class Ticker:
    """Ticks at start + k periods, of which at most one waits to be taken."""

    start_s: float
    period_s: float
    taken: int = 0

    @property
    def due_s(self) -> float:
        """When the next tick can be taken; it lies in the past when one waits."""
        return self.start_s + (self.taken + 1) * self.period_s

    def take(self, now_s: float) -> Ticker:
        """Take one tick; those that came while it waited are lost."""
        passed = math.floor((now_s - self.start_s) / self.period_s)
        return replace(self, taken=max(self.taken + 1, passed))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a worker sees of its container when it wakes; `age_s` is None while it does not run."""

    container_id: str
    age_s: float | None
    started: bool = False
    deleting: bool = False
    ended: bool = False  # the pod has ended, or the container has and is not started again


@dataclass(frozen=True, slots=True)
class Worker:
    """One probe of one container: its present result, and the run of equal outcomes that may change it."""

    kind: Kind
    timing: Timing
    container_id: str = ""
    result: Result = "unknown"
    on_hold: bool = False
    last: Result = "unknown"
    run: int = 0


def wake(worker: Worker, seen: Seen) -> tuple[Worker, Step]:
    """Return what the worker does at a tick."""
    if seen.ended:
        return worker, "end"
    if not seen.container_id:
        return worker, "wait"
    if worker.container_id != seen.container_id:
        result = _INITIAL[worker.kind]
        worker = replace(worker, container_id=seen.container_id, result=result, on_hold=False)
    if worker.on_hold:
        return worker, "wait"
    if seen.age_s is None:
        return replace(worker, result="failure"), "wait"
    if seen.deleting and worker.kind != "readiness":
        return replace(worker, result="success"), "end"
    # Whole seconds since the start, also where there is a startup probe; startup goes first, then the others.
    early = math.floor(seen.age_s) < worker.timing.initial_delay_s
    if early or seen.started is (worker.kind == "startup"):
        return worker, "wait"
    return worker, "probe"


def learn(worker: Worker, *, success: bool | None) -> Worker:
    """Return the worker after a probe; None is a probe that could not be made, which counts for nothing."""
    if success is None:
        return worker
    outcome: Result = "success" if success else "failure"
    run = worker.run + 1 if worker.last == outcome else 1
    worker = replace(worker, last=outcome, run=run)
    timing = worker.timing
    if run < (timing.success_threshold if success else timing.failure_threshold):
        return worker
    worker = replace(worker, result=outcome)
    if worker.kind == "startup" or (worker.kind == "liveness" and not success):
        return replace(worker, on_hold=True, run=0)  # until there is another container
    return worker
