"""What the tables of the built-in kinds show: a line per resource, columns that are paths or cells made below.

`*` before a column: only in wide output; `#`: a whole number; `_` in its name stands for a space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.windows import parse_instant_ns
from opslib.lab.cluster.options import Object

TABLES = """
pods                Ready=pod_ready Status=pod_status Restarts=restarts Age=age *IP=.status.podIP *Node=.spec.nodeName *Nominated_Node=.status.nominatedNodeName *Readiness_Gates=.spec.readinessGates[*].conditionType
deployments.apps    Ready=ready #Up-to-date=.status.updatedReplicas #Available=.status.availableReplicas Age=age *Containers=.spec.template.spec.containers[*].name *Images=.spec.template.spec.containers[*].image *Selector=selector
replicasets.apps    #Desired=.spec.replicas #Current=.status.replicas #Ready=.status.readyReplicas Age=age *Containers=.spec.template.spec.containers[*].name *Images=.spec.template.spec.containers[*].image *Selector=selector
services            Type=.spec.type Cluster-IP=.spec.clusterIP External-IP=.spec.externalName Port(s)=service_ports Age=age *Selector=selector
configmaps          #Data=data Age=age
secrets             Type=.type #Data=data Age=age
events              Last_Seen=last_seen Type=.type Reason=.reason Object=event_object *Subobject=.involvedObject.fieldPath *Source=event_source Message=.message *First_Seen=first_seen *#Count=.count *Name=.metadata.name
namespaces          Status=.status.phase Age=age
nodes               Status=node_status Roles=roles Age=age Version=.status.nodeInfo.kubeletVersion *Internal-IP=.status.addresses[?(@.type=="InternalIP")].address *External-IP=.status.addresses[?(@.type=="ExternalIP")].address *OS-Image=.status.nodeInfo.osImage *Kernel-Version=.status.nodeInfo.kernelVersion *Container-Runtime=.status.nodeInfo.containerRuntimeVersion
serviceaccounts     #Secrets=secrets Age=age
jobs.batch          Status=job_status Completions=completions Duration=job_duration Age=age *Containers=.spec.template.spec.containers[*].name *Images=.spec.template.spec.containers[*].image *Selector=selector
leases.coordination.k8s.io                           Holder=.spec.holderIdentity Age=age
endpointslices.discovery.k8s.io                      AddressType=.addressType Ports=.ports[*].port Endpoints=.endpoints[*].addresses[*] Age=age
horizontalpodautoscalers.autoscaling                 Reference=hpa_reference Targets=hpa_targets MinPods=.spec.minReplicas MaxPods=.spec.maxReplicas #Replicas=.status.currentReplicas Age=age
poddisruptionbudgets.policy                          Min_Available=.spec.minAvailable Max_Unavailable=.spec.maxUnavailable #Allowed_Disruptions=.status.disruptionsAllowed Age=age
ingresses.networking.k8s.io                          Class=.spec.ingressClassName Hosts=.spec.rules[*].host Address=.status.loadBalancer.ingress[*].ip Ports=ingress_ports Age=age
customresourcedefinitions.apiextensions.k8s.io       Created_At=.metadata.creationTimestamp
roles.rbac.authorization.k8s.io                      Created_At=.metadata.creationTimestamp
clusterroles.rbac.authorization.k8s.io               Created_At=.metadata.creationTimestamp
rolebindings.rbac.authorization.k8s.io               Role=role Age=age
clusterrolebindings.rbac.authorization.k8s.io        Role=role Age=age
pods.metrics.k8s.io                                  CPU=.containers[*].usage.cpu Memory=.containers[*].usage.memory Window=.window
"""
_NONE = "<none>"
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """An object, and when it is looked at."""

    obj: Object
    now_ns: int

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.obj.get("spec") or {}

    @property
    def status(self) -> Mapping[str, Any]:
        return self.obj.get("status") or {}

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return list(self.status.get("containerStatuses") or ())

    def since(self, text: str | None) -> str:
        """Return how long ago a time is, as kubectl writes it."""
        return duration((self.now_ns - parse_instant_ns(text, 0)) // _NS) if text else "<unknown>"


def duration(seconds: int) -> str:
    """Return a length of time in at most two units: 5s, 2m3s, 15m, 3h20m, 12h, 2d5h, 9d."""
    seconds = max(seconds, 0)
    for limit, unit, size, lesser, lesser_size in (
        (120, "s", 1, "", 1),
        (600, "m", 60, "s", 1),
        (10_800, "m", 60, "", 1),
        (28_800, "h", 3600, "m", 60),
        (172_800, "h", 3600, "", 1),
        (691_200, "d", 86_400, "h", 3600),
    ):
        if seconds < limit:
            rest = seconds % size // lesser_size if lesser else 0
            return f"{seconds // size}{unit}" + (f"{rest}{lesser}" if rest else "")
    return f"{seconds // 86_400}d"


def _reason(state: Mapping[str, Any]) -> str:
    """Return why a container waits or has ended, "" where it runs."""
    ended = state.get("terminated") or {}
    reason = (state.get("waiting") or {}).get("reason") or ended.get("reason") or ""
    return str(reason or (f"ExitCode:{ended['exitCode']}" if ended else ""))


def _pod_status(seen: Seen) -> str:
    word = _init_status(seen) or next(
        filter(None, (_reason(c.get("state") or {}) for c in seen.containers)), ""
    )
    if word == "Completed" and any(c.get("ready") for c in seen.containers):
        word = "Running"
    if "deletionTimestamp" in seen.obj["metadata"]:
        return "Terminating"
    return word or str(seen.status.get("reason") or seen.status.get("phase") or "Unknown")


def _init_status(seen: Seen) -> str:
    statuses = seen.status.get("initContainerStatuses") or ()
    for number, container in enumerate(statuses):
        state = container.get("state") or {}
        if (state.get("terminated") or {}).get("exitCode") == 0:
            continue
        reason = _reason(state)
        return f"Init:{reason}" if reason not in {"", "PodInitializing"} else f"Init:{number}/{len(statuses)}"
    return ""


def _restarts(seen: Seen) -> str:
    count = sum(c.get("restartCount", 0) for c in seen.containers)
    ends = [
        ((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "" for c in seen.containers
    ]
    last = max(ends, default="")
    return f"{count} ({seen.since(last)} ago)" if count and last else str(count)


def _true(seen: Seen) -> set[str]:
    return {c["type"] for c in seen.status.get("conditions") or () if c.get("status") == "True"}


def _selector(seen: Seen) -> str:
    selector = seen.spec.get("selector") or {}
    labels = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or _NONE


def _job_status(seen: Seen) -> str:
    words = [word for word in ("Complete", "Failed") if word in _true(seen)]
    ending = "Terminating" if "deletionTimestamp" in seen.obj["metadata"] else "Running"
    return words[0] if words else ending


def _job_duration(seen: Seen) -> str:
    start, end = seen.status.get("startTime"), seen.status.get("completionTime")
    until_ns = parse_instant_ns(end, 0) if end else seen.now_ns
    return duration((until_ns - parse_instant_ns(start, 0)) // _NS) if start else ""


def _event_source(seen: Seen) -> str:
    source = seen.obj.get("source") or {}
    parts = (source.get("component") or seen.obj.get("reportingComponent"), source.get("host"))
    return ", ".join(part for part in parts if part)


def _node_status(seen: Seen) -> str:
    ready = next((c["status"] for c in seen.status.get("conditions") or () if c["type"] == "Ready"), "")
    word = {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")
    return word + (",SchedulingDisabled" if seen.spec.get("unschedulable") else "")


def _roles(seen: Seen) -> str:
    start, labels = "node-role.kubernetes.io/", seen.obj["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(start) for key in labels if key.startswith(start))) or _NONE


def _hpa_targets(seen: Seen) -> str:
    current = [m.get("resource") or {} for m in seen.status.get("currentMetrics") or ()]
    now = {r.get("name"): (r.get("current") or {}).get("averageUtilization") for r in current}
    texts = []
    for resource in (m.get("resource") or {} for m in seen.spec.get("metrics") or ()):
        used, wanted = now.get(resource.get("name")), (resource.get("target") or {}).get("averageUtilization")
        texts.append(f"{resource.get('name')}: {'<unknown>' if used is None else f'{used}%'}/{wanted}%")
    return ", ".join(texts) or _NONE


MADE: Mapping[str, Callable[[Seen], Any]] = {
    "age": lambda s: s.since(s.obj["metadata"].get("creationTimestamp")),
    "completions": lambda s: f"{s.status.get('succeeded', 0)}/{s.spec.get('completions', 1)}",
    "data": lambda s: len(s.obj.get("data") or {}) + len(s.obj.get("binaryData") or {}),
    "event_object": lambda s: "{kind}/{name}".format_map(
        {"kind": "", "name": ""} | s.obj["involvedObject"]
    ).lower(),
    "event_source": _event_source,
    "first_seen": lambda s: s.since(s.obj.get("firstTimestamp") or s.obj.get("eventTime")),
    "hpa_reference": lambda s: "{kind}/{name}".format_map(s.spec["scaleTargetRef"]),
    "hpa_targets": _hpa_targets,
    "ingress_ports": lambda s: "80, 443" if s.spec.get("tls") else "80",
    "job_duration": _job_duration,
    "job_status": _job_status,
    "last_seen": lambda s: s.since(s.obj.get("lastTimestamp") or s.obj.get("eventTime")),
    "node_status": _node_status,
    "pod_ready": lambda s: f"{sum(bool(c.get('ready')) for c in s.containers)}/{len(s.spec['containers'])}",
    "pod_status": _pod_status,
    "ready": lambda s: f"{s.status.get('readyReplicas', 0)}/{s.spec.get('replicas', 0)}",
    "restarts": _restarts,
    "role": lambda s: "{kind}/{name}".format_map(s.obj["roleRef"]),
    "roles": _roles,
    "secrets": lambda s: len(s.obj.get("secrets") or ()),
    "selector": _selector,
    "service_ports": lambda s: (
        ",".join(f"{p['port']}/{p.get('protocol', 'TCP')}" for p in s.spec.get("ports") or ()) or _NONE
    ),
}
