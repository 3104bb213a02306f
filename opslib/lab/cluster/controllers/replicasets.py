"""ReplicaSets: as many active pods of a template as asked for. Terminating pods do not count from the moment they are marked."""

from __future__ import annotations

from collections.abc import Sequence

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.events import Recorder
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import owner_reference, stamp, suffix
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Event

SETS = "replicasets.apps"
_COST = "controller.kubernetes.io/pod-deletion-cost"
_BURST = 500  # pods made or deleted at once
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


class ReplicaSets:
    """The ReplicaSet controller."""

    def __init__(self, api: Api, clock: Clock, recorder: Recorder) -> None:
        self._api = api
        self._clock = clock
        self._recorder = recorder

    def keys(self, event: Event) -> set[Key]:
        if event.resource == SETS:
            return {objects.key_of(event.object)}
        if event.resource != "pods":
            return set()
        orphan = objects.controller_of(event.object) is None and event.type != "DELETED"
        return objects.owner_keys(event, "ReplicaSet") | (
            objects.selecting(self._api, SETS, event.object) if orphan else set()
        )

    def reconcile(self, key: Key) -> float | None:
        replica_set = objects.find(self._api, SETS, *key)
        if replica_set is None:
            return None
        pods = [pod for pod in self._api.list("pods", key[0]) if objects.is_active(pod)]
        pods = objects.claim(self._api, replica_set, "pods", pods)
        failure = None if objects.is_deleted(replica_set) else self._manage(replica_set, pods)
        again_s = self._report(replica_set, pods, failure)
        if failure is not None:
            raise failure
        return again_s

    def _manage(self, replica_set: Object, pods: list[Object]) -> StatusError | None:
        missing = replica_set["spec"]["replicas"] - len(pods)
        try:
            for _ in range(min(missing, _BURST)):
                self._create(replica_set)
        except StatusError as error:
            self._recorder.record(replica_set, "Warning", "FailedCreate", f"Error creating: {error}")
            return error
        if missing < 0:
            for pod in to_delete(pods, min(-missing, _BURST)):
                objects.delete(self._api, "pods", pod)
                self._note(replica_set, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        return None

    def _create(self, replica_set: Object) -> None:
        namespace, name = objects.key_of(replica_set)
        pod = pod_of(replica_set, f"{name}-{suffix()}")
        made = self._api.create("pods", namespace, pod, objects.WRITE)
        self._note(replica_set, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    def _note(self, replica_set: Object, reason: str, message: str) -> None:
        self._recorder.record(replica_set, "Normal", reason, message)

    def _report(self, replica_set: Object, pods: list[Object], failure: StatusError | None) -> float | None:
        """Write the counts of the pods found; return when the next of the ready ones becomes available."""
        wait_s, now_s = replica_set["spec"].get("minReadySeconds", 0), self._clock.now_ns() / 1e9
        ready = [since for pod in pods if (since := objects.ready_since(pod)) is not None]
        left = [since + wait_s - now_s for since in ready]
        counts = {
            "fullyLabeledReplicas": sum(_is_fully_labelled(pod, replica_set) for pod in pods),
            "readyReplicas": len(ready),
            "availableReplicas": sum(not wait_s or each <= 0 for each in left),
        }
        status = {"replicas": len(pods), **{name: count for name, count in counts.items() if count}}
        status |= {"observedGeneration": replica_set["metadata"]["generation"]}
        if failure is not None:
            text = {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": str(failure),
            }
            new = {**text, "lastTransitionTime": stamp(self._clock.now_ns())}
            status["conditions"] = objects.set_condition(
                replica_set.get("status", {}).get("conditions") or (), new
            )
        objects.write_status(self._api, SETS, replica_set, status)
        return min((each for each in left if wait_s and each > 0), default=None)


def pod_of(owner: Object, name: str) -> Object:
    """Return the pod that an owner's template describes."""
    template = owner["spec"]["template"]
    metadata = template.get("metadata") or {}
    kept = {field: metadata[field] for field in ("labels", "annotations") if metadata.get(field)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **kept,
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def to_delete(pods: Sequence[Object], count: int) -> list[Object]:
    """Return the pods that scaling down costs least, as Kubernetes ranks them.

    Without node first, then pending, not ready, of lower deletion cost, ready for a shorter time, restarted more often,
    younger.
    """
    return sorted(pods, key=_rank)[:count]


def _rank(pod: Object) -> tuple[object, ...]:
    since = objects.ready_since(pod)
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    cost = (pod["metadata"].get("annotations") or {}).get(_COST, "0")
    return (
        bool(pod["spec"].get("nodeName")),
        _PHASES.get(objects.phase(pod), 2),
        since is not None,
        int(cost) if cost.removeprefix("-").isdecimal() else 0,
        -(since or 0.0),
        -max((each.get("restartCount", 0) for each in statuses), default=0),
        _Descending(pod["metadata"]["creationTimestamp"]),
        pod["metadata"]["name"],
    )


class _Descending(str):
    """A text that sorts the other way round."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str(self) > str(other)


def _is_fully_labelled(pod: Object, replica_set: Object) -> bool:
    wanted = (replica_set["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return wanted.items() <= (pod["metadata"].get("labels") or {}).items()
