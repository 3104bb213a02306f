"""Why does an autoscaler not scale, and what do pods need? Read from objects and from observed use.

An autoscaler says why in its conditions, in words that few know by heart; here each becomes a sentence with what to do.
Sizes follow the Vertical Pod Autoscaler's recommender: a high quantile of what was used, and a margin; memory by its
peak, because too little of it kills.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import OpslibError
from opslib.core.quantity import parse_quantity
from opslib.kube import Cluster, Kind, Object, Ref
from opslib.manifests.health import condition, number
from opslib.manifests.pods import mapping, mappings
from opslib.manifests.workloads import look_at

TOLERANCE = 0.1  # kube-controller-manager's default: within it nothing is scaled
CPU_QUANTILE, MARGIN = 0.9, 1.15  # of the recommender: target percentile and safety margin
_LEAST_CPU_M, _LEAST_MEMORY = 10, 16 * 1024**2
_FIX = {
    "FailedGetResourceMetric": "every container needs a request for what is measured, and metrics-server has to run",
    "FailedGetScale": "scaleTargetRef names a workload that is not there",
    "InvalidSelector": "the target has no usable selector",
    "AmbiguousSelector": "two autoscalers select the same pods: remove one",
    "ScalingDisabled": "the target is scaled to 0: scale it to 1 or more",
    "TooManyReplicas": "raise maxReplicas, or make each pod faster",
    "TooFewReplicas": "minReplicas keeps it up",
    "ScaleDownStabilized": "it waits for its stabilization window",
    "ScaleUpStabilized": "it waits for its stabilization window",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the number of replicas stays: Kubernetes' own word, its message, and what to do."""

    word: str
    message: str
    fix: str


def why_not_scaling(autoscaler: Object) -> list[Reason]:
    """Return what holds a HorizontalPodAutoscaler back, the most fundamental first; empty where it is scaling."""
    found = []
    for kind, bad in (("AbleToScale", "False"), ("ScalingActive", "False"), ("ScalingLimited", "True")):
        said = condition(autoscaler, kind)
        word = str(said.get("reason") or kind)
        held = word in {"ScaleDownStabilized", "ScaleUpStabilized"}
        if said.get("status") == bad or held:
            found.append(Reason(word, str(said.get("message") or ""), _FIX.get(word, "see its events")))
    status = mapping(autoscaler, "status")
    settled = number(status, "currentReplicas") == number(status, "desiredReplicas", -1)
    ratios = list(_ratios(autoscaler))
    if not found and settled and ratios:
        worst = max(ratios, key=lambda pair: pair[1])
        if abs(worst[1] - 1) <= TOLERANCE:
            text = f"{worst[0]} is at {worst[1]:.0%} of its target, within the tolerance of {TOLERANCE:.0%}"
            found.append(Reason("WithinTolerance", text, "nothing: it is where it is meant to be"))
    return found


def _ratios(autoscaler: Object) -> Iterable[tuple[str, float]]:
    """Yield of each resource metric the use as a share of its target."""
    targets = {
        str(mapping(m, "resource").get("name")): number(
            mapping(m, "resource", "target"), "averageUtilization"
        )
        for m in mappings(mapping(autoscaler, "spec"), "metrics")
    }
    for metric in mappings(mapping(autoscaler, "status"), "currentMetrics"):
        resource = mapping(metric, "resource")
        name, target = str(resource.get("name")), targets.get(str(resource.get("name")), 0)
        if target:
            yield name, number(mapping(resource, "current"), "averageUtilization") / target


@dataclass(frozen=True, slots=True)
class Size:
    """What a container needs: quantities as a manifest has them, and what they rest on."""

    container: str
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    samples: int
    evidence: str


