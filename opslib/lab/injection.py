"""Breaking the running shop and mending it, so that the capture holds calls from before the fault and under it.

What is in effect stands in the lab's state; the capture gets nothing but what the fault causes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import LabError
from opslib.core.journal import write_json
from opslib.lab.calls import SERVICE, count_calls
from opslib.lab.commands import supervisor_address
from opslib.lab.control import Address, call
from opslib.lab.grading import Grade, grade_verdict
from opslib.lab.scenarios import SCENARIOS, Scenario, scenario
from opslib.lab.state import Folder, running
from opslib.lab.waiting import wait_for

CALLS = 30  # of payment, needed from before the fault and again under it
ENOUGH = 48  # wanted, where they come in time: a share of failures shows only in more calls
MET, MOST = 24, 96  # calls that are met by the fault itself, and at most so many for them
RECOVERED = 80  # wanted after a fault was cleared, where queues have to drain first
PATIENCE_S = 10.0  # for ENOUGH calls, for more of them more; then what is needed is enough
LIMIT_S = 30.0
_HEALTHY = SCENARIOS["healthy"]


@dataclass(frozen=True, slots=True)
class _Injection:
    """One injection under way: where, what, until when."""

    folder: Folder
    address: Address
    progress: Callable[[str], None]
    clock: Clock
    deadline_s: float
    wanted: int = 0  # calls of each half; 0: what the scenario needs

    def set(self, wanted: Scenario) -> int:
        """Bring a scenario about; return since when it is in effect."""
        since_ns = self._apply(wanted.fault())
        write_json(self.folder.truth, {"scenario": wanted.name, "since_ns": since_ns})
        return since_ns

    def prepare(self, wanted: Scenario) -> int:
        """Bring about what is so before the fault; return since when."""
        return self._apply(wanted.before())

    def _apply(self, fault: dict[str, Any]) -> int:
        call(self.address, "apply", timeout_s=20, **fault)
        return self.clock.now_ns()

    def await_calls(self, since_ns: int, what: str, *, at_least: int = 0) -> int:
        """Wait for calls that began at `since_ns` or later. Raises LabError at the deadline."""
        seen, begin_s = -1, self.clock.monotonic_s()
        left_s = self.deadline_s - begin_s
        wanted = self.wanted or max(ENOUGH, at_least)
        # Less where little time is left: the calls under the fault are waited for last, and must come too.
        patience_s = min(PATIENCE_S * max(wanted / ENOUGH, 1.0), 0.6 * left_s)

        def enough() -> int | None:
            nonlocal seen
            count = count_calls(self.folder.capture, since_ns, since_ns).under
            if count // 10 != seen // 10:
                self.progress(f"{what}: {min(count, wanted)} of {wanted} {SERVICE} calls captured")
            seen = count
            patient = self.clock.monotonic_s() - begin_s < patience_s
            return count if count >= (wanted if patient else CALLS) else None

        found = wait_for(enough, left_s, self.clock, every_s=0.25)
        if found is None:
            raise LabError(
                f"only {seen} {SERVICE} calls {what} were captured within {LIMIT_S:g} s",
                hint="opslib lab status shows whether the load and the collector are well",
            )
        return found


def inject(
    state: Path,
    name: str,
    progress: Callable[[str], None] = lambda _: None,
    *,
    enough: int = 0,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Bring a scenario about and return once the capture holds payment calls from before it and under it.

    Of each `enough`; without it ENOUGH, of a fault that meets few calls more, and more before it where another had to be
    cleared first. Where they do not come in time at least CALLS. Raises UsageError for an unknown scenario,
    EnvironmentNotFoundError where no lab runs, RefusedError while another injection is under way, LabError after
    LIMIT_S; the shop is then healthy.
    """
    wanted = scenario(name)
    clock = clock or SystemClock()
    folder = Folder(state.absolute())
    _check_rate(running(folder)["rates"])
    begin_s = clock.monotonic_s()
    run = _Injection(folder, supervisor_address(folder), progress, clock, begin_s + LIMIT_S, enough)
    with folder.locked("inject", "another injection is under way"):
        recovering, clean_ns, before = _is_broken(folder), _clean_since(run), 0
        if recovering and wanted.standing:
            run.await_calls(clean_ns, "after the fault before")
        if not wanted.standing and not wanted.begins_broken:
            before = run.await_calls(clean_ns, "before the fault", at_least=RECOVERED if recovering else 0)
        try:
            if wanted.standing:
                clean_ns = run.prepare(wanted)
                before = run.await_calls(clean_ns, "before the fault")
            since_ns = run.set(wanted)
            under = run.await_calls(since_ns, "under the fault", at_least=_needed(wanted))
        except BaseException:
            run.set(_HEALTHY)
            raise
    return {
        "scenario": name,
        "since_ns": since_ns,
        "clean_since_ns": clean_ns,
        "calls_before": before,
        "calls_under": under,
        "seconds": round(clock.monotonic_s() - begin_s, 1),
    }


def _check_rate(rates: Mapping[str, float]) -> None:
    rate = rates.get(SERVICE, 0.0)
    if rate * LIMIT_S * 0.9 < 2 * CALLS:
        raise LabError(
            f"at {rate:g} {SERVICE} calls a second, {2 * CALLS} calls do not fit into {LIMIT_S:g} s",
            hint=f"start the lab with more: --load {SERVICE}=8",
        )


def _needed(wanted: Scenario) -> int:
    """Return under how many calls a fault shows that meets a share of them only."""
    return min(round(MET / wanted.share), MOST)


def _is_broken(folder: Folder) -> bool:
    return bool(folder.read_truth().get("scenario", _HEALTHY.name) != _HEALTHY.name)


def _clean_since(run: _Injection) -> int:
    """Clear what is in effect; return since when calls are undisturbed."""
    truth = run.folder.read_truth()
    if _is_broken(run.folder):
        run.progress(f"clearing {truth['scenario']}")
        return run.set(_HEALTHY)
    begin_ns = int(running(run.folder)["begin_ns"])
    return max(begin_ns, int(truth.get("since_ns", 0)))


def clear(state: Path, *, clock: Clock | None = None) -> dict[str, Any]:
    """Take the fault away; harmless where none is in effect. Raises as `inject`."""
    clock = clock or SystemClock()
    folder = Folder(state.absolute())
    run = _Injection(folder, supervisor_address(folder), lambda _: None, clock, 0.0)
    with folder.locked("inject", "an injection is under way"):
        was = str(folder.read_truth().get("scenario", _HEALTHY.name))
        if was != _HEALTHY.name:
            run.set(_HEALTHY)
    return {"cleared": was}


def grade(state: Path, verdict: Mapping[str, Any] | None) -> Grade:
    """Compare a verdict JSON with the scenario in effect. Raises EnvironmentNotFoundError where no lab runs."""
    folder = Folder(state.absolute())
    running(folder)
    return grade_verdict(scenario(str(folder.read_truth().get("scenario", _HEALTHY.name))), verdict)
