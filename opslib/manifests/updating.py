"""Carries out an order on a workload to its end: patched, watched, undone when it fails.

The way back stands in the journal before the first write. Whatever ends the wait (the pods cannot become ready, the
deadline, somebody's intent to abort), the revision from before is put back, and that is watched too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from opslib.core.changes import Journal, has_intent, journal_lines
from opslib.core.clock import Clock
from opslib.core.errors import ConflictError, ForbiddenError, OpslibError, RefusedError
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan, Step
from opslib.kube import Cluster, Object, Ref, ref_of
from opslib.manifests.leases import locked
from opslib.manifests.orders import ROLLING, Order, edit_of, order_of, way_back
from opslib.manifests.rollouts import carry_out_now
from opslib.manifests.serving import Serving, await_serving
from opslib.manifests.trouble import restarts_of
from opslib.manifests.waiting import Progress, Rollout, Wait, rollout_status
from opslib.manifests.workloads import Workload, look_at


class AbortedError(Exception):
    """Somebody asked for the way back."""


@dataclass(frozen=True, slots=True)
class Way:
    """What a change needs on its way: the cluster, its folder, its journal, and how long it may wait."""

    cluster: Cluster
    folder: Path
    journal: Journal
    clock: Clock
    wait: Wait = field(default_factory=Wait)

    def step(self, record: Mapping[str, Any]) -> None:
        """Write what `apply_plan` is about to do or has done; it is called by several threads."""
        phase = {"write": "writing"}.get(str(record["phase"]), str(record["phase"]))
        rest = {key: value for key, value in record.items() if key != "phase"}
        self.journal.write(phase, **rest)

    def tell(self, progress: Progress) -> None:
        """Write progress for who watches."""
        self.journal.write("waiting", text=str(progress), ready=progress.ready, wanted=progress.wanted)

    def note(self, progress: Progress) -> None:
        """Write progress for who watches. Raises AbortedError where somebody has asked for the way back."""
        self.tell(progress)
        if has_intent(self.folder, "abort"):
            raise AbortedError


@dataclass(frozen=True, slots=True)
class Ended:
    """How a change ended; `details` are JSON for the report."""

    phase: str  # of the journal: finished, aborted, rolled_back, rollback_failed
    outcome: Outcome
    summary: str
    details: Mapping[str, Any] = field(default_factory=dict)


def update(way: Way, plan: Plan) -> Ended:
    """Carry out the plan of an order. Raises RefusedError, ClusterError before the journal says that it began."""
    (step,) = plan.steps
    ref = Ref.of_identity(step.object)
    with locked(way.cluster, [ref], way.folder.name, way.clock):
        return _updated(way, ref, step)


def _updated(way: Way, ref: Ref, step: Step) -> Ended:
    order = order_of(step.patch)
    workload = _still(way.cluster, ref, step.expects)
    edit = edit_of(way.cluster, ref, order, way.clock)
    back = way_back(workload, order)
    way.journal.write(
        "began",
        kind="rollout",
        object=ref.identity,
        workloads=[ref.identity],
        order=order.to_dict(),
        back=back,
    )
    return _carried_out(way, edit.summary, order, workload, back)


def _carried_out(
    way: Way, summary: str, order: Order, workload: Workload, back: Mapping[str, Any] | None
) -> Ended:
    ref = workload.ref
    way.journal.write("writing", text=summary)
    try:
        carry_out_now(way.cluster, lambda: edit_of(way.cluster, ref, order, way.clock))
    except OpslibError as error:
        if _is_unchanged(way.cluster, workload.object):
            return Ended("aborted", _outcome_of(error), f"nothing was changed: {error}")
        return roll_back(way, ref, back, f"the write was cut off: {error}")
    way.journal.write("written", text=summary)
    return _watched(way, summary, order, workload, back)


def go_on(way: Way, plan: Plan, back: Mapping[str, Any] | None) -> Ended:
    """Go on with an order whose driver is gone. Raises RefusedError where it was not all that was done to the workload."""
    (step,) = plan.steps
    order, workload = order_of(step.patch), look_at(way.cluster, Ref.of_identity(step.object))
    metadata = workload.object["metadata"]
    same = metadata["uid"] == step.expects["uid"]
    writes = metadata.get("generation", 0) - step.expects["generation"]
    if same and not writes:
        edit = edit_of(way.cluster, workload.ref, order, way.clock)
        return _carried_out(way, edit.summary, order, workload, back)
    texts = {line["phase"]: str(line.get("text")) for line in journal_lines(way.folder)}
    told = "written" in texts or ("writing" in texts and _is_so(way, workload.ref, order))
    if same and writes == 1 and told:
        return _watched(way, texts["writing"], order, workload, back)
    raise RefusedError(f"somebody may have changed {workload.ref} since", hint="look at its history")


def _is_so(way: Way, ref: Ref, order: Order) -> bool:
    """Tell whether a write that was cut off got through; no for what cannot be told from somebody else's."""
    try:
        edit_of(way.cluster, ref, order, way.clock)
    except RefusedError:
        return order.action in {"set image", "pause", "resume"}
    return False


