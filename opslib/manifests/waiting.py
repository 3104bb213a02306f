"""Waits until a workload is what was asked for, and gives up as soon as waiting cannot help, with the cause.

Judged are the pods of the new revision only: an old pod that crashes is no reason to stop its replacement. What ended
the wait is explained by the pod's events, its last lines and its exit code, not by "timed out".
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

from opslib.core.clock import Clock
from opslib.core.errors import NotFoundError, OpslibError
from opslib.core.words import printable
from opslib.kube import Change, Cluster, Object, Ref
from opslib.manifests.health import Health, health, number
from opslib.manifests.pods import mapping
from opslib.manifests.trouble import (
    CONFIGS,
    NAMES,
    PULLS,
    Patience,
    Restarts,
    Trouble,
    restarts_of,
    seconds,
    trouble_of_replica_set,
    troubles_of_pod,
)
from opslib.manifests.workloads import Workload, is_ready, look_at, revision_of

Ending = Literal["complete", "failed", "timed out", "suspended", "deleted"]
_MOST_PODS = 5  # in trouble whose events are read
_MOST_EVENTS, _LOG_LINES = 3, 10


@dataclass(frozen=True, slots=True)
class Cause:
    """A trouble, with what the cluster and the container say of it: latest events and last lines of the log."""

    trouble: Trouble
    events: tuple[str, ...] = ()
    log: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            str(self.trouble),
            *(f"  event: {e}" for e in self.events),
            *(f"  log: {x}" for x in self.log),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a workload on its way."""

    ref: Ref
    revision: int
    wanted: int
    updated: int
    ready: int
    health: Health
    troubles: tuple[Trouble, ...] = ()

    def __str__(self) -> str:
        trouble = f"; {self.troubles[0]}" if self.troubles else ""
        return f"{self.ref}: {self.ready} of {self.wanted} new pods ready, {self.health.reason}{trouble}"


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a wait ended; `seconds` by the clock, `revision` 0 where the kind has none."""

    ref: Ref
    ending: Ending
    reason: str
    seconds: float
    last: Progress | None = None
    causes: tuple[Cause, ...] = ()

    @property
    def ok(self) -> bool:
        return self.ending == "complete"

    def __str__(self) -> str:
        head = f"{self.ref}: {self.ending} after {self.seconds:.0f} s, {self.reason}"
        return "\n".join([head, *map(str, self.causes)])


@dataclass(frozen=True, slots=True)
class Wait:
    """How long is waited at all, and what is borne meanwhile."""

    deadline_s: float = 600.0
    patience: Patience = field(default_factory=Patience)


def rollout_status(
    cluster: Cluster,
    ref: Ref,
    clock: Clock,
    *,
    wait: Wait | None = None,
    before: Restarts | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Rollout:
    """Watch a workload to the end of its rollout, as `kubectl rollout status`; return how it ended.

    `before` are restarts from before the change, else those of the first look. Raises NotFoundError where it is not
    there at the beginning, ClusterError where the API server does not answer.
    """
    wait, started_s = wait or Wait(), clock.monotonic_s()
    first = look_at(cluster, ref)
    borne = restarts_of(first.pods) if before is None else before
    kind = cluster.kind(ref.api_version, ref.kind)
    last: Progress | None = None

    def ended(ending: Ending, reason: str, causes: tuple[Cause, ...] = ()) -> Rollout:
        return Rollout(ref, ending, reason, round(clock.monotonic_s() - started_s, 1), last, causes)

    with closing(_changes(cluster.watch(kind, ref.namespace, fields=f"metadata.name={ref.name}"))) as changes:
        for change in changes:
            if change == "DELETED":
                return ended("deleted", "it was deleted meanwhile")
            try:
                last, events = _looked(cluster, look_at(cluster, ref), clock, wait.patience, borne)
            except NotFoundError:
                return ended("deleted", "it was deleted meanwhile")
            progress(last)
            final = [trouble for trouble in last.troubles if trouble.final]
            if last.health.state == "ready":
                return ended("complete", last.health.reason)
            if last.health.state == "suspended":
                return ended("suspended", last.health.reason)
            late = clock.monotonic_s() - started_s >= wait.deadline_s
            if final or last.health.state == "failed" or late:
                causes = explain(cluster, ref.namespace, final or list(last.troubles), events)
                why = str(final[0].reason) if final else last.health.reason
                return ended("timed out" if late and not final else "failed", why, causes)
    raise AssertionError("a watch ends only when it is closed")


def _changes(watch: Iterator[Change]) -> Generator[str]:
    for change in watch:
        yield change.type


def _looked(
    cluster: Cluster, workload: Workload, clock: Clock, patience: Patience, borne: Restarts
) -> tuple[Progress, list[Object]]:
    obj, pods = workload.object, workload.new_pods
    waiting = [pod for pod in pods if not is_ready(pod)]
    events = events_of(cluster, workload.ref.namespace, waiting[:_MOST_PODS])
    now_s = clock.now_ns() / 1e9
    troubles = [
        trouble
        for pod in waiting
        for trouble in troubles_of_pod(pod, _about(events, pod), now_s, patience, borne)
    ]
    newest = workload.newest
    refused = trouble_of_replica_set(newest) if newest is not None and obj["kind"] == "Deployment" else None
    status = mapping(obj, "status")
    progress = Progress(
        workload.ref,
        revision_of(newest) if newest is not None else 0,
        number(mapping(obj, "spec"), "replicas", number(status, "desiredNumberScheduled", 1)),
        len(pods),
        len(pods) - len(waiting),
        health(obj),
        tuple([refused] if refused else []) + tuple(troubles),
    )
    return progress, events


def events_of(cluster: Cluster, namespace: str, pods: list[Object]) -> list[Object]:
    """Return the events about some pods, oldest first; none where we may not read them."""
    if not pods:
        return []
    kind = cluster.kind("v1", "Event")
    uids = [f"involvedObject.uid={pod['metadata']['uid']}" for pod in pods]
    found = cluster.each(lambda uid: cluster.list_objects(kind, namespace, fields=uid), uids)
    events = [event for answer in found if not isinstance(answer, OpslibError) for event in answer]
    return sorted(events, key=lambda e: seconds(e.get("lastTimestamp") or e.get("eventTime")) or 0.0)


def _about(events: list[Object], pod: Object) -> list[Object]:
    return [e for e in events if mapping(e, "involvedObject").get("uid") == pod["metadata"]["uid"]]


def explain(
    cluster: Cluster, namespace: str, troubles: list[Trouble], events: list[Object]
) -> tuple[Cause, ...]:
    """Return each different trouble once, with the pod's latest warnings and the last lines of its log."""
    firsts = {(t.container, t.reason): t for t in reversed(troubles)}
    return tuple(_explained(cluster, namespace, trouble, events) for trouble in reversed(firsts.values()))


def _explained(cluster: Cluster, namespace: str, trouble: Trouble, events: list[Object]) -> Cause:
    mine = [e for e in events if mapping(e, "involvedObject").get("name") == trouble.pod]
    warnings = [e for e in mine if e.get("type") == "Warning"][-_MOST_EVENTS:]
    texts = tuple(
        printable(f"{e.get('reason')} ({number(e, 'count', 1)}x): {e.get('message')}", 300) for e in warnings
    )
    return Cause(trouble, texts, _last_lines(cluster, namespace, trouble))


def _last_lines(cluster: Cluster, namespace: str, trouble: Trouble) -> tuple[str, ...]:
    if not trouble.container or trouble.reason in PULLS | NAMES | CONFIGS:  # which have never run
        return ()
    for previous in (True, False):
        try:
            text = cluster.logs(
                namespace, trouble.pod, trouble.container, tail_lines=_LOG_LINES, previous=previous
            )
        except OpslibError:  # gone, or not ours to read: the events stand alone
            continue
        if text.strip():
            return tuple(printable(line, 300) for line in text.splitlines()[-_LOG_LINES:])
    return ()
