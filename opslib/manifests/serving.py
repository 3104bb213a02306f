"""After a rollout: do the Services lead to pods of the new revision, and do those answer?

Whether a Service leads anywhere is told by its EndpointSlices, in the cluster's own words. Calls are made only to paths
that a readiness probe or the annotation `opslib/smoke-path` names, so that nothing is set off by asking. What cannot be
reached from here is `no_data`: it says nothing about the rollout, and is never a reason to roll back.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import OpslibError
from opslib.core.outcome import Outcome
from opslib.core.words import printable
from opslib.kube import Cluster, Object, Ref
from opslib.manifests.health import number
from opslib.manifests.pods import mapping, mappings
from opslib.manifests.workloads import Workload, is_leaving, look_at

SMOKE_PATH = "opslib/smoke-path"
_TIMEOUT_S = 5.0
_FOLLOW_S = 15.0  # EndpointSlices follow pods with a delay
_LOOK_S = 0.5
_SERVICE = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Serving:
    """One Service: how many of its ready addresses are pods of the new revision, and of older ones."""

    service: Ref
    outcome: Outcome
    reason: str
    new: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Smoke:
    """One call: `status` 0 where nobody answered."""

    url: str
    host: str
    outcome: Outcome
    reason: str
    status: int = 0


def serving(cluster: Cluster, service: Object, workloads: Iterable[Workload]) -> Serving:
    """Return whether a Service leads to pods of the workloads' current revisions. Raises ClusterError."""
    metadata, spec = service["metadata"], mapping(service, "spec")
    ref = Ref("v1", "Service", str(metadata.get("namespace") or cluster.namespace), str(metadata["name"]))
    selector = mapping(spec, "selector")
    if spec.get("type") == "ExternalName" or not selector:
        return Serving(ref, Outcome.NO_DATA, "it selects no pods: its endpoints are somebody else's")
    mine = [w for w in workloads if _selects(selector, mapping(w.object, "spec", "template"))]
    if not mine:
        return Serving(ref, Outcome.NO_DATA, "no workload of the set is behind it")
    new = {p["metadata"]["uid"] for w in mine for p in w.new_pods if not is_leaving(p)}
    kind = cluster.kind("discovery.k8s.io/v1", "EndpointSlice")
    slices = cluster.list_objects(kind, ref.namespace, labels=f"{_SERVICE}={ref.name}")
    uids = [uid for piece in slices for uid in _ready(piece)]
    fresh = len(new & set(uids))
    if all(mapping(w.object, "spec").get("replicas") == 0 for w in mine):
        return Serving(ref, Outcome.PASS, "no pods are wanted", 0, len(uids))
    if not fresh:
        return Serving(ref, Outcome.FAIL, "none of its ready addresses is a new pod", 0, len(uids))
    return Serving(ref, Outcome.PASS, f"{fresh} new pods are behind it", fresh, len(set(uids)) - fresh)


def await_serving(
    cluster: Cluster, services: Iterable[Object], refs: Iterable[Ref], clock: Clock
) -> tuple[list[Serving], list[Workload]]:
    """Return what Services lead to, those that can be judged, and the workloads; they are given a moment to follow."""
    fronts, wanted, end_s = list(services), list(refs), clock.monotonic_s() + _FOLLOW_S
    while True:
        workloads = [look_at(cluster, ref) for ref in wanted]
        found = [serving(cluster, service, workloads) for service in fronts]
        judged = [s for s in found if s.outcome is not Outcome.NO_DATA]
        if all(s.outcome is Outcome.PASS for s in judged) or clock.monotonic_s() >= end_s:
            return judged, workloads
        clock.sleep(_LOOK_S)


