"""The clues of a mesh's metrics: which service's own work, which way between two, or which version of a service.

They are weighed as the same facts from spans are, so a capture without traces comes to a verdict by the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from opslib.core.model import Finding, Kind, ScopeItem
from opslib.core.words import duration, printable, share
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.cohorts import tests_of
from opslib.diagnosis.compare import Shift, Yardstick
from opslib.diagnosis.mesh import Flow, Mesh
from opslib.diagnosis.mesh_places import Failing, Reach, failures, reach_of, time_shifts
from opslib.diagnosis.mesh_samples import DURATION, REQUESTS
from opslib.diagnosis.mesh_versions import version_differences
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.release_clues import cohort_clues, rollout_clues
from opslib.diagnosis.statistics import critical_z
from opslib.diagnosis.time_clues import common_growth, time_clues


def mesh_clues(mesh: Mesh, service: str, known: Collection[str], source: str) -> list[Clue]:
    """Return the clues below the service asked about. known: names of services, to tell dependencies from them."""
    reach = reach_of(mesh, service)
    shifts, failing = list(time_shifts(mesh, reach, known)), list(failures(mesh, reach, known))
    versions = list(version_differences(mesh, reach.services))
    critical = critical_z((*(s.z for s in shifts), *tests_of(versions)), weights.FALSE_ALARM)
    by = _yardstick(shifts, reach, critical, source)
    aside = {s.place.label for s in shifts if _not_waited_for(s, reach)}
    clues = [c.weaker(weights.MIXED_BELOW) if _label(c) in aside else c for c in time_clues(shifts, by)]
    clues += _failure_clues(failing, reach, source)
    releases = cohort_clues(versions, by)
    clues = _less_where_asked_for(clues, releases)
    rolled = _rollouts(mesh, reach.services)
    return [_of_metrics(clue) for clue in (*clues, *releases, *rollout_clues(clues, rolled, source))]


def _yardstick(shifts: Sequence[Shift], reach: Reach, critical: float, source: str) -> Yardstick:
    mean_ns = reach.before.mean_ns
    added = {s.place.label: s.added_ns * reach.per_call(s.place) for s in shifts if s.added_ns > 0}
    whole = sum(added.values())
    shares = {label: 100 * ns / whole for label, ns in added.items()}
    involved_ns = {s.place.label: mean_ns / max(reach.per_call(s.place), 1e-6) for s in shifts}
    return Yardstick(critical, common_growth(shifts), involved_ns, shares, mean_ns, source)


def _not_waited_for(shift: Shift, reach: Reach) -> bool:
    """Tell whether a place adds more than the requests asked about lost: nobody waits for it there."""
    lost_ns = max(reach.after.mean_ns - reach.before.mean_ns, 0.0)
    return shift.added_ns * reach.per_call(shift.place) > lost_ns + weights.PART_SHARE * reach.before.mean_ns


def _label(clue: Clue) -> str:
    if clue.edge is None:
        return f"service {clue.service}"
    return (
        f"dependency {clue.edge[1]}" if clue.kind == "dependency" else f"edge {clue.edge[0]}->{clue.edge[1]}"
    )


def _failure_clues(found: Sequence[Failing], reach: Reach, source: str) -> list[Clue]:
    critical = critical_z((one.z for one in found), weights.FALSE_ALARM, cuts=1)
    risen = [one for one in found if one.z >= critical and one.rose >= weights.FAILING_SHARE]
    whole = reach.after.failing - reach.before.failing
    return [_failure_clue(one, whole, reach.per_call(one.place), source) for one in risen]


def _failure_clue(one: Failing, whole: float, per_call: float, source: str) -> Clue:
    """Failures that are handled hurt less than those that reach the service asked about; `whole`: what reached it."""
    place, rose = one.place, one.rose * per_call
    reached = min(max(whole, 0.0) / rose, 1.0)
    way = f"on the way {place.caller} -> {place.callee}" if place.callee else f"in {place.service}"
    statement = (
        f"errors begin {printable(way, 120)}: {share(one.errors[1], one.n[1])} of the requests, "
        f"{share(one.errors[0], one.n[0])} before"
    )
    value, base = (round(100 * e / max(n, 1), 4) for e, n in zip(one.errors[::-1], one.n[::-1], strict=True))
    finding = Finding("metric", statement, value, base, "%", source)
    strength = saturate(rose * (0.5 + reached / 2), weights.HALF_FAILING)
    kind: Kind = "service" if not place.callee else "dependency" if place.kind == "dependency" else "edge"
    return Clue(
        "errors", place.service, kind, strength, finding, place.edge, silent=place.silent, significant=True
    )


def _less_where_asked_for(clues: Sequence[Clue], releases: Sequence[Clue]) -> list[Clue]:
    """Weaken the own work of a callee that only one version of a caller makes work more."""
    asked_more = {release.place for release in releases}

    def explained(clue: Clue) -> bool:
        return clue.kind == "service" and any(place.endswith(f" -> {clue.service}") for place in asked_more)

    return [clue.weaker(weights.MIXED) if explained(clue) else clue for clue in clues]


def _rollouts(mesh: Mesh, services: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return by service (from, to) where nearly all that arrives met another version than before."""
    found = {}
    for service in services:
        before, after = (_most_met(mesh, window, service) for window in (BASELINE, INCIDENT))
        if before and after and before != after:
            found[service] = (before, after)
    return found


