"""Jobs: pods that run to their end, as often as asked for; each finished pod is counted once.

Pods bear a finalizer until they are counted: first the status names the pod, then its finalizer goes, then the counter
rises, so a pod that is deleted, or an end of this process in between, loses no count and doubles none.
"""

from __future__ import annotations

from dataclasses import dataclass

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.events import Recorder
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.controllers.replicasets import pod_of
from opslib.lab.cluster.metadata import stamp, suffix, with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.store import Event

JOBS = "jobs.batch"
TRACKING = "batch.kubernetes.io/job-tracking"
_RETRY_S, _LONGEST_RETRY_S = 10.0, 360.0
_REACHED = "CompletionsReached"
_TARGETS = {"SuccessCriteriaMet", "FailureTarget"}
_ENDS = {
    _REACHED: "Reached expected number of succeeded pods",
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "DeadlineExceeded": "Job was active longer than specified deadline",
}


@dataclass(frozen=True, slots=True)
class Tally:
    """A Job in numbers: pods that succeeded and failed, those that run; restarts of containers within them."""

    succeeded: int
    failed: int
    active: int
    restarts: int = 0


class Jobs:
    """The Job controller."""

    def __init__(self, api: Api, clock: Clock, recorder: Recorder) -> None:
        self._api = api
        self._clock = clock
        self._recorder = recorder

    def keys(self, event: Event) -> set[Key]:
        if event.resource == JOBS:
            return {objects.key_of(event.object)}
        return objects.owner_keys(event, "Job") if event.resource == "pods" else set()

    def reconcile(self, key: Key) -> float | None:
        job = objects.find(self._api, JOBS, *key)
        pods = self._api.list("pods", key[0])
        if job is None or objects.is_deleted(job):
            self._release([pod for pod in pods if _is_of(pod, key[1], job)])
            return None
        if is_ended(job):
            return self._expire(job, objects.owned(pods, job))
        mine = objects.owned(pods, job)
        if self._count(job, mine):
            return None  # its own write brings the next look
        return self._run(job, [pod for pod in mine if objects.is_active(pod)], mine)

    def _count(self, job: Object, pods: list[Object]) -> bool:
        """Move newly finished pods into the counters, one write at a time; return whether there was something to do."""
        status = job.get("status") or {}
        uncounted: dict[str, list[str]] = status.get("uncountedTerminatedPods") or {}
        known = {uid for uids in uncounted.values() for uid in uids}
        held = {pod["metadata"]["uid"]: pod for pod in pods if TRACKING in _finalizers(pod)}
        new = [
            uid
            for uid, pod in held.items()
            if uid not in known and (objects.is_finished(pod) or objects.is_deleted(pod))
        ]
        if new:
            good = [uid for uid in new if objects.phase(held[uid]) == "Succeeded"]
            bad = [uid for uid in new if uid not in good]
            named = {
                "succeeded": [*uncounted.get("succeeded", []), *good],
                "failed": [*uncounted.get("failed", []), *bad],
            }
            self._write(job, status | {"uncountedTerminatedPods": {k: v for k, v in named.items() if v}})
        elif known:
            self._release([held[uid] for uid in sorted(known & held.keys())])
            counts = {name: status.get(name, 0) + len(uids) for name, uids in uncounted.items()}
            self._write(job, status | counts | {"uncountedTerminatedPods": {}})
        return bool(new or known)

    def _run(self, job: Object, active: list[Object], pods: list[Object]) -> float | None:
        now_ns = self._clock.now_ns()
        status = {"startTime": stamp(now_ns), "uncountedTerminatedPods": {}} | (job.get("status") or {})
        limit_s = job["spec"].get("activeDeadlineSeconds")
        left_s = None if limit_s is None else objects.seconds(status["startTime"]) + limit_s - now_ns / 1e9
        tally = Tally(status.get("succeeded", 0), status.get("failed", 0), len(active), _restarts(active))
        reason = end_of(job["spec"], tally, overdue=left_s is not None and left_s <= 0)
        ending = next((c for c in status.get("conditions", ()) if c["type"] in _TARGETS), None)
        terminating = sum(objects.is_deleted(pod) and not objects.is_finished(pod) for pod in pods)
        if ending is not None:
            if not active and not terminating:
                self._end(job, status, ending["reason"])
            return None
        if reason:
            self._end_pods(active)
            target = self._condition("SuccessCriteriaMet" if reason == _REACHED else "FailureTarget", reason)
            gone = {"active": 0, "ready": 0, "terminating": terminating + len(active)}
            self._write(job, status | gone | {"conditions": [*status.get("conditions", ()), target]})
            return None
        wait_s = retry_wait_s(tally.failed, pods, now_ns / 1e9) if tally.failed else 0.0
        made = 0 if wait_s > 0 else self._fill(job, active, tally)
        ready = sum(objects.ready_since(pod) is not None for pod in active)
        self._write(job, status | {"active": len(active) + made, "ready": ready, "terminating": terminating})
        return min((each for each in (left_s, wait_s) if each), default=None)

    def _fill(self, job: Object, active: list[Object], tally: Tally) -> int:
        """Start the pods that are missing, end those too many; return how many were started."""
        missing = wanted_pods(job["spec"], tally) - len(active)
        self._end_pods(active[missing:] if missing < 0 else [])
        for _ in range(missing):
            pod = pod_of(job, f"{job['metadata']['name']}-{suffix()}")
            pod = with_metadata(pod, generateName=f"{job['metadata']['name']}-", finalizers=[TRACKING])
            made = self._api.create("pods", objects.key_of(job)[0], pod, objects.WRITE)
            self._recorder.record(
                job, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}"
            )
        return max(0, missing)

    def _end(self, job: Object, status: Object, reason: str) -> None:
        """Say that the Job has ended, once the last of its pods has."""
        last = self._condition("Complete" if reason == _REACHED else "Failed", reason)
        done = {"completionTime": last["lastTransitionTime"]} if reason == _REACHED else {}
        gone = {"active": 0, "ready": 0, "terminating": 0}
        self._write(job, status | gone | done | {"conditions": [*status["conditions"], last]})
        if reason == _REACHED:
            self._recorder.record(job, "Normal", "Completed", "Job completed")
        else:
            self._recorder.record(job, "Warning", reason, _ENDS[reason])

    def _condition(self, kind: str, reason: str) -> Object:
        at = stamp(self._clock.now_ns())
        told = {"type": kind, "status": "True", "reason": reason, "message": _ENDS[reason]}
        return told | {"lastProbeTime": at, "lastTransitionTime": at}

    def _expire(self, job: Object, pods: list[Object]) -> float | None:
        """Delete an ended Job when its time is over."""
        self._release(pods)
        limit_s = job["spec"].get("ttlSecondsAfterFinished")
        if limit_s is None:
            return None
        ends = [
            c["lastTransitionTime"]
            for c in job["status"]["conditions"]
            if c["type"] in {"Complete", "Failed"}
        ]
        left_s = objects.seconds(ends[0]) + limit_s - self._clock.now_ns() / 1e9
        if left_s > 0:
            return float(left_s)
        objects.delete(self._api, JOBS, job)
        return None

    def _end_pods(self, pods: list[Object]) -> None:
        for pod in pods:
            objects.delete(self._api, "pods", pod)
        self._release(pods)

    def _release(self, pods: list[Object]) -> None:
        for pod in pods:
            now = objects.find(self._api, "pods", *objects.key_of(pod))
            if now is not None and TRACKING in _finalizers(now):
                left = [each for each in _finalizers(now) if each != TRACKING]
                objects.update(self._api, "pods", with_metadata(now, finalizers=left or None))

    def _write(self, job: Object, status: Object) -> None:
        counters = ("active", "succeeded", "failed")
        kept = {name: value for name, value in status.items() if value or name not in counters}
        objects.write_status(self._api, JOBS, job, kept)


