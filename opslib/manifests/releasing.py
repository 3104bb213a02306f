"""Carries out the plan of a set to its end: applied, watched, and the set from before put back when it fails.

Before the first write the way back is kept in the cluster and named in the journal. Going back applies what was, deletes
what was made (never what may hold others' things), and watches the workloads as the way forth did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.changes import has_intent
from opslib.core.errors import OpslibError, RefusedError
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan
from opslib.kube import Object, Ref, ref_of
from opslib.manifests.apply import Applied, apply_plan
from opslib.manifests.entries import Entry
from opslib.manifests.health import Health, health
from opslib.manifests.inventory import GUARDED, write_inventory
from opslib.manifests.leases import locked
from opslib.manifests.model import Manifest
from opslib.manifests.owners import MANAGER
from opslib.manifests.placing import rank
from opslib.manifests.plan import SetPlan
from opslib.manifests.previous import Previous, keep, kept, previous_of, refs_of
from opslib.manifests.serving import Serving, Smoke, await_serving, smoke, smoke_by_proxy, smoke_paths
from opslib.manifests.trouble import Restarts, restarts_of
from opslib.manifests.updating import AbortedError, Ended, Way, led_back, rollout_record, served_record
from opslib.manifests.waiting import Rollout, rollout_status
from opslib.manifests.workloads import KINDS, look_at

_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Release:
    """What is released: the set, its name, and the plan as it stands now, whose token is the approved one."""

    name: str
    manifests: tuple[Manifest, ...]
    planned: SetPlan


def release(way: Way, plan: Plan, wanted: Release) -> Ended:
    """Carry out an approved plan. Raises RefusedError, ClusterError before the journal says that it began."""
    inventory = wanted.planned.inventory
    workloads = workloads_of(wanted.planned.entries)
    with locked(way.cluster, workloads, way.folder.name, way.clock):
        return _begun(way, plan, wanted, inventory, workloads)


def workloads_of(entries: Iterable[Entry]) -> list[Ref]:
    """Return the workloads that a plan makes or changes."""
    return [e.ref for e in entries if e.ref.kind in KINDS and e.action in {"create", "change"}]


def _begun(way: Way, plan: Plan, wanted: Release, inventory: Ref, workloads: list[Ref]) -> Ended:
    if not plan.steps:
        return Ended(
            "finished", Outcome.PASS, f"release {wanted.name}: everything is as the set says already"
        )
    back = _way_back(way, inventory, wanted)
    names = [ref.identity for ref in workloads]
    way.journal.write("began", kind="release", object=inventory.identity, workloads=names, back=back)
    try:
        return carry_out(way, plan, wanted, back)
    except RefusedError as error:  # before the first write
        return Ended("aborted", Outcome.REFUSED, str(error), {"hint": error.hint})


def carry_out(
    way: Way,
    plan: Plan,
    wanted: Release,
    back: Mapping[str, Any],
    written: Mapping[Ref, str] | None = None,
) -> Ended:
    """Write what is not written yet, and watch it all. Raises RefusedError, ClusterError before it writes."""
    workloads = workloads_of(wanted.planned.entries)
    before = _restarts(way, workloads)
    applied = apply_plan(
        way.cluster,
        plan,
        wanted.manifests,
        release=wanted.name,
        journal=way.step,
        clock=way.clock,
        before=written,
    )
    if applied.failed:
        return go_back(way, back, _failed(applied))
    try:
        return _watched(way, wanted, back, workloads, before)
    except AbortedError:
        return go_back(way, back, "it was asked to abort")
    except OpslibError as error:
        return go_back(way, back, f"it cannot be watched: {error}")


def _way_back(way: Way, inventory: Ref, wanted: Release) -> dict[str, Any]:
    """Keep the way back in the cluster; where the Namespace comes with the set itself, only what is new need be known."""
    previous = previous_of(way.cluster, wanted.planned.entries, inventory)
    back: dict[str, Any] = {"inventory": inventory.identity}
    if way.cluster.get(Ref("v1", "Namespace", "", inventory.namespace)) is not None:
        return back | {"known": keep(way.cluster, inventory, previous)}
    return back | {"created": [ref.identity for ref in previous.created]}


def _failed(applied: Applied) -> str:
    ref, error = next(iter(applied.failed.items()))
    more = f", and {len(applied.failed) - 1} more" if len(applied.failed) > 1 else ""
    return f"{ref}: {error}{more}"


def _restarts(way: Way, workloads: Iterable[Ref]) -> Restarts:
    found: dict[tuple[str, str], int] = {}
    for ref in workloads:
        if way.cluster.get(ref) is not None:
            found |= restarts_of(look_at(way.cluster, ref).pods)
    return found


def _watched(
    way: Way, wanted: Release, back: Mapping[str, Any], workloads: list[Ref], before: Restarts
) -> Ended:
    results = way.cluster.each(
        lambda ref: rollout_status(
            way.cluster, ref, way.clock, wait=way.wait, before=before, progress=way.note
        ),
        workloads,
    )
    return _judged(way, wanted, back, results)


def _judged(
    way: Way, wanted: Release, back: Mapping[str, Any], results: list[Rollout | OpslibError]
) -> Ended:
    rollouts = [r for r in results if isinstance(r, Rollout)]
    details: dict[str, Any] = {"rollouts": [rollout_record(r) for r in rollouts]}
    for result in results:
        if isinstance(result, OpslibError):
            return go_back(way, back, f"it cannot be watched: {result}", details)
        if not result.ok and result.ending != "suspended":
            return go_back(way, back, f"{result.ref} {result.ending}: {result.reason}", details)
    others = await_others(way, wanted.planned.entries)
    details["health"] = [{"object": str(ref), "state": h.state, "reason": h.reason} for ref, h in others]
    failed = [f"{ref}: {h.reason}" for ref, h in others if h.state in {"failed", "progressing"}]
    if failed:
        return go_back(way, back, failed[0], details)
    services, calls = await_services(way, wanted.planned.entries)
    details |= {"serving": [served_record(s) for s in services], "calls": [_call(c) for c in calls]}
    bad = [f"{s.service}: {s.reason}" for s in services if s.outcome is Outcome.FAIL]
    bad += [f"{c.url}: {c.reason}" for c in calls if c.outcome is Outcome.FAIL]
    if bad:
        return go_back(way, back, bad[0], details)
    counts = ", ".join(f"{n} {word}" for word, n in wanted.planned.counts().items())
    return Ended(
        "finished", Outcome.PASS, f"release {wanted.name}: {counts}; workloads and Services are well", details
    )


def await_others(way: Way, entries: Iterable[Entry]) -> list[tuple[Ref, Health]]:
    """Return how what else was written is, waited for by kind; a kind without a rule is `not judged` and never waited for."""
    refs = [e.ref for e in entries if e.ref.kind not in KINDS and e.action in {"create", "change"}]
    end_s = way.clock.monotonic_s() + way.wait.deadline_s
    while True:
        there = way.cluster.get_all(refs)
        found = [(ref, health(there[ref])) for ref in refs if ref in there]
        if all(h.state != "progressing" for _, h in found) or way.clock.monotonic_s() >= end_s:
            return found
        if has_intent(way.folder, "abort"):
            raise AbortedError
        way.clock.sleep(_LOOK_S)


def await_services(way: Way, entries: Iterable[Entry]) -> tuple[list[Serving], list[Smoke]]:
    """Return what the set's Services lead to and answer."""
    there = [e for e in entries if e.action != "prune"]
    services = [e.body for e in there if e.ref.kind == "Service"]
    refs = [e.ref for e in there if e.ref.kind in KINDS]
    judged, workloads = await_serving(way.cluster, services, refs, way.clock)
    ingresses = way.cluster.get_all([e.ref for e in there if e.ref.kind == "Ingress"])

    def asked(service: Object) -> list[Smoke]:
        paths = smoke_paths(service, workloads)
        calls = [call for ingress in ingresses.values() for call in smoke(ingress, service, paths)]
        told = any(call.outcome is not Outcome.NO_DATA for call in calls)
        return calls if told else calls + smoke_by_proxy(way.cluster, service, workloads)

    found = way.cluster.each(asked, services)
    return judged, [call for calls in found if not isinstance(calls, OpslibError) for call in calls]