def _most_met(mesh: Mesh, window: int, service: str) -> str:
    """Return the version of nine requests in ten, "" if there is none."""
    whole = mesh.into(window, service).n
    versions = sorted({k.callee_version for k in mesh.flows if k.callee == service} - {""})
    return next((v for v in versions if whole and mesh.into(window, service, v).n >= 0.9 * whole), "")


def _of_metrics(clue: Clue) -> Clue:
    """Say that the evidence is metrics, and which: the rules that made the clue are those for spans."""
    edge = clue.edge or ("", clue.service)
    metric = REQUESTS if clue.finding.unit == "%" else DURATION
    ends = zip(("source_workload", "destination_workload"), edge, strict=True)
    chosen = ",".join(f'{label}="{printable(name, 80)}"' for label, name in ends if name)
    query = f"{metric}{{{chosen}}}" + (" by version" if clue.version else "")
    return replace(clue, operation=None, finding=replace(clue.finding, signal="metric", query=query))


def mesh_state(mesh: Mesh, service: str) -> str | None:
    """Say in words how the requests of a service changed; None where the mesh does not see it."""
    reach = reach_of(mesh, service)
    before, after = reach.before, reach.after
    if not before.timed or not after.timed:
        return None
    text = (
        f"requests take {duration(after.mean_ns)} in the mean, {duration(before.mean_ns)} before "
        f"({after.n:,} and {before.n:,} requests)"
    )
    if after.errors or before.errors:
        text += f", {share(after.errors, after.n)} fail, {share(before.errors, before.n)} before"
    return text


def version_scope(mesh: Mesh, lead: Clue) -> tuple[ScopeItem, ...]:
    """Return which part of the slow (or failed) requests and of the others met the version blamed.

    Slow are those beyond the bound that holds 95 % of the baseline's requests.
    """
    if not lead.version:
        return ()
    limit = _limit(mesh.into(BASELINE, lead.service))
    whole, blamed = mesh.into(INCIDENT, lead.service), mesh.into(INCIDENT, lead.service, lead.version)
    failing = lead.finding.unit == "%"
    bad, of_bad = (flow.errors if failing else sum(flow.counts[limit:]) for flow in (whole, blamed))
    fine, of_fine = (
        flow.n - flow.errors if failing else sum(flow.counts[:limit]) for flow in (whole, blamed)
    )
    shares = [round(part / n, 4) if n else 0.0 for part, n in ((of_bad, bad), (of_fine, fine))]
    return (ScopeItem("version", lead.version, shares[0], shares[1]),)


def _limit(before: Flow) -> int:
    """Return how many bounds hold 95 % of the requests."""
    so_far = 0
    for number, count in enumerate(before.counts, start=1):
        so_far += count
        if so_far >= 0.95 * sum(before.counts):
            return number
    return len(before.counts)