def _watched(
    way: Way, summary: str, order: Order, workload: Workload, back: Mapping[str, Any] | None
) -> Ended:
    if order.action not in ROLLING:
        return Ended("finished", Outcome.PASS, summary)
    ref, before, details = workload.ref, restarts_of(workload.pods), dict[str, Any]()
    try:
        result = rollout_status(way.cluster, ref, way.clock, wait=way.wait, before=before, progress=way.note)
        details["rollout"] = rollout_record(result)
        if not result.ok:
            return roll_back(way, ref, back, f"{result.ending}: {result.reason}", details)
        services = way.cluster.list_objects(way.cluster.kind("v1", "Service"), ref.namespace)
        served, _ = await_serving(way.cluster, services, [ref], way.clock)
    except AbortedError:
        return roll_back(way, ref, back, "it was asked to abort", details)
    except OpslibError as error:
        return roll_back(way, ref, back, f"it cannot be watched: {error}", details)
    details["serving"] = [served_record(s) for s in served]
    bad = [s for s in served if s.outcome is Outcome.FAIL]
    if bad:
        return roll_back(way, ref, back, f"{bad[0].service}: {bad[0].reason}", details)
    return Ended(
        "finished", Outcome.PASS, f"{summary}: {result.reason} after {result.seconds:.0f} s", details
    )


def roll_back(
    way: Way, ref: Ref, back: Mapping[str, Any] | None, reason: str, details: Mapping[str, Any] | None = None
) -> Ended:
    """Put back what was before, and watch it. The outcome says whether it is there again."""
    if back is None:
        text = f"{reason}; there is no way back"
        return Ended("rollback_failed", Outcome.ROLLBACK_FAILED, text, dict(details or {}))
    return led_back(way, back, reason, details, lambda: _put_back(way, ref, order_of(back)))


def led_back(
    way: Way, back: Mapping[str, Any], reason: str, details: Mapping[str, Any] | None, put: Callable[[], str]
) -> Ended:
    """Say in the journal what the way back is, take it, and tell whether it led there; `put` returns what failed."""
    way.journal.write("rolling_back", text=reason, back=dict(back))
    try:
        failed = put()
    except OpslibError as error:
        failed = str(error)
    told = dict(details or {})
    if failed:
        text = f"{reason}; the way back failed: {failed}"
        return Ended("rollback_failed", Outcome.ROLLBACK_FAILED, text, told)
    return Ended("rolled_back", Outcome.ROLLED_BACK, f"rolled back, because {reason}", told)


def _put_back(way: Way, ref: Ref, order: Order) -> str:
    """Give the order that leads back, and watch it; return what failed, an empty text where nothing did."""
    try:
        carry_out_now(way.cluster, lambda: edit_of(way.cluster, ref, order, way.clock))
    except (ForbiddenError, ConflictError) as error:
        return str(error)
    except RefusedError:
        pass  # it is there already: the write never arrived, or somebody was quicker
    if order.action not in ROLLING:
        return ""
    result = rollout_status(way.cluster, ref, way.clock, wait=way.wait, progress=way.tell)
    return "" if result.ok else str(result)


def _still(cluster: Cluster, ref: Ref, expects: Mapping[str, Any]) -> Workload:
    """Return the workload where it is what was planned for. Raises RefusedError."""
    workload = look_at(cluster, ref)
    metadata = workload.object["metadata"]
    if (metadata["uid"], metadata.get("generation", 0)) != (expects["uid"], expects["generation"]):
        raise RefusedError(f"{ref} has been changed since it was planned", hint="plan again")
    return workload


def _is_unchanged(cluster: Cluster, before: Object) -> bool:
    """Tell whether a write that failed has changed nothing; what cannot be asked counts as changed."""
    try:
        now = cluster.get(ref_of(before))
    except OpslibError:
        return False
    return now is not None and now["metadata"].get("generation") == before["metadata"].get("generation")


def _outcome_of(error: OpslibError) -> Outcome:
    return Outcome.REFUSED if isinstance(error, RefusedError) else Outcome.ERROR


def rollout_record(result: Rollout) -> dict[str, Any]:
    """Return a rollout as JSON."""
    last = result.last
    return {
        "object": str(result.ref),
        "ending": result.ending,
        "reason": result.reason,
        "seconds": result.seconds,
        "revision": last.revision if last else 0,
        "health": f"{last.health.state}: {last.health.reason}" if last else "",
        "causes": [
            {
                **asdict(cause.trouble),
                "text": str(cause.trouble),
                "events": list(cause.events),
                "log": list(cause.log),
            }
            for cause in result.causes
        ],
    }


def served_record(found: Serving) -> dict[str, Any]:
    """Return what a Service leads to as JSON."""
    return {
        "service": str(found.service),
        "outcome": str(found.outcome),
        "reason": found.reason,
        "new": found.new,
        "others": found.others,
    }
