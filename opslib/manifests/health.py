"""Is an object what it was asked to be? By kind, from the object alone; nothing here asks a cluster.

An object whose controller has not seen the latest generation is progressing, whatever else its status says. A kind that
has no rule is `not judged`: it is reported and never holds anything up. Rules: `kubectl rollout status`
(k8s.io/kubectl/pkg/polymorphichelpers), kstatus (sigs.k8s.io/cli-utils), Argo CD's gitops-engine where the two differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opslib.kube import Object
from opslib.manifests.pods import mapping, mappings

State = Literal["ready", "progressing", "failed", "suspended", "not judged"]


@dataclass(frozen=True, slots=True)
class Health:
    """`reason` is one clause for a person: what is there, or what is waited for."""

    state: State
    reason: str = ""


def health(obj: Object) -> Health:
    """Return how an object is by its kind's rule."""
    if mapping(obj, "metadata").get("deletionTimestamp"):
        return Health("progressing", "it is being deleted")
    status, metadata = mapping(obj, "status"), mapping(obj, "metadata")
    generation, observed = metadata.get("generation"), status.get("observedGeneration")
    if isinstance(generation, int) and isinstance(observed, int) and observed < generation:
        return Health("progressing", "its controller has not seen the latest change")
    rule = _RULES.get((str(obj.get("apiVersion", "")).rpartition("/")[0], str(obj.get("kind", ""))))
    return rule(obj) if rule is not None else _unknown(obj)


def condition(obj: Object, kind: str) -> Mapping[str, Any]:
    """Return a condition of a status, empty where there is none."""
    found = (c for c in mappings(mapping(obj, "status"), "conditions") if c.get("type") == kind)
    return next(found, {})


def number(values: Mapping[str, Any], name: str, otherwise: int = 0) -> int:
    """Return a whole number of a status or spec."""
    value = values.get(name, otherwise)
    return value if isinstance(value, int) else otherwise


def _deployment(obj: Object) -> Health:
    spec, status = mapping(obj, "spec"), mapping(obj, "status")
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Health("failed", str(progressing.get("message") or "its progress deadline is exceeded"))
    wanted, replicas = number(spec, "replicas", 1), number(status, "replicas")
    updated, available = number(status, "updatedReplicas"), number(status, "availableReplicas")
    if "observedGeneration" not in status:
        return Health("progressing", "its controller has not seen it")
    if updated < wanted:
        if spec.get("paused"):
            return Health("suspended", f"paused with {updated} of {wanted} replicas updated")
        return Health("progressing", f"{updated} of {wanted} replicas are updated")
    if replicas > updated:
        return Health("progressing", f"{replicas - updated} old replicas are there still")
    if available < updated:
        return Health("progressing", f"{available} of {updated} updated replicas are available")
    return Health("ready", f"{available} of {wanted} replicas are available")


def _stateful_set(obj: Object) -> Health:
    spec, status = mapping(obj, "spec"), mapping(obj, "status")
    wanted, ready = number(spec, "replicas", 1), number(status, "readyReplicas")
    strategy = mapping(spec, "updateStrategy")
    partition = number(mapping(strategy, "rollingUpdate"), "partition")
    if ready < wanted:
        return Health("progressing", f"{ready} of {wanted} replicas are ready")
    if strategy.get("type") == "OnDelete":
        return Health("ready", f"{ready} replicas are ready; each is updated when it is deleted")
    updated = number(status, "updatedReplicas")
    if partition and updated < wanted - partition:
        return Health("progressing", f"{updated} of {wanted - partition} replicas are updated")
    if not partition and status.get("updateRevision") != status.get("currentRevision"):
        return Health("progressing", f"{updated} of {wanted} replicas are updated")
    return Health("ready", f"{ready} of {wanted} replicas are ready")


def _daemon_set(obj: Object) -> Health:
    status = mapping(obj, "status")
    wanted = number(status, "desiredNumberScheduled")
    for name, word in (("updatedNumberScheduled", "updated"), ("numberAvailable", "available")):
        if number(status, name) < wanted:
            return Health("progressing", f"{number(status, name)} of {wanted} pods are {word}")
    return Health("ready", f"{wanted} of {wanted} pods are available")


def _replica_set(obj: Object) -> Health:
    wanted = number(mapping(obj, "spec"), "replicas", 1)
    available = number(mapping(obj, "status"), "availableReplicas")
    state: State = "ready" if available >= wanted else "progressing"
    return Health(state, f"{available} of {wanted} replicas are available")


def _pod(obj: Object) -> Health:
    phase = mapping(obj, "status").get("phase")
    if phase == "Failed":
        return Health("failed", str(mapping(obj, "status").get("message") or "it has failed"))
    if phase == "Succeeded" or condition(obj, "Ready").get("status") == "True":
        return Health("ready", "it has ended well" if phase == "Succeeded" else "it is ready")
    return Health("progressing", f"it is {phase or 'Pending'}")


def _job(obj: Object) -> Health:
    if condition(obj, "Failed").get("status") == "True":
        return Health("failed", str(condition(obj, "Failed").get("message") or "it has failed"))
    if condition(obj, "Complete").get("status") == "True":
        return Health("ready", "it is complete")
    if mapping(obj, "spec").get("suspend"):
        return Health("suspended", "it is suspended")
    return Health("progressing", f"{number(mapping(obj, 'status'), 'active')} pods are at work")


def _claim(obj: Object) -> Health:
    phase = str(mapping(obj, "status").get("phase") or "Pending")
    if phase == "Lost":
        return Health("failed", "its volume is lost")
    # Pending is how a claim waits for its first pod, which may be none of ours.
    return Health("ready", f"it is {phase}")


def _service(obj: Object) -> Health:
    waits = mapping(obj, "spec").get("type") == "LoadBalancer"
    if waits and not mappings(mapping(obj, "status", "loadBalancer"), "ingress"):
        return Health("progressing", "it has no address from outside yet")
    return Health("ready")


def _definition(obj: Object) -> Health:
    if condition(obj, "NamesAccepted").get("status") == "False":
        return Health("failed", str(condition(obj, "NamesAccepted").get("message") or "its names are taken"))
    if condition(obj, "Established").get("status") == "True":
        return Health("ready", "it is established")
    return Health("progressing", "it is not established yet")


def _autoscaler(obj: Object) -> Health:
    # Without metrics it fails in its first seconds and heals; what it does not do is told, and holds nothing up.
    for kind in ("AbleToScale", "ScalingActive"):
        found = condition(obj, kind)
        if found.get("status") == "False":
            return Health("not judged", f"{kind} is False: {found.get('message') or found.get('reason')}")
    return Health("ready")


def _there(_: Object) -> Health:
    return Health("ready")


def _unknown(obj: Object) -> Health:
    ready = condition(obj, "Ready") or condition(obj, "Available")
    said = f"{ready['type']} is {ready.get('status')}" if ready else "no rule for its kind"
    return Health("not judged", said)


_RULES: Mapping[tuple[str, str], Callable[[Object], Health]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    **{("", kind): _there for kind in ("Namespace", "ConfigMap", "Secret", "ServiceAccount", "LimitRange")},
    ("", "ResourceQuota"): _there,
    ("batch", "CronJob"): _there,
    ("policy", "PodDisruptionBudget"): _there,
    ("networking.k8s.io", "Ingress"): _there,  # some controllers never write an address
    ("networking.k8s.io", "NetworkPolicy"): _there,
    **{
        ("rbac.authorization.k8s.io", kind): _there
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    },
}
