"""Whose a series is: labels become the capture's columns, under our names of the services; and how series are asked for.

A service is what the environment's map says, else the first of SERVICE_LABELS. What the kubelet and kube-state-metrics
tell bears their own name there: it belongs to the workload that its labels or its pod's name say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opslib.core.errors import UsageError
from opslib.core.settings import Environment

SERVICE_LABELS = (
    *("service_name", "service.name", "destination_workload", "service", "app", "app_kubernetes_io_name"),
    "job",  # `namespace/name` where OTLP or a PodMonitor made it
)
POD_LABELS = ("pod", "k8s_pod_name", "k8s.pod.name", "instance")
TARGET_LABELS = ("job", "instance")  # which target told it: not part of what is told
_SPOKEN_FOR = ("service_name", "service.name")
_OF_CLUSTER = re.compile(r"container_|kube_")
_OWNERS = ("deployment", "statefulset", "daemonset")
# What controllers append to a workload's name, in Kubernetes' own alphabet: a template's hash, a pod's five characters,
# an ordinal
_SUFFIX = re.compile(r"(?:(?:-[bcdfghjklmnpqrstvwxz2456789]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}|-\d+)$")
_MESH_LABELS = {"source_workload", "destination_workload", "destination_service_name"}

# Which metrics are asked for: those whose names the diagnosis understands, with dots (Prometheus 3) or underscores
USUAL = (
    "istio_requests_total|istio_request_duration_milliseconds(_bucket|_sum|_count)?"
    "|envoy_cluster_upstream_rq.*"
    "|container_(cpu_usage_seconds_total|cpu_cfs_(throttled_)?periods_total|cpu_cfs_throttled_seconds_total)"
    "|container_(memory_working_set_bytes|memory_rss|oom_events_total)"
    "|kube_pod_container_status_(restarts_total|ready)"
    "|kube_(deployment|statefulset|daemonset)_status_.*(available|unavailable|ready|misscheduled)"
    "|(http|rpc)[._](server|client)[._].*duration.*"
    "|db[._]client[._](operation|connections?)[._].*"
    "|process[._](cpu|memory)[._].*"
)


class Place(NamedTuple):
    """What is not the quantity itself: the service, the pod, and the labels that are left."""

    service: str | None
    pod: str | None
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Naming:
    """`mapped`: our name, a label and its value; `renamed`: a service's or workload's name there, and ours."""

    mapped: tuple[tuple[str, str, str], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def place(self, metric: Mapping[str, str]) -> Place:
        """Return what the labels of a series say. `le` is written as the capture writes it."""
        of_cluster = bool(_OF_CLUSTER.match(metric.get("__name__", "")))
        pod = _first(metric, POD_LABELS[:-1] if of_cluster else POD_LABELS)
        drop = {"__name__", *TARGET_LABELS, *POD_LABELS, *_SPOKEN_FOR}
        labels = {label: value for label, value in sorted(metric.items()) if label not in drop}
        for label in labels.keys() & _MESH_LABELS:
            labels[label] = self.renamed.get(labels[label], labels[label])
        if "le" in labels:
            labels["le"] = bound_text(labels["le"])
        return Place(self._service(metric, pod if of_cluster else None), pod, labels)

    def _service(self, metric: Mapping[str, str], pod: str | None) -> str | None:
        """`pod` is given where it has to tell the workload."""
        for name, label, value in self.mapped:
            if metric.get(label) == value:
                return name
        if _OF_CLUSTER.match(metric.get("__name__", "")):
            found = _first(metric, (*_SPOKEN_FOR, *_OWNERS)) or (_SUFFIX.sub("", pod) if pod else None)
        else:
            found = _first(metric, SERVICE_LABELS)
        if found is None:
            return None
        found = found.rpartition("/")[2]
        return self.renamed.get(found, found)


def _first(metric: Mapping[str, str], labels: Iterable[str]) -> str | None:
    """Return the first value that tells something; Istio writes what it does not know as `unknown`."""
    return next((metric[label] for label in labels if metric.get(label) not in {None, "", "unknown"}), None)


def naming(environment: Environment, where: str) -> Naming:
    """Read the service map: `metrics = {label =, value =}` or a name, and `workload`. Raises UsageError."""
    mapped, renamed = [], {}
    for name, table in environment.services.items():
        said: Any = table.get("metrics")
        if isinstance(said, str):
            renamed[said] = name
        elif isinstance(said, dict) and set(said) == {"label", "value"}:
            mapped.append((name, str(said["label"]), str(said["value"])))
            if said["label"] in _MESH_LABELS:
                renamed[str(said["value"])] = name
        elif said is not None:
            raise UsageError(
                f"{where}: metrics of the service {name} are a name, or a label and its value",
                hint='metrics = {label = "destination_workload", value = "payment"}',
            )
        if workload := str(table.get("workload", "")).rpartition("/")[2]:
            renamed[workload] = name
    return Naming(tuple(mapped), renamed)


def selector(names: str, namespace: str) -> str:
    """Return the selector of the metrics that a pattern names, of a namespace or without the label of one."""
    own = f",namespace=~{quoted(f'{re.escape(namespace)}|')}" if namespace else ""
    return f"{{__name__=~{quoted(names)}{own}}}"


def quoted(text: str) -> str:
    """Write a text as PromQL reads it."""
    inside = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{inside}"'


def plain_name(name: str) -> str:
    """Return a name as servers before Prometheus 3 have it."""
    return re.sub(r"[^a-zA-Z0-9_:]", "_", name)


def bound_text(text: str) -> str:
    """Write the upper bound of a bucket as a capture does: `1` where Prometheus 3 has `1.0`; what is no number stays."""
    try:
        value = float(text)
    except ValueError:
        return text
    short = f"{value:g}"
    return "+Inf" if value == float("inf") else short if float(short) == value else repr(value)
