"""Apply an approved plan: preconditions looked at again, the inventory first, then kind after kind, each write journalled.

What one object needs is written in a row, objects of one kind side by side; where one fails, later kinds are not begun.
Every write states all that is wanted, so planning and applying the same set again heals any interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import ClusterError, OpslibError, RefusedError
from opslib.core.plan import Plan, Step
from opslib.kube import Cluster, Object, Ref
from opslib.manifests.inventory import Record, inventory_ref
from opslib.manifests.model import Manifest
from opslib.manifests.owners import HANDOVER, MANAGER
from opslib.manifests.placing import rank, served
from opslib.manifests.plan import prepare
from opslib.manifests.pods import mapping, mappings
from opslib.manifests.steps import HAND_OVER, bodies_of, unmet

ESTABLISH_TIMEOUT_S = 60.0
_LOOK_S = 0.2
_DEFINITION = "CustomResourceDefinition"

Journal = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a plan's objects; `written` has their uids, `""` for what was deleted."""

    written: Mapping[Ref, str]
    failed: Mapping[Ref, OpslibError]
    not_begun: tuple[Ref, ...]


def apply_plan(
    cluster: Cluster,
    plan: Plan,
    manifests: Iterable[Manifest],
    *,
    release: str,
    journal: Journal,
    clock: Clock,
    before: Mapping[Ref, str] | None = None,
) -> Applied:
    """Apply a plan that somebody has approved, made just now or saved and read again.

    Args:
        cluster: where; it must be the plan's.
        plan: the plan.
        manifests: the set that it was made of.
        release: the release that it was made for.
        journal: is given a record before and after each write, by several threads.
        clock: for the wait until definitions are established.
        before: what an earlier try has written of it, with uids; it is left as it is.

    Raises:
        RefusedError: it is another cluster or set, or a precondition does not hold any more; nothing was written.
    """
    if cluster.identity() != plan.cluster:
        raise RefusedError("the plan was made for another cluster", hint="plan again")
    inventory = inventory_ref(release, cluster.namespace)
    targets = prepare(cluster, manifests, inventory)
    bodies = bodies_of(plan, targets)
    written = dict(before or {})
    failed = _unestablished(cluster, [ref for ref in written if ref.kind == _DEFINITION], clock)
    left = [step for step in plan.steps if Ref.of_identity(step.object) not in written]
    _recheck(cluster, left)
    record = Record(cluster, inventory, [placed.ref for placed in targets])
    for (pruning, number), steps in groupby(left, _place):
        if failed:
            break
        if number:  # Namespaces come before it, since it may lie in one; they are never pruned unnamed
            record.begin()
        done, bad = _write_all(cluster, list(steps), bodies, journal)
        written, failed = written | done, failed | bad
        if not failed and not pruning and number == rank(_DEFINITION):
            failed |= _unestablished(cluster, done, clock)
    if record.begun or not failed:
        record.finish(written)
    rest = dict.fromkeys(Ref.of_identity(step.object) for step in plan.steps)
    return Applied(written, failed, tuple(ref for ref in rest if ref not in written and ref not in failed))


def _recheck(cluster: Cluster, steps: Sequence[Step]) -> None:
    """Raise RefusedError where what steps were planned for is not there any more."""
    refs = {step.object: Ref.of_identity(step.object) for step in steps}
    live = cluster.get_all(served(cluster, refs.values()))
    broken = [(step, why) for step in steps if (why := unmet(step.expects, live.get(refs[step.object])))]
    if broken:
        first, why = broken[0]
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise RefusedError(
            f"{refs[first.object]} is not what was planned for: {why}{more}", hint="plan again"
        )


def _place(step: Step) -> tuple[bool, int]:
    return step.action == "prune", rank(Ref.of_identity(step.object).kind)


def _write_all(
    cluster: Cluster, steps: Sequence[Step], bodies: Mapping[str, Object], journal: Journal
) -> tuple[dict[Ref, str], dict[Ref, OpslibError]]:
    """Write objects side by side; return uids and errors."""
    objects = {name: list(own) for name, own in groupby(steps, lambda step: step.object)}

    def write(name: str) -> str:
        uid = ""
        for step in objects[name]:
            record = {"action": step.action, "object": name}
            journal({"phase": "write", **record})
            try:
                uid = _write(cluster, step, bodies.get(name, {}))
            except OpslibError as error:
                journal({"phase": "failed", **record, "error": str(error)})
                raise
            journal({"phase": "written", **record})
        return uid

    results = dict(zip(map(Ref.of_identity, objects), cluster.each(write, objects), strict=True))
    errors = {ref: result for ref, result in results.items() if isinstance(result, OpslibError)}
    return {ref: result for ref, result in results.items() if not isinstance(result, OpslibError)}, errors


def _write(cluster: Cluster, step: Step, body: Object) -> str:
    """Make one write; return the object's uid, an empty text where it was deleted."""
    ref = Ref.of_identity(step.object)
    if step.action == "prune":
        cluster.delete(ref, uid=step.expects["uid"])
        return ""
    if step.action == HAND_OVER:
        metadata = {"name": ref.name, "namespace": ref.namespace}
        held = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, **step.patch}
        return str(cluster.apply(held, manager=HANDOVER)["metadata"]["uid"])
    return str(cluster.apply(body, manager=MANAGER, force=step.patch["force"])["metadata"]["uid"])


def _unestablished(cluster: Cluster, definitions: Iterable[Ref], clock: Clock) -> dict[Ref, OpslibError]:
    """Wait until definitions are established and served; return an error for each that is not in time."""
    end_s = clock.monotonic_s() + ESTABLISH_TIMEOUT_S
    waiting = list(definitions)
    while waiting:
        waiting = [ref for ref in waiting if not _is_established(cluster, cluster.get(ref))]
        if waiting and clock.monotonic_s() >= end_s:
            break
        if waiting:
            clock.sleep(_LOOK_S)
    late = f"it was not established within {ESTABLISH_TIMEOUT_S:g} s"
    return {ref: ClusterError(late, hint="its conditions say why: `kubectl describe crd`") for ref in waiting}


def _is_established(cluster: Cluster, body: Object | None) -> bool:
    spec, status = mapping(body, "spec"), mapping(body, "status")
    if not any(
        c.get("type") == "Established" and c.get("status") == "True" for c in mappings(status, "conditions")
    ):
        return False
    kind = str(mapping(spec, "names").get("kind"))
    versions = [f"{spec.get('group')}/{v.get('name')}" for v in mappings(spec, "versions") if v.get("served")]
    wanted = [Ref(version, kind, "", "") for version in versions]
    return served(cluster, wanted) == wanted
