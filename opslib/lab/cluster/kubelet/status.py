"""A pod's status from what its containers are, as pkg/kubelet/kubelet_pods.go and status/generate.go make it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from opslib.lab.cluster.options import Object

CREATING = {"waiting": {"reason": "ContainerCreating"}}


@dataclass(frozen=True, slots=True)
class View:
    """One container: `state` and `last` as in the API, `restarts` of the newest start."""

    spec: Object
    id: str = ""
    image_id: str = ""
    restarts: int = 0
    state: Object = field(default_factory=lambda: CREATING)
    last: Object = field(default_factory=dict)
    ready: bool = False
    started: bool = False

    @property
    def is_running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        terminated = self.state.get("terminated")
        return terminated["exitCode"] if terminated else None

    def to_status(self) -> Object:
        return {
            "name": self.spec["name"],
            "state": self.state,
            "lastState": self.last,
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": self.image_id,
            **({"containerID": self.id} if self.id else {}),
            "started": self.started,
            "resources": self.spec.get("resources") or {},
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a pod beside its containers; `over`: its containers are not started again."""

    ip: str = ""
    host_ip: str = ""
    start_time: str = ""
    now: str = ""
    over: bool = False


def pod_status(pod: Object, inits: Sequence[View], mains: Sequence[View], facts: Facts) -> Object:
    """Return the whole status; what others wrote into the old one is kept."""
    old = pod.get("status") or {}
    phase = _phase(pod, inits, mains, over=facts.over)
    addresses = {"podIP": facts.ip, "podIPs": [{"ip": facts.ip}]} if facts.ip else {}
    return {
        **old,
        "observedGeneration": pod["metadata"].get("generation", 1),
        "phase": phase,
        "conditions": _conditions(pod, phase, inits, mains, facts),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        **addresses,
        "startTime": facts.start_time,
        **({"initContainerStatuses": [view.to_status() for view in inits]} if inits else {}),
        "containerStatuses": [view.to_status() for view in mains],
    }


def _phase(pod: Object, inits: Sequence[View], mains: Sequence[View], *, over: bool) -> str:
    policy = pod["spec"].get("restartPolicy", "Always")
    failed = [view for view in (*inits, *mains) if view.exit_code]
    if over:
        return "Failed" if failed or not all(view.exit_code == 0 for view in mains) else "Succeeded"
    if any(view.exit_code != 0 for view in inits):
        return "Failed" if policy == "Never" and any(view.exit_code for view in inits) else "Pending"
    if any("waiting" in view.state and not view.last for view in mains):
        return "Pending"
    if policy == "Always" or not all("terminated" in view.state for view in mains):
        return "Running"
    if not failed:
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _conditions(
    pod: Object, phase: str, inits: Sequence[View], mains: Sequence[View], facts: Facts
) -> list[Object]:
    old = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or []}
    waiting = [view.spec["name"] for view in inits if view.exit_code != 0]
    unready = [view.spec["name"] for view in mains if not view.ready]
    ready = _readiness(phase, unready)
    wanted = {
        "PodReadyToStartContainers": ("True" if facts.ip and not facts.over else "False", "", ""),
        "Initialized": _initialized(phase, waiting),
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": ("True", "", ""),
    }
    generation = pod["metadata"].get("generation", 1)
    made = [_condition(kind, value, old.get(kind), facts.now, generation) for kind, value in wanted.items()]
    return [*made, *(condition for kind, condition in old.items() if kind not in wanted)]


def _readiness(phase: str, unready: Sequence[str]) -> tuple[str, str, str]:
    if phase in {"Succeeded", "Failed"}:
        return "False", "PodCompleted" if phase == "Succeeded" else "PodFailed", ""
    if unready:
        return "False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "True", "", ""


def _initialized(phase: str, waiting: Sequence[str]) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "True", "PodCompleted", ""
    if waiting:
        text = f"containers with incomplete status: [{' '.join(waiting)}]"
        return "False", "ContainersNotInitialized", text
    return "True", "", ""


def _condition(
    kind: str, value: tuple[str, str, str], old: Object | None, now: str, generation: int
) -> Object:
    status, reason, message = value
    same = old is not None and old["status"] == status
    made = {
        "type": kind,
        "observedGeneration": generation,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": old.get("lastTransitionTime") if old is not None and same else now,
        "reason": reason,
        "message": message,
    }
    return {key: value for key, value in made.items() if value or key == "lastProbeTime"}
