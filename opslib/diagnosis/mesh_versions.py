"""Versions of one workload beside each other, as the mesh counts their requests: on own edges, of callers, of callees.

Versions are compared only where they meet the same: the same caller in the same version, or the same callee. So a
rollout further up or down, which all versions meet alike, shows in none of them. What one version takes longer because
it meets a worse version of a callee is taken off it; where two versions always meet, the server's time is the callee's.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from opslib.diagnosis import weights
from opslib.diagnosis.cohorts import Difference, Sums
from opslib.diagnosis.mesh import Flow, Key, Mesh
from opslib.diagnosis.mesh_samples import DESTINATION, SOURCE
from opslib.diagnosis.partial import BASELINE, INCIDENT
from opslib.diagnosis.segments import EDGE

Cells = Mapping[tuple[str, str], Flow]  # (what else is met, version) -> requests
Split = Callable[[Key], tuple[str, str] | None]

_PART = "its part of a request"


@dataclass(frozen=True, slots=True)
class _Pair:
    """A version and its others, these at the mix of what the version meets; z of durations and of failures."""

    version: str
    own: Flow
    others: Flow
    z_time: float
    z_errors: float


def version_differences(mesh: Mesh, services: Collection[str]) -> Iterator[Difference]:
    """Yield each version that has others beside it in the incident: of a service by itself, then on each edge."""
    for service in sorted(services):
        yield from _own(mesh, service)
    for caller, callee in sorted({(k.caller, k.callee) for k in mesh.flows if k.caller}):
        if callee in services:
            yield from _asking(mesh, caller, callee)
            yield from _under_way(mesh, caller, callee)


def _own(mesh: Mesh, service: str) -> Iterator[Difference]:
    """Compare what a service itself takes and fails, by its version: less the waits that its versions have in common."""
    reporter = DESTINATION if mesh.reports(service) else SOURCE
    now, earlier = (_cells(mesh, w, reporter, _inbound(service)) for w in (INCIDENT, BASELINE))
    for pair in _pairs(mesh, now, apart=True):
        before = _of(earlier, pair.version)
        added_ns, failing = _passed_on(mesh, service, pair)
        waits_ns = _waits_ns(mesh, INCIDENT, service, pair.version, _but(now, pair.version), its_own=False)
        waited_ns = _waits_ns(mesh, BASELINE, service, pair.version, before, its_own=True)
        own, others = pair.own.less(waits_ns + added_ns, failing), pair.others.less(waits_ns)
        adjusted = replace(pair, own=own, others=others)
        yield _difference(service, (_PART, service, ""), adjusted, before.less(waited_ns))


def _asking(mesh: Mesh, caller: str, callee: str) -> Iterator[Difference]:
    """Compare what versions of a caller cost the same versions of a callee: heavier requests are the caller's doing."""
    now, earlier = (_cells(mesh, w, DESTINATION, _outbound(caller, callee)) for w in (INCIDENT, BASELINE))
    for pair in _pairs(mesh, now, apart=False):
        yield _difference(caller, (EDGE, caller, callee), pair, _of(earlier, pair.version))


def _under_way(mesh: Mesh, caller: str, callee: str) -> Iterator[Difference]:
    """Compare the time that only the caller's proxy sees, by the version of either end."""
    for service, split in ((callee, _inbound(callee, caller)), (caller, _outbound(caller, callee))):
        waited = [_cells(mesh, w, SOURCE, split) for w in (INCIDENT, BASELINE)]
        took = [_cells(mesh, w, DESTINATION, split) for w in (INCIDENT, BASELINE)]
        way, earlier = (
            {at: flow.less(b[at].mean_ns, b[at].failing) for at, flow in a.items() if at in b}
            for a, b in zip(waited, took, strict=True)
        )
        tested = {pair.version: pair for pair in _pairs(mesh, waited[0], apart=True)}
        for pair in _pairs(mesh, way, apart=True):
            by = tested[pair.version]  # a wait has no distribution of its own: that of the whole is tested
            shown = replace(pair, z_time=by.z_time, z_errors=by.z_errors)
            yield _difference(service, (EDGE, caller, callee), shown, _of(earlier, pair.version))


def _inbound(callee: str, caller: str | None = None) -> Split:
    """Split what arrives at a workload by its version, apart for each caller and version of that."""

    def split(key: Key) -> tuple[str, str] | None:
        fits = key.callee == callee and caller in (None, key.caller)
        return (f"{key.caller} {key.caller_version}", key.callee_version) if fits else None

    return split


def _outbound(caller: str, callee: str) -> Split:
    """Split what a workload asks of another by its own version, apart for each version of the other."""

    def split(key: Key) -> tuple[str, str] | None:
        fits = (key.caller, key.callee) == (caller, callee)
        return (key.callee_version, key.caller_version) if fits else None

    return split


