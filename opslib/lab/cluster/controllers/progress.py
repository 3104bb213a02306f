"""The status of a Deployment: counters and conditions out of its ReplicaSets. Pure; the caller writes it.

Progressing tells of the newest ReplicaSet only, is left alone once that is available (scaling is no roll-out), and turns
False when nothing has moved for `progressDeadlineSeconds`.
"""

from __future__ import annotations

from collections.abc import Sequence

from opslib.lab.cluster.controllers.objects import condition, seconds, set_condition
from opslib.lab.cluster.controllers.rollout import Counters, Goal
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import Object

CREATED, FOUND, AVAILABLE = "NewReplicaSetCreated", "FoundNewReplicaSet", "NewReplicaSetAvailable"
UPDATED, EXCEEDED = "ReplicaSetUpdated", "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def make(kind: str, status: str, reason: str, message: str, now_ns: int) -> Object:
    at = stamp(now_ns)
    named = {"type": kind, "status": status, "reason": reason, "message": message}
    return named | {"lastUpdateTime": at, "lastTransitionTime": at}


def count(sets: Sequence[Object], new: Object | None) -> Counters:
    """Count the pods of all ReplicaSets, and those of the new one as updated."""

    def total(name: str) -> int:
        return sum(each.get("status", {}).get(name, 0) for each in sets)

    available = total("availableReplicas")
    wanted = sum(each["spec"]["replicas"] for each in sets)
    updated = new.get("status", {}).get("replicas", 0) if new is not None else 0
    return Counters(total("replicas"), updated, max(0, wanted - available), total("readyReplicas"), available)


def status_of(
    deployment: Object, sets: Sequence[Object], new: Object | None, aim: Goal, now_ns: int
) -> Object:
    """Return the status with counters and the Available condition; Progressing is as before."""
    old = deployment.get("status") or {}
    counters = count(sets, new)
    if counters.available >= aim.least_available:
        available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        available = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    conditions = set_condition(old.get("conditions") or (), make("Available", *available, now_ns))
    kept = {"collisionCount": old["collisionCount"]} if "collisionCount" in old else {}
    generation = {"observedGeneration": deployment["metadata"]["generation"]}
    return generation | counters.to_status() | kept | {"conditions": conditions}


def with_progress(
    deployment: Object, status: Object, sets: Sequence[Object], new: Object | None, now_ns: int
) -> Object:
    """Return the status with the Progressing and ReplicaFailure conditions brought up to date."""
    before, after = Counters.of_status(deployment.get("status") or {}), Counters.of_status(status)
    now = condition({"status": status}, "Progressing")
    finished = now is not None and now["reason"] == AVAILABLE and after.replicas == after.updated
    conditions = list(status["conditions"])
    if deployment["spec"].get("progressDeadlineSeconds") is not None and not finished:
        name = (
            f'ReplicaSet "{new["metadata"]["name"]}"'
            if new
            else f'Deployment "{deployment["metadata"]["name"]}"'
        )
        if after.is_complete(deployment["spec"]["replicas"]):
            text = f"{name} has successfully progressed."
            conditions = set_condition(conditions, make("Progressing", "True", AVAILABLE, text, now_ns))
        elif after.is_progress(before):
            moved = make("Progressing", "True", UPDATED, f"{name} is progressing.", now_ns)
            if now is not None and now["status"] == "True":
                moved["lastTransitionTime"] = now["lastTransitionTime"]
            conditions = [*(c for c in conditions if c["type"] != "Progressing"), moved]
        elif (left_s := deadline_left_s(deployment, status, now_ns)) is not None and left_s < 0:
            text = f"{name} has timed out progressing."
            conditions = set_condition(conditions, make("Progressing", "False", EXCEEDED, text, now_ns))
    return status | {"conditions": _with_failure(conditions, sets, new)}


def _with_failure(conditions: list[Object], sets: Sequence[Object], new: Object | None) -> list[Object]:
    failing = (condition(each, "ReplicaFailure") for each in [*([new] if new else []), *sets])
    found = next(filter(None, failing), None)
    if found is None:
        return [each for each in conditions if each["type"] != "ReplicaFailure"]
    return set_condition(conditions, found | {"lastUpdateTime": found["lastTransitionTime"]})


def deadline_left_s(deployment: Object, status: Object, now_ns: int) -> float | None:
    """Return in how many seconds the progress deadline passes (below zero: it has); None where none runs."""
    now = condition({"status": status}, "Progressing")
    limit_s = deployment["spec"].get("progressDeadlineSeconds")
    if now is None or limit_s is None or now["reason"] in (AVAILABLE, EXCEEDED, PAUSED):
        return None
    return seconds(now["lastUpdateTime"]) + float(limit_s) - now_ns / 1e9
