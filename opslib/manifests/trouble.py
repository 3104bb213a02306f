"""What keeps pods of a new revision from becoming ready, and whether waiting can help; from objects alone.

Only what cannot heal by itself is final at once: a container that crashes again and again, an image that does not exist
or may not be had, a configuration that is not there, a quota or an admission that refuses. Other pull errors are final
after three tries, a pod that fits nowhere after a while without a scale-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opslib.core.words import printable
from opslib.kube import Object
from opslib.manifests.health import condition, number
from opslib.manifests.pods import mapping, mappings

PULLS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
NAMES = frozenset({"InvalidImageName", "ErrImageNeverPull"})
CONFIGS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_CANNOT_HEAL = re.compile(
    r"not ?found|denied|unauthori[sz]ed|forbidden|manifest unknown|no basic auth|authentication required",
    re.IGNORECASE,
)
_STATUSES = ("initContainerStatuses", "containerStatuses")


@dataclass(frozen=True, slots=True)
class Patience:
    """How much is borne before trouble is final."""

    restarts: int = 2
    pulls: int = 3
    unschedulable_s: float = 90.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong with one pod, or with the set of pods (`pod` empty); `final`: waiting cannot help."""

    pod: str
    container: str
    reason: str
    message: str
    final: bool
    restarts: int = 0
    exit_code: int | None = None

    def __str__(self) -> str:
        where = " ".join(word for word in (self.pod, self.container) if word)
        code = f", exit code {self.exit_code}" if self.exit_code is not None else ""
        text = f": {self.message}" if self.message else ""
        return printable(f"{where + ': ' if where else ''}{self.reason}{code}{text}", 500)


Restarts = Mapping[tuple[str, str], int]  # of a pod's uid and a container


def restarts_of(pods: Iterable[Object]) -> dict[tuple[str, str], int]:
    """Return how often each container has been restarted: what was before a change is not its fault."""
    return {
        (str(pod["metadata"].get("uid", "")), str(status.get("name", ""))): number(status, "restartCount")
        for pod in pods
        for part in _STATUSES
        for status in mappings(mapping(pod, "status"), part)
    }


def troubles_of_pod(
    pod: Object, events: Iterable[Object], now_s: float, patience: Patience, before: Restarts | None = None
) -> Iterator[Trouble]:
    """Yield what is wrong with a pod; `events` are the pod's own, `now_s` unix seconds, `before` earlier restarts."""
    own = list(events)
    metadata = mapping(pod, "metadata")
    name, uid = str(metadata.get("name", "")), str(metadata.get("uid", ""))
    for part in _STATUSES:
        for status in mappings(mapping(pod, "status"), part):
            borne = (before or {}).get((uid, str(status.get("name", ""))), 0)
            if (found := _of_container(name, status, own, patience, borne)) is not None:
                yield found
    if (found := _unschedulable(name, pod, own, now_s, patience)) is not None:
        yield found


def trouble_of_replica_set(replica_set: Object) -> Trouble | None:
    """Return why a ReplicaSet cannot make pods: a quota or an admission refuses them."""
    failure = condition(replica_set, "ReplicaFailure")
    if failure.get("status") != "True" or not failure.get("message"):
        return None
    return Trouble("", "", str(failure.get("reason") or "FailedCreate"), str(failure["message"]), final=True)


def _of_container(
    pod: str, status: Mapping[str, Any], events: list[Object], patience: Patience, borne: int
) -> Trouble | None:
    waiting = mapping(status, "state", "waiting")
    restarts, ended = number(status, "restartCount") - borne, _last_end(status)
    reason = str(waiting.get("reason") or "")
    container = str(status.get("name", ""))

    def found(why: str, message: str, *, final: bool) -> Trouble:
        code = ended.get("exitCode") if ended else None
        return Trouble(pod, container, why, message, final, restarts, code)

    if reason in NAMES or reason in CONFIGS:
        return found(reason, str(waiting.get("message") or ""), final=True)
    if reason in PULLS:
        message = _pull_message(str(waiting.get("message") or ""), events)
        tries = sum(number(e, "count", 1) for e in events if _is_failed_pull(e))
        return found(reason, message, final=bool(_CANNOT_HEAL.search(message)) or tries >= patience.pulls)
    if status.get("ready") or (restarts < 1 and reason != "CrashLoopBackOff"):
        return None
    why = "OOMKilled" if ended.get("reason") == "OOMKilled" else reason or "restarted"
    total = restarts + borne
    text = "1 restart" if total == 1 else f"{total} restarts"
    return found(why, text, final=reason == "CrashLoopBackOff" or restarts >= patience.restarts)


def _last_end(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(status, "lastState", "terminated") or mapping(status, "state", "terminated")


def _is_failed_pull(event: Object) -> bool:
    return event.get("reason") == "Failed" and "pull image" in str(event.get("message", ""))


def _pull_message(waiting: str, events: list[Object]) -> str:
    """Return the registry's own words: while it backs off, an older kubelet says them in its events alone."""
    if _CANNOT_HEAL.search(waiting):
        return waiting
    said = [str(event.get("message")) for event in events if _is_failed_pull(event)]
    return said[-1] if said else waiting


def _unschedulable(
    name: str, pod: Object, events: list[Object], now_s: float, patience: Patience
) -> Trouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    since_s = seconds(scheduled.get("lastTransitionTime"))
    grows = any(event.get("reason") == "TriggeredScaleUp" for event in events)
    final = not grows and since_s is not None and now_s - since_s >= patience.unschedulable_s
    return Trouble(name, "", "Unschedulable", str(scheduled.get("message") or ""), final)


def seconds(stamp: Any) -> float | None:
    """Return an RFC 3339 time as unix seconds, None for what is none."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return None