def _call(call: Smoke) -> dict[str, Any]:
    return {"url": call.url, "outcome": str(call.outcome), "reason": call.reason}


def go_back(
    way: Way, back: Mapping[str, Any], reason: str, details: Mapping[str, Any] | None = None
) -> Ended:
    """Put the set from before back, and watch it. The outcome says whether it is there again."""
    inventory = Ref.of_identity(back["inventory"])
    return led_back(way, back, reason, details, lambda: _put_back(way, inventory, back))


def _put_back(way: Way, inventory: Ref, back: Mapping[str, Any]) -> str:
    """Write what was before; return what failed, an empty text where nothing did."""
    if "known" in back:
        before = kept(way.cluster, inventory, str(back["known"]))
    else:
        before = Previous((), tuple(map(Ref.of_identity, back["created"])), {})
    bodies = sorted(before.bodies, key=lambda body: rank(body["kind"]))
    for body in bodies:
        way.journal.write("putting_back", text=f"put back {ref_of(body)}")
        way.cluster.apply(body, manager=MANAGER, force=True)
    for ref in sorted(before.created, key=lambda ref: -rank(ref.kind)):
        live = None if ref.kind in GUARDED else way.cluster.get(ref)
        if live is not None:
            way.journal.write("putting_back", text=f"delete {ref}, which is new")
            way.cluster.delete(ref, uid=live["metadata"]["uid"])
    write_inventory(way.cluster, inventory, before.inventory)
    workloads = [ref for ref in refs_of(before) if ref.kind in KINDS]
    results = way.cluster.each(
        lambda ref: rollout_status(way.cluster, ref, way.clock, wait=way.wait, progress=way.tell), workloads
    )
    bad = [str(r) for r in results if isinstance(r, OpslibError) or r.ending not in {"complete", "suspended"}]
    return bad[0] if bad else ""