def _selects(selector: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    return selector.items() <= mapping(template, "metadata", "labels").items()


def _ready(piece: Object) -> Iterator[str]:
    """Yield the uids of the pods that an EndpointSlice holds ready. An unknown readiness is ready, by the API's rule."""
    for endpoint in mappings(piece, "endpoints"):
        if mapping(endpoint, "conditions").get("ready") is not False:
            yield str(mapping(endpoint, "targetRef").get("uid", ""))


def smoke_paths(service: Object, workloads: Iterable[Workload]) -> list[str]:
    """Return the paths that may be asked of a Service: its annotation's, else its pods' readiness probes'."""
    said = mapping(service, "metadata", "annotations").get(SMOKE_PATH)
    if isinstance(said, str) and said.startswith("/"):
        return [said]
    selector = mapping(service, "spec", "selector")
    templates = [mapping(w.object, "spec", "template") for w in workloads]
    found = {
        str(path)
        for template in templates
        if selector and _selects(selector, template)
        for container in mappings(mapping(template, "spec"), "containers")
        if str(path := mapping(container, "readinessProbe", "httpGet").get("path", "")).startswith("/")
    }
    return sorted(found)


def smoke(ingress: Object, service: Object, paths: Iterable[str]) -> list[Smoke]:
    """Ask a Service's paths through an Ingress that leads to it, where the Ingress has an address."""
    return [
        _asked(address, host, path)
        for host, prefix in _rules(ingress, service["metadata"]["name"])
        for address in _addresses(ingress)[:1]
        for path in paths
        if path == prefix or path.startswith(prefix.rstrip("/") + "/")
    ]


def smoke_by_proxy(cluster: Cluster, service: Object, workloads: Iterable[Workload]) -> list[Smoke]:
    """Ask a Service's paths by the API's proxy, on the port that leads to where the probe asks; `no_data` without the right."""
    ref = Ref(
        "v1",
        "Service",
        str(service["metadata"].get("namespace") or cluster.namespace),
        service["metadata"]["name"],
    )
    found = []
    for port, path in _proxied(service, list(workloads)):
        url = printable(f"{ref}:{port}{path}", 300)
        try:
            status = cluster.ask_service(ref, port, path)
        except OpslibError as error:
            found.append(Smoke(url, "", Outcome.NO_DATA, printable(f"not by the API's proxy: {error}", 200)))
        else:
            found.append(_answered(url, "", status))
    return found


def _proxied(service: Object, workloads: list[Workload]) -> list[tuple[str, str]]:
    """Return ports and paths: the annotation's on the first port, a probe's where the Service leads to its port."""
    spec, paths = mapping(service, "spec"), smoke_paths(service, workloads)
    ports = mappings(spec, "ports")
    if mapping(service, "metadata", "annotations").get(SMOKE_PATH) in paths:
        return [(str(port["port"]), path) for port in ports[:1] for path in paths]
    found = set()
    for template in (mapping(w.object, "spec", "template") for w in workloads):
        for container in mappings(mapping(template, "spec"), "containers"):
            names = {p.get("name"): p.get("containerPort") for p in mappings(container, "ports")}
            probe = mapping(container, "readinessProbe", "httpGet")
            asked = names.get(probe.get("port"), probe.get("port"))
            for port in ports:
                target = port.get("targetPort", port["port"])
                if names.get(target, target) == asked and _selects(mapping(spec, "selector"), template):
                    found.add((str(port["port"]), str(probe.get("path"))))
    return sorted(pair for pair in found if pair[1] in paths)


def _rules(ingress: Object, service: str) -> Iterator[tuple[str, str]]:
    for rule in mappings(mapping(ingress, "spec"), "rules"):
        for path in mappings(mapping(rule, "http"), "paths"):
            if mapping(path, "backend", "service").get("name") == service:
                yield str(rule.get("host") or ""), str(path.get("path") or "/")


def _addresses(ingress: Object) -> list[tuple[str, int]]:
    return [
        (
            str(entry.get("ip") or entry["hostname"]),
            next((number(p, "port") for p in mappings(entry, "ports")), 80),
        )
        for entry in mappings(mapping(ingress, "status", "loadBalancer"), "ingress")
        if entry.get("ip") or entry.get("hostname")
    ]


def _asked(address: tuple[str, int], host: str, path: str) -> Smoke:
    url = printable(f"http://{address[0]}:{address[1]}{path}", 300)
    connection = http.client.HTTPConnection(*address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Host": host} if host and "*" not in host else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Smoke(url, host, Outcome.NO_DATA, printable(f"not reachable from here: {error}", 200))
    finally:
        connection.close()
    return _answered(url, host, status)


def _answered(url: str, host: str, status: int) -> Smoke:
    outcome = Outcome.FAIL if status >= 500 else Outcome.PASS
    return Smoke(url, host, outcome, f"it answered {status}", status)
