"""Where a mesh's metrics see time and failures: in services and on the ways between them, below the one asked about.

A service's own work is what arrives at it less what it waits for; the way between two is what the caller's proxy waits
beyond what the callee's proxy takes. The rules are those for spans, on sums instead of single calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from opslib.diagnosis.compare import Shift, Side
from opslib.diagnosis.knowledge import Place
from opslib.diagnosis.mesh import Flow, Mesh
from opslib.diagnosis.mesh_samples import DESTINATION, SOURCE
from opslib.diagnosis.partial import BASELINE, INCIDENT

_WINDOWS = (BASELINE, INCIDENT)


@dataclass(frozen=True, slots=True)
class Reach:
    """What lies below a service: requests of each service and edge per request of its own, and how these changed."""

    services: Mapping[str, float]
    edges: Mapping[tuple[str, str], float]
    before: Flow
    after: Flow

    def per_call(self, place: Place) -> float:
        """Return how often one request of the service asked about meets a place."""
        return (
            self.edges.get((place.caller, place.callee), 1.0)
            if place.callee
            else self.services[place.service]
        )


@dataclass(frozen=True, slots=True)
class Failing:
    """Requests that begin to fail at one place, of how many: (before, after); z of the rise."""

    place: Place
    errors: tuple[int, int]
    n: tuple[int, int]
    z: float

    @property
    def rose(self) -> float:
        return self.errors[1] / max(self.n[1], 1) - self.errors[0] / max(self.n[0], 1)


def reach_of(mesh: Mesh, service: str) -> Reach:
    """Follow the requests of the incident from a service down, the ways into it included; "" reaches everything."""
    asked = {(k.caller, k.callee) for k in mesh.flows if k.window == INCIDENT and k.caller}
    if not service:
        everything = {name: 1.0 for edge in asked for name in edge} | dict.fromkeys(mesh.workloads(), 1.0)
        sides = ([f for k, f in mesh.flows.items() if k[:2] == (w, DESTINATION)] for w in _WINDOWS)
        return Reach(everything, dict.fromkeys(asked, 1.0), *(sum(side, Flow()) for side in sides))
    services = {service: 1.0}
    edges = {edge: 1.0 for edge in asked if edge[1] == service}
    todo = [service]
    while todo:
        caller = todo.pop(0)
        for callee in sorted(callee for one, callee in asked if one == caller and callee != service):
            each = mesh.asked(INCIDENT, caller, callee).n / max(_own_requests(mesh, INCIDENT, caller).n, 1)
            edges[caller, callee] = services[caller] * each
            if callee not in services:
                services[callee] = services[caller] * each
                todo.append(callee)
    return Reach(services, edges, *(_own_requests(mesh, window, service) for window in _WINDOWS))


def _own_requests(mesh: Mesh, window: int, service: str) -> Flow:
    """Return the requests of a service as its callers wait for them, the way included.

    At the edge of the mesh, where nothing arrives, all that it asks counts as one request.
    """
    callers = sorted({k.caller for k in mesh.flows if k.callee == service})
    arriving = sum((mesh.asked(window, caller, service) for caller in callers), Flow())
    if arriving.n:
        return arriving
    out = mesh.out_of(window, service)
    callees = {k.callee for k in mesh.flows if k.caller == service}
    n = max((mesh.asked(window, service, callee).n for callee in callees), default=0)
    return replace(out, n=n, timed=n, errors=min(out.errors, n))


def time_shifts(mesh: Mesh, reach: Reach, known: Collection[str]) -> Iterator[Shift]:
    """Yield how the own work of each service changed, and the time on each way, per request."""
    for service in sorted(reach.services):
        arriving = [mesh.into(window, service) for window in _WINDOWS]
        if mesh.reports(service) and all(flow.timed for flow in arriving):
            waits = [mesh.out_of(window, service) for window in _WINDOWS]
            own = [max(a.ns - w.ns, 0) for a, w in zip(arriving, waits, strict=True)]
            yield _shift(mesh, Place(f"service {service}", "service", service, service), arriving, own)
    for edge in sorted(reach.edges):
        waited, took = ([mesh.between(w, r, *edge) for w in _WINDOWS] for r in (SOURCE, DESTINATION))
        if all(flow.timed for flow in waited):
            beyond = [_beyond(a, b) for a, b in zip(waited, took, strict=True)] if _both(took) else waited
            yield _shift(mesh, _way(edge, known, seen=_both(took)), waited, [flow.ns for flow in beyond])


def failures(mesh: Mesh, reach: Reach, known: Collection[str]) -> Iterator[Failing]:
    """Yield how many requests begin to fail in each service and on each way."""
    for service in sorted(reach.services):
        if mesh.reports(service):
            arriving = [mesh.into(window, service) for window in _WINDOWS]
            passed_on = [mesh.out_of(window, service).errors for window in _WINDOWS]
            begun = [
                replace(f, errors=max(f.errors - e, 0)) for f, e in zip(arriving, passed_on, strict=True)
            ]
            yield _failing(mesh, Place(f"service {service}", "service", service, service), begun)
    for edge in sorted(reach.edges):
        waited, took = ([mesh.between(w, r, *edge) for w in _WINDOWS] for r in (SOURCE, DESTINATION))
        seen = all(flow.n for flow in took)
        begun = [_beyond(a, b) for a, b in zip(waited, took, strict=True)] if seen else waited
        yield _failing(mesh, _way(edge, known, seen=seen), begun)


def _both(flows: list[Flow]) -> bool:
    return all(flow.timed for flow in flows)


def _beyond(waited: Flow, took: Flow) -> Flow:
    """Return what the caller's proxy saw beyond what the callee's did."""
    return waited.less(took.mean_ns, took.failing)


def _way(edge: tuple[str, str], known: Collection[str], *, seen: bool) -> Place:
    """Return the place of a way: a callee without a proxy is silent if it is a service, else a dependency."""
    caller, callee = edge
    if not seen and callee not in known:
        return Place(f"dependency {callee}", "dependency", callee, caller, callee)
    return Place(f"edge {caller}->{callee}", "edge", callee, caller, callee, silent=not seen)


def _shift(mesh: Mesh, place: Place, whole: list[Flow], own_ns: list[int]) -> Shift:
    sides = [Side(flow.timed, ns) for flow, ns in zip(whole, own_ns, strict=True)]
    return Shift(place, place.caller, "", sides[0], sides[1], mesh.time_shift(whole[0], whole[1]))


def _failing(mesh: Mesh, place: Place, begun: list[Flow]) -> Failing:
    before, after = begun
    return Failing(place, (before.errors, after.errors), (before.n, after.n), mesh.error_shift(before, after))