def _cells(mesh: Mesh, window: int, reporter: str, split: Split) -> Cells:
    cells: dict[tuple[str, str], Flow] = defaultdict(Flow)
    for key, flow in mesh.flows.items():
        if (key.window, key.reporter) == (window, reporter) and (at := split(key)) and at[1]:
            cells[at] += flow
    return cells


def _of(cells: Cells, version: str) -> Flow:
    return _sum(flow for (_, v), flow in cells.items() if v == version)


def _but(cells: Cells, version: str) -> Flow:
    return _sum(flow for (_, v), flow in cells.items() if v != version)


def _sum(flows: Iterable[Flow]) -> Flow:
    return sum(flows, Flow())


def _pairs(mesh: Mesh, cells: Cells, *, apart: bool) -> Iterator[_Pair]:
    """Yield each version against its others. apart: also where they never meet the same, then as they are."""
    versions = sorted({version for _, version in cells})
    for version in versions if len(versions) > 1 else ():
        strata = [side for side in _strata(cells, version) if _enough(side)]
        if not strata and apart:
            strata = [side for side in [(_of(cells, version), _but(cells, version))] if _enough(side)]
        if strata:
            yield _pair(mesh, version, strata)


def _strata(cells: Cells, version: str) -> Iterator[tuple[Flow, Flow]]:
    for met in sorted({at for at, v in cells if v == version}):
        alike = {(at, v): flow for (at, v), flow in cells.items() if at == met}
        yield alike[met, version], _but(alike, version)


def _enough(side: tuple[Flow, Flow]) -> bool:
    return min(flow.n for flow in side) >= weights.COHORT_CALLS


def _pair(mesh: Mesh, version: str, strata: list[tuple[Flow, Flow]]) -> _Pair:
    """Add up strata: others at the version's mix; z as in van Elteren's test, by the size of each stratum."""
    own, others = _sum(a for a, _ in strata), _sum(b for _, b in strata)
    mean_ns = sum(a.timed * b.mean_ns for a, b in strata) / max(own.timed, 1)
    failing = sum(a.n * b.failing for a, b in strata) / own.n
    standard = replace(others, ns=round(mean_ns * others.timed), errors=round(failing * others.n))
    sizes = [math.sqrt(a.n * b.n / (a.n + b.n)) for a, b in strata]
    whole = math.sqrt(sum(size**2 for size in sizes))
    z_time, z_errors = (
        sum(size * shift(b, a) for size, (a, b) in zip(sizes, strata, strict=True)) / whole
        for shift in (mesh.time_shift, mesh.error_shift)
    )
    return _Pair(version, own, standard, z_time, z_errors)


def _passed_on(mesh: Mesh, service: str, pair: _Pair) -> tuple[float, float]:
    """Return ns and failures per request that a version bears because it meets worse versions of its callees."""
    added_ns = failing = 0.0
    for callee in sorted({k.callee for k in mesh.flows if k.caller == service}):
        cells = _cells(mesh, INCIDENT, SOURCE, _outbound(service, callee))
        own, others = _of(cells, pair.version), _but(cells, pair.version)
        alike = [p for p in _pairs(mesh, cells, apart=False) if p.version == pair.version]
        itself_ns = sum(
            p.own.mean_ns - p.others.mean_ns for p in alike
        )  # it does so at the same version, too
        itself = sum(p.own.failing - p.others.failing for p in alike)
        if own.n and others.n:
            calls = own.n / max(pair.own.n, 1)
            added_ns += max(own.mean_ns - others.mean_ns - itself_ns, 0.0) * calls
            failing += max(own.failing - others.failing - itself, 0.0) * calls
    return added_ns, failing


def _waits_ns(mesh: Mesh, window: int, service: str, version: str, requests: Flow, *, its_own: bool) -> float:
    """Return what a version of a service, or its others, wait for their callees, per request of theirs."""
    at = (window, SOURCE, service)
    waits = mesh.total(
        lambda k: (k.window, k.reporter, k.caller) == at and (k.caller_version == version) is its_own
    )
    return waits.ns / max(requests.n, 1)


def _difference(service: str, place: tuple[str, str, str], pair: _Pair, before: Flow) -> Difference:
    sides = _sums(pair.own), _sums(pair.others), _sums(before)
    return Difference(service, "version", pair.version, *place, *sides, pair.z_time, pair.z_errors)


def _sums(flow: Flow) -> Sums:
    """Return a flow as a cohort's sums, its failures per request with a duration where there are such."""
    n = flow.timed or flow.n
    return Sums(n, round(flow.failing * n), flow.ns)
