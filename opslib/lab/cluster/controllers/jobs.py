"""Jobs: pods that run to their end, as often as asked for; each finished pod is counted once.

Pods bear a finalizer until they are counted: first the status names the pod, then its finalizer goes, then the counter
rises, so a pod that is deleted, or an end of this process in between, loses no count and doubles none. The statuses come
in the order that was recorded from a real cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
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
_TEXTS = {
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
    """The Job controller. Remembers of each Job how often it failed in a row, and when last, unix seconds."""

    def __init__(self, api: Api, clock: Clock, recorder: Recorder) -> None:
        self._api = api
        self._clock = clock
        self._recorder = recorder
        self._failures: dict[str, tuple[int, float]] = {}

    def keys(self, event: Event) -> set[Key]:
        if event.resource == JOBS:
            if event.type == "DELETED":
                self._failures.pop(event.object["metadata"]["uid"], None)
            return {objects.key_of(event.object)}
        return objects.owner_keys(event, "Job") if event.resource == "pods" else set()

    def reconcile(self, key: Key) -> float | None:
        job = objects.find(self._api, JOBS, *key)
        pods = self._api.list("pods", key[0])
        if job is None or objects.is_deleted(job):
            self._release(pod for pod in pods if _is_of(pod, key[1], job))
            return None
        if is_ended(job):
            return self._expire(job, objects.owned(pods, job))
        return self._advance(job, objects.owned(pods, job))

    def _advance(self, job: Object, pods: list[Object]) -> float | None:
        """Bring the pods to what is wanted, then note that: what has finished, and what follows of it."""
        spec, now_ns = job["spec"], self._clock.now_ns()
        status: Object = {"uncountedTerminatedPods": {}, "startTime": stamp(now_ns)} | (
            job.get("status") or {}
        )
        uncounted = finished(status, pods)
        active = [pod for pod in pods if objects.is_active(pod)]
        tally, wait_s = _tally(status, uncounted, active), self._wait_s(job, uncounted)
        limit_s = spec.get("activeDeadlineSeconds")
        left_s = None if limit_s is None else objects.seconds(status["startTime"]) + limit_s - now_ns / 1e9
        conditions = list(status.get("conditions") or ())
        reason = end_of(spec, tally, overdue=left_s is not None and left_s <= 0)
        if reason and _target(conditions) is None:
            met = "SuccessCriteriaMet" if reason == _REACHED else "FailureTarget"
            conditions.append(self._condition(met, reason))
        ending = _target(conditions) is not None
        wanted = 0 if ending else wanted_pods(spec, tally)
        kept, surplus = active[:wanted], active[wanted:]
        self._end_pods(job, surplus)
        if ending:
            uncounted["failed"] += [pod["metadata"]["uid"] for pod in surplus]
        else:
            self._release(surplus)  # nobody's failure
        made = self._fill(job, wanted - len(active)) if wait_s <= 0 else 0
        counts = _counts(kept, pods) | {"active": len(kept) + made, "conditions": conditions}
        counts["terminating"] += len(surplus)
        self._note(job, status | counts, uncounted, pods)
        return min((each for each in (left_s, wait_s) if each and each > 0), default=None)

    def _wait_s(self, job: Object, uncounted: dict[str, list[str]]) -> float:
        """Note new successes and failures; return how long the next pod has to wait."""
        uid, now_s = job["metadata"]["uid"], self._clock.now_ns() / 1e9
        before = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
        new = {kind: len(uids) - len(before.get(kind) or ()) for kind, uids in uncounted.items()}
        if new["succeeded"]:
            self._failures.pop(uid, None)
        elif new["failed"]:
            self._failures[uid] = (self._failures.get(uid, (0, 0.0))[0] + new["failed"], now_s)
        failed, last_s = self._failures.get(uid, (0, 0.0))
        return last_s + pause_s(failed) - now_s

    def _note(self, job: Object, status: Object, uncounted: dict[str, list[str]], pods: list[Object]) -> None:
        """Name the finished pods, let them go, count them; say that the Job has ended once the last pod has."""
        named = {kind: uids for kind, uids in uncounted.items() if uids}
        written = self._write(job, status | {"uncountedTerminatedPods": named})
        status = written["status"]
        uids = {uid for each in named.values() for uid in each}
        self._release(pod for pod in pods if pod["metadata"]["uid"] in uids)
        counts = {kind: status.get(kind, 0) + len(each) for kind, each in named.items()}
        conditions, target = status.get("conditions") or [], _target(status.get("conditions") or [])
        done: Object = {"uncountedTerminatedPods": {}, "conditions": conditions}
        if target is not None and not status.get("active") and not status["terminating"]:
            good = target["reason"] == _REACHED
            last = self._condition("Complete" if good else "Failed", target["reason"])
            done |= {"conditions": [*conditions, last]} | (
                {"completionTime": last["lastTransitionTime"]} if good else {}
            )
            told = (
                ("Normal", "Completed", "Job completed")
                if good
                else ("Warning", target["reason"], last["message"])
            )
            self._recorder.record(job, *told)
        self._write(written, status | counts | done)

    def _fill(self, job: Object, missing: int) -> int:
        for _ in range(missing):
            pod = pod_of(job, f"{job['metadata']['name']}-{suffix()}")
            pod = with_metadata(pod, generateName=f"{job['metadata']['name']}-", finalizers=[TRACKING])
            made = self._api.create("pods", job["metadata"]["namespace"], pod, objects.WRITE)
            text = f"Created pod: {made['metadata']['name']}"
            self._recorder.record(job, "Normal", "SuccessfulCreate", text)
        return max(0, missing)

    def _condition(self, kind: str, reason: str) -> Object:
        at = stamp(self._clock.now_ns())
        told = {"type": kind, "status": "True", "reason": reason, "message": _TEXTS[reason]}
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

    def _end_pods(self, job: Object, pods: list[Object]) -> None:
        for pod in pods:
            objects.delete(self._api, "pods", pod)
            self._recorder.record(
                job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}"
            )

    def _release(self, pods: Iterable[Object]) -> None:
        for pod in pods:
            now = objects.find(self._api, "pods", *objects.key_of(pod))
            if now is not None and TRACKING in _finalizers(now):
                left = [each for each in _finalizers(now) if each != TRACKING]
                objects.update(self._api, "pods", with_metadata(now, finalizers=left or None))

    def _write(self, job: Object, status: Object) -> Object:
        counters = ("active", "succeeded", "failed", "conditions")
        kept = {name: value for name, value in status.items() if value or name not in counters}
        return objects.write_status(self._api, JOBS, job, kept)


def is_ended(job: Object) -> bool:
    return objects.condition(job, "Complete") is not None or objects.condition(job, "Failed") is not None


def finished(status: Object, pods: list[Object]) -> dict[str, list[str]]:
    """Return the uids of pods that are finished and not counted yet: those the status names, and new ones.

    A pod that is deleted before it has succeeded has failed.
    """
    named = {
        kind: list(status["uncountedTerminatedPods"].get(kind) or ()) for kind in ("succeeded", "failed")
    }
    for pod in pods:
        uid = pod["metadata"]["uid"]
        ended = objects.is_finished(pod) or objects.is_deleted(pod)
        if ended and TRACKING in _finalizers(pod) and not any(uid in uids for uids in named.values()):
            named["succeeded" if objects.phase(pod) == "Succeeded" else "failed"].append(uid)
    return named


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
    parallel = int(spec.get("parallelism", 1))
    completions: int | None = spec.get("completions")
    if completions is None:
        return tally.active if tally.succeeded else parallel
    return min(parallel, max(0, completions - tally.succeeded))


def pause_s(failed: int) -> float:
    """Return the pause after so many failures in a row: 10 s, doubled for each, at most 6 min."""
    return min(_LONGEST_RETRY_S, _RETRY_S * 2.0 ** min(failed - 1, 10)) if failed else 0.0


def _target(conditions: list[Object]) -> Object | None:
    return next((each for each in conditions if each["type"] in _TARGETS), None)


def _counts(active: list[Object], pods: list[Object]) -> Object:
    going = [pod for pod in pods if objects.is_deleted(pod) and not objects.is_finished(pod)]
    ready = [pod for pod in active if objects.ready_since(pod) is not None]
    return {"ready": len(ready), "terminating": len(going)}


def _tally(status: Object, uncounted: dict[str, list[str]], active: list[Object]) -> Tally:
    statuses = [each for pod in active for each in pod["status"].get("containerStatuses") or ()]
    restarts = sum(each.get("restartCount", 0) for each in statuses)
    succeeded, failed = (status.get(kind, 0) + len(uncounted[kind]) for kind in ("succeeded", "failed"))
    return Tally(succeeded, failed, len(active), restarts)


def _is_of(pod: Object, name: str, job: Object | None) -> bool:
    refs = [
        r for r in pod["metadata"].get("ownerReferences") or () if r["kind"] == "Job" and r["name"] == name
    ]
    return bool(refs) and (job is None or refs[0]["uid"] == job["metadata"]["uid"])


def _finalizers(pod: Object) -> list[str]:
    return pod["metadata"].get("finalizers") or []