def observe(cluster: Cluster, ref: Ref, clock: Clock, *, for_s: float, every_s: float = 15.0) -> list[Object]:
    """Return the PodMetrics of a workload's new pods over a time. Raises as `look_at`; ClusterError without metrics."""
    kind = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods", namespaced=True)
    names = {pod["metadata"]["name"] for pod in look_at(cluster, ref).new_pods}
    end_s, seen, found = clock.monotonic_s() + for_s, set[tuple[str, str]](), []
    while True:
        for metrics in cluster.list_objects(kind, ref.namespace):
            key = str(metrics["metadata"]["name"]), str(metrics.get("timestamp"))
            if key[0] in names and key not in seen:
                seen.add(key)
                found.append(metrics)
        if clock.monotonic_s() + every_s > end_s:
            return found
        clock.sleep(every_s)


def sizes(metrics: Iterable[Object]) -> list[Size]:
    """Return requests and limits for each container that was measured."""
    used: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for pod in metrics:
        for container in mappings(pod, "containers"):
            usage = mapping(container, "usage")
            cores = parse_quantity(str(usage.get("cpu", "0"))).nano / 1e9
            used[str(container.get("name"))].append(
                (cores, parse_quantity(str(usage.get("memory", "0"))).whole)
            )
    return [_size(name, samples) for name, samples in sorted(used.items())]


def _size(name: str, samples: list[tuple[float, int]]) -> Size:
    cpu = sorted(cores for cores, _ in samples)
    at = cpu[min(math.ceil(CPU_QUANTILE * len(cpu)), len(cpu)) - 1]
    peak = max(memory for _, memory in samples)
    request_m = max(math.ceil(at * MARGIN * 1000), _LEAST_CPU_M)
    memory = f"{math.ceil(max(peak * MARGIN, _LEAST_MEMORY) / 1024**2)}Mi"
    evidence = (
        f"{len(samples)} samples: p{CPU_QUANTILE * 100:.0f} of CPU {at * 1000:.0f}m, peak of CPU {cpu[-1] * 1000:.0f}m, "
        f"peak of memory {peak / 1024**2:.0f}Mi; margin {MARGIN - 1:.0%}"
    )
    # No limit of CPU: it would only slow the container down where there is processor to spare.
    return Size(name, {"cpu": f"{request_m}m", "memory": memory}, {"memory": memory}, len(samples), evidence)


@dataclass(frozen=True, slots=True)
class Scaling:
    """What holds a workload's autoscalers back, each with its name, and what its containers need and have.

    `unseen` says why there are no sizes, where there are none.
    """

    ref: Ref
    autoscalers: tuple[str, ...]
    reasons: tuple[tuple[str, Reason], ...]
    sizes: tuple[Size, ...]
    have: Mapping[str, Mapping[str, Any]]
    unseen: str = ""


def look_at_scaling(cluster: Cluster, ref: Ref, clock: Clock, *, for_s: float) -> Scaling:
    """Return why a workload's autoscalers stay where they are, and sizes by the use of some time. Raises as `look_at`."""
    spec = mapping(look_at(cluster, ref).object, "spec", "template", "spec")
    kind = cluster.kind("autoscaling/v2", "HorizontalPodAutoscaler")
    mine = [a for a in cluster.list_objects(kind, ref.namespace) if scales(a, ref)]
    try:
        found, unseen = (
            tuple(sizes(observe(cluster, ref, clock, for_s=for_s))),
            "its pods are not measured yet",
        )
    except OpslibError as error:  # many clusters measure nothing
        found, unseen = (), f"no use can be seen: {error}"
    return Scaling(
        ref,
        tuple(a["metadata"]["name"] for a in mine),
        tuple((a["metadata"]["name"], reason) for a in mine for reason in why_not_scaling(a)),
        found,
        {str(c.get("name")): mapping(c, "resources") for c in mappings(spec, "containers")},
        "" if found else unseen,
    )


def scales(autoscaler: Object, ref: Ref) -> bool:
    """Tell whether an autoscaler of the workload's namespace scales it."""
    target = mapping(autoscaler, "spec", "scaleTargetRef")
    return (target.get("kind"), target.get("name")) == (ref.kind, ref.name)


def to_resources(size: Size) -> dict[str, Any]:
    """Return a size as a container's `resources`."""
    return {"requests": dict(size.requests), "limits": dict(size.limits)}
