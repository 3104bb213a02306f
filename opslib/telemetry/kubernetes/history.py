"""What objects as they are now tell of the past: rollouts, scaling, configuration, restarts. Pure.

Kubernetes keeps no history, so this is what its traces allow. A revision began when its ReplicaSet was made; where it
came back, when an event or the Deployment's owner says so, and else it is left out. A configuration that was changed
twice by one manager shows the last time. What was deleted is gone: the end of a second Deployment is not told.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.errors import WindowError
from opslib.core.windows import NS_PER_S, parse_instant_ns
from opslib.telemetry.kubernetes.rows import (
    Object,
    Row,
    change_row,
    event_row,
    rollout_row,
    scale_row,
    template_row,
    version_of,
    workload_of,
)

_DEPLOYMENT = "deployment.kubernetes.io/"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_STARTED = re.compile(r"Scaled up replica set (\S+) ")
_SCALED = re.compile(r"Scaled (?:up|down) replica set \S+ from (\d+) to (\d+)")
_NEVER_CHANGED = frozenset({"kube-root-ca.crt"})


@dataclass(frozen=True, slots=True)
class Namespace:
    """The objects of one namespace by kind, and by the name of a Deployment what its service is called."""

    objects: Mapping[str, list[Object]]
    known: Mapping[str, str]

    def of(self, kind: str) -> list[Object]:
        return self.objects.get(kind, [])

    def name_of(self, deployment: Object) -> str:
        """Return a Deployment's service: by the service map, else by its labels, else by its own name."""
        name = str(deployment["metadata"]["name"])
        return self.known.get(name) or workload_of(deployment) or name

    def services(self) -> dict[tuple[str, str], str]:
        """Return by kind and name of an object the service that it belongs to."""
        found = {("Deployment", d["metadata"]["name"]): self.name_of(d) for d in self.of("Deployment")}
        for kind in ("ReplicaSet", "Pod"):  # owners before what they own
            for obj in self.of(kind):
                owner = next(
                    (o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None
                )
                by_owner = found.get((owner["kind"], owner["name"])) if owner else None
                found[kind, obj["metadata"]["name"]] = by_owner or workload_of(obj)
        for scaler in self.of("HorizontalPodAutoscaler"):
            target = scaler["spec"]["scaleTargetRef"]
            found["HorizontalPodAutoscaler", scaler["metadata"]["name"]] = found.get(
                (target["kind"], target["name"]), ""
            )
        return found


def rows_of(namespace: Namespace) -> Iterator[Row]:
    """Yield all that can be told, in no order."""
    services = namespace.services()
    yield from _events(namespace, services)
    yield from _restarts(namespace, services)
    for deployment in namespace.of("Deployment"):
        yield from _revisions(namespace, deployment)
        scaled_ns = _scaled(namespace, deployment)
        if scaled_ns is not None:
            replicas = deployment["spec"].get("replicas", 1)
            yield scale_row(deployment, namespace.name_of(deployment), scaled_ns, None, replicas)
    yield from _configuration(namespace)


def _events(namespace: Namespace, services: Mapping[tuple[str, str], str]) -> Iterator[Row]:
    """Yield each event when it was last seen, and one that repeated also when it was first."""
    replica_sets = sorted((name for kind, name in services if kind == "ReplicaSet"), key=len, reverse=True)
    for event in namespace.of("Event"):
        about = event["involvedObject"]
        service = services.get((about.get("kind"), about.get("name")), "")
        if not service and about.get("kind") == "Pod":  # gone, but its ReplicaSet may still be there
            pod = str(about.get("name"))
            owner = next((name for name in replica_sets if pod.startswith(f"{name}-")), "")
            service = services.get(("ReplicaSet", owner), "")
        for time_ns in sorted(set(_seen(event))):
            yield event_row(event, service, time_ns)


def _seen(event: Object) -> tuple[int, int]:
    """Return when an event was first and last seen, in whichever of its fields that stands."""
    last = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp")
    first = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return time_of(first), time_of(last or first)


def _restarts(namespace: Namespace, services: Mapping[tuple[str, str], str]) -> Iterator[Row]:
    """Yield the last end of each container that ended by itself: the kubelet writes no event for it."""
    for pod in namespace.of("Pod"):
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        for seen in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            ended = (seen.get("lastState") or {}).get("terminated")
            if not ended or not ended.get("finishedAt"):
                continue
            count = int(seen.get("restartCount", 0))
            event = {
                "involvedObject": {"kind": "Pod", "name": name, "namespace": pod["metadata"]["namespace"]},
                "type": "Warning" if ended.get("exitCode") else "Normal",
                "reason": ended.get("reason") or "Terminated",
                "message": f"container {seen['name']} ended with exit code {ended.get('exitCode')}; restarts: {count}",
                "count": count,
            }
            yield event_row(event, services.get(("Pod", name), ""), time_of(ended["finishedAt"]))


def _revisions(namespace: Namespace, deployment: Object) -> Iterator[Row]:
    name, before = namespace.name_of(deployment), _version_beside(namespace, deployment)
    sets = [rs for rs in namespace.of("ReplicaSet") if _owner(rs) == deployment["metadata"]["uid"]]
    revisions = sorted(((n, rs) for rs in sets for n in _numbers(rs)), key=lambda found: found[0])
    since_ns, last = 0, ""
    for number, replica_set in revisions:
        began_ns = _began(namespace, deployment, replica_set, number, since_ns)
        version = version_of(replica_set)
        was = last or (before if number == 1 else "")
        if began_ns is not None and was and was != version:
            pods = [
                p["metadata"]["name"]
                for p in namespace.of("Pod")
                if _owner(p) == replica_set["metadata"]["uid"]
            ]
            yield rollout_row(deployment, name, began_ns, (was, version), pods)
        elif began_ns is not None and last:
            yield template_row(deployment, name, began_ns)
        since_ns, last = began_ns or since_ns, version


def _scaled(namespace: Namespace, deployment: Object) -> int | None:
    """Return when a Deployment was scaled to what it asks for; None where nobody has, or nothing tells when.

    Who wrote the scale stands in its managed fields without a time, so the events of its controller tell.
    """
    entries = deployment["metadata"].get("managedFields") or ()
    if not any(entry.get("subresource") == "scale" for entry in entries):
        return None
    asked = str(deployment["spec"].get("replicas", 1))
    times = [
        time_ns
        for event in namespace.of("Event")
        if (event["involvedObject"].get("kind"), event["involvedObject"].get("name"))
        == ("Deployment", deployment["metadata"]["name"])
        and (found := _SCALED.match(event.get("message") or ""))
        and found[1] != "0"  # from none: the ReplicaSet of a new revision
        and found[2] == asked
        for time_ns in _seen(event)
    ]
    return max(times, default=None)


def _version_beside(namespace: Namespace, deployment: Object) -> str:
    """Return the version of a Deployment of the same service that was there before, "" where there is none."""
    others = sorted(
        (time_of(other["metadata"]["creationTimestamp"]), other["metadata"]["name"], version_of(other))
        for other in namespace.of("Deployment")
        if other is not deployment and namespace.name_of(other) == namespace.name_of(deployment)
    )
    created_ns = time_of(deployment["metadata"]["creationTimestamp"])
    return others[0][2] if others and others[0][0] < created_ns else ""


def _owner(obj: Object) -> Any:
    references = obj["metadata"].get("ownerReferences") or ()
    return next((owner.get("uid") for owner in references if owner.get("controller")), None)


def _numbers(replica_set: Object) -> list[int]:
    """Return the revisions that a ReplicaSet has been, in ascending order."""
    annotations = replica_set["metadata"].get("annotations") or {}
    texts = [*annotations.get(f"{_DEPLOYMENT}revision-history", "").split(",")]
    texts.append(annotations.get(f"{_DEPLOYMENT}revision", ""))
    return sorted({int(text) for text in texts if text.isascii() and text.isdigit()})


def _began(
    namespace: Namespace, deployment: Object, replica_set: Object, number: int, since_ns: int
) -> int | None:
    """Return when a ReplicaSet became this revision, after `since_ns`; None where nothing tells."""
    numbers = _numbers(replica_set)
    if number == numbers[0]:
        return time_of(replica_set["metadata"]["creationTimestamp"])
    if number != numbers[-1]:
        return None
    started = [
        time_ns
        for event in namespace.of("Event")
        if (found := _STARTED.match(event.get("message") or ""))
        and found[1] == replica_set["metadata"]["name"]
        for time_ns in _seen(event)
    ]
    asked = [
        time_of(e["time"])
        for e in _written(deployment)
        if "f:template" in (e["fieldsV1"].get("f:spec") or {})
    ]
    return min((time_ns for time_ns in started or asked if time_ns >= since_ns), default=None)


def _written(obj: Object) -> list[Object]:
    """Return who wrote an object after it was made, by entry of its managed fields."""
    created_ns = time_of(obj["metadata"]["creationTimestamp"])
    return [
        {"fieldsV1": {}, **entry}
        for entry in obj["metadata"].get("managedFields") or ()
        if entry.get("time") and time_of(entry["time"]) >= created_ns + NS_PER_S
    ]


def _configuration(namespace: Namespace) -> Iterator[Row]:
    users: Mapping[tuple[str, str], set[str]] = defaultdict(set)
    for deployment in namespace.of("Deployment"):
        for named in _references(deployment["spec"]["template"]["spec"]):
            users[named].add(namespace.name_of(deployment))
    for kind in ("ConfigMap", "Secret"):
        for obj in namespace.of(kind):
            metadata = obj["metadata"]
            if metadata["name"] in _NEVER_CHANGED or _LEADER in (metadata.get("annotations") or {}):
                continue
            for entry in _written(obj):
                message = f"{kind} {metadata['name']} was changed by {entry.get('manager') or 'somebody'}"
                for name in sorted(users[kind, metadata["name"]]) or [metadata["name"]]:
                    attributes = {kind.lower(): metadata["name"]}
                    row = change_row(obj, name, time_of(entry["time"]), "Config", message, attributes)
                    yield row if users[kind, metadata["name"]] else {**row, "kind": kind}


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and name of the ConfigMaps and Secrets that a pod names anywhere."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(item)
    if not isinstance(value, dict):
        return
    for kind, keys in (
        ("ConfigMap", ("configMapRef", "configMapKeyRef", "configMap")),
        ("Secret", ("secretRef", "secretKeyRef", "secret")),
    ):
        for key in keys:
            named = value.get(key)
            if isinstance(named, dict) and (name := named.get("name") or named.get("secretName")):
                yield kind, str(name)


def time_of(text: Any) -> int:
    """Return a time of the API in unix nanoseconds, 0 where it is none."""
    try:
        return parse_instant_ns(str(text), 0)
    except WindowError:
        return 0
