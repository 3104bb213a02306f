"""Goes on with a release whose driver is gone: only where all that it has written stands, and the way back is there.

What the journal says was written must be in the cluster as it was written; what was on its way is looked at; what was not
begun must be as it was planned for. Everything else is somebody's edit: nothing more is written, and the way back stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opslib.core.changes import journal_lines
from opslib.core.errors import RefusedError
from opslib.core.plan import Plan, Step
from opslib.kube import Cluster, Object, Ref
from opslib.manifests.entries import Entry, plan_object
from opslib.manifests.placing import Placed, served
from opslib.manifests.plan import SetPlan, prepare
from opslib.manifests.previous import kept
from opslib.manifests.releasing import Release, carry_out
from opslib.manifests.sets import ReleaseSet
from opslib.manifests.steps import bodies_of
from opslib.manifests.updating import Ended, Way


def go_on(way: Way, plan: Plan, release_set: ReleaseSet, begun: Mapping[str, Any]) -> Ended:
    """Write what is not written yet, and watch it all. Raises RefusedError, ClusterError before it writes."""
    inventory, back = Ref.of_identity(begun["object"]), begun["back"]
    if "known" in back:
        kept(way.cluster, inventory, back["known"])
    manifests = release_set.read(way.cluster).manifests
    targets = prepare(way.cluster, manifests, inventory)
    _refuse_other_set(plan, targets)
    written = written_of(way.cluster, plan, targets, journal_lines(way.folder))
    wanted = Release(release_set.name, manifests, SetPlan(plan, entries_of(plan, targets), inventory))
    way.journal.write("resuming", text=f"go on: {len(written)} objects are written already")
    return carry_out(way, plan, wanted, back, written)


def _refuse_other_set(plan: Plan, targets: Iterable[Placed]) -> None:
    now = {placed.ref.identity: placed.body for placed in targets}
    for identity, body in bodies_of(plan, targets).items():
        if now.get(identity) != body:
            raise RefusedError(
                f"{Ref.of_identity(identity)} is another one in the set now", hint="plan again"
            )


def written_of(
    cluster: Cluster, plan: Plan, targets: Iterable[Placed], lines: Iterable[Mapping[str, Any]]
) -> dict[Ref, str]:
    """Return which of a plan's objects are as they were to be, with uids; an empty one where it was to be deleted.

    Raises:
        RefusedError: the journal says that one was written, and it is not so any more.
    """
    placed = {one.ref.identity: one for one in targets}
    last = {step.object: step for step in plan.steps}
    told = {(line.get("object"), line.get("action")): line["phase"] for line in lines}
    live = cluster.get_all(served(cluster, map(Ref.of_identity, last)))
    found = {}
    for identity, step in last.items():
        ref, phase = Ref.of_identity(identity), told.get((identity, step.action))
        there = live.get(ref)
        if phase is None:
            continue
        if _stands(cluster, step, placed.get(identity), there):
            found[ref] = "" if step.action == "prune" or there is None else str(there["metadata"]["uid"])
        elif phase == "written":
            raise RefusedError(f"somebody has changed {ref} since it was written", hint="look at what it is")
    return found


def _stands(cluster: Cluster, step: Step, placed: Placed | None, there: Object | None) -> bool:
    if step.action == "prune":
        return there is None or there["metadata"]["uid"] != step.expects["uid"]
    if placed is None or there is None:
        return False
    return plan_object(cluster, placed, there, take_over=(), coming=()).action == "unchanged"


def entries_of(plan: Plan, targets: Iterable[Placed]) -> tuple[Entry, ...]:
    """Return the entries of a plan again, without what was there before it."""
    actions: dict[str, Any] = {step.object: step.action for step in plan.steps}
    kept_or_made = [
        Entry(actions.pop(p.ref.identity, "unchanged"), p.ref, p.source, body=p.body) for p in targets
    ]
    return (*kept_or_made, *(Entry("prune", Ref.of_identity(identity)) for identity in actions))