def _restarts(pods: list[Object]) -> int:
    statuses = [each for pod in pods for each in pod["status"].get("containerStatuses") or ()]
    return sum(each.get("restartCount", 0) for each in statuses)


def is_ended(job: Object) -> bool:
    return objects.condition(job, "Complete") is not None or objects.condition(job, "Failed") is not None


def end_of(spec: Object, tally: Tally, *, overdue: bool) -> str:
    """Return the reason why a Job ends now; "" while it goes on."""
    completions = spec.get("completions")
    if completions is not None and tally.succeeded >= completions:
        return _REACHED
    if completions is None and tally.succeeded and not tally.active:
        return _REACHED  # a work queue: one success means that all is done
    limit = spec.get("backoffLimit", 6)
    if tally.failed > limit or (tally.restarts and tally.restarts >= limit):
        return "BackoffLimitExceeded"
    return "DeadlineExceeded" if overdue else ""


def wanted_pods(spec: Object, tally: Tally) -> int:
    """Return how many pods are to run at once."""
    if spec.get("suspend"):
        return 0
    parallel = int(spec.get("parallelism", 1))
    completions: int | None = spec.get("completions")
    if completions is None:
        return tally.active if tally.succeeded else parallel
    return min(parallel, max(0, completions - tally.succeeded))


def retry_wait_s(failed: int, pods: list[Object], now_s: float) -> float:
    """Return how long to wait before the next pod: 10 s after the first failure, doubled for each, at most 6 min."""
    ends = [_finished_s(pod) for pod in pods if objects.phase(pod) == "Failed"]
    pause_s = min(_LONGEST_RETRY_S, _RETRY_S * 2.0 ** min(failed - 1, 10))
    return max(0.0, max(ends, default=now_s - pause_s) + pause_s - now_s)


def _finished_s(pod: Object) -> float:
    ends = [c.get("state", {}).get("terminated") for c in pod["status"].get("containerStatuses") or ()]
    times = [objects.seconds(end["finishedAt"]) for end in ends if end and end.get("finishedAt")]
    return max(times, default=objects.seconds(pod["metadata"]["creationTimestamp"]))


def _is_of(pod: Object, name: str, job: Object | None) -> bool:
    refs = [
        r for r in pod["metadata"].get("ownerReferences") or () if r["kind"] == "Job" and r["name"] == name
    ]
    return bool(refs) and (job is None or refs[0]["uid"] == job["metadata"]["uid"])


def _finalizers(pod: Object) -> list[str]:
    return pod["metadata"].get("finalizers") or []
