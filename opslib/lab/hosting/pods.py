"""The containers of a namespace as the supervisor and `opslib lab status` see them: who runs where, since when, how.

A container is known by `instance`, which changes with every start; what it was told before is gone with the old one.
"""

from __future__ import annotations

from typing import Any

from opslib.lab.cluster.options import Object
from opslib.lab.cluster.server import Cluster
from opslib.lab.state import ProcessId

_NAME = "app.kubernetes.io/name"
CONTROL_PORT = 8081


def containers(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    """Return the containers of a namespace by pod.

    Each `{"name", "app", "ready", "state", "restarts", "last_exit", "pid", "create_time", "instance", "control"}`:
    `app` is the application's name, `control` host and port for control calls, `pid` None while it is not running.
    """
    running = {m.pod["metadata"]["uid"]: m.account.session for m in cluster.kubelet.measured()}
    pods = sorted(cluster.api.list("pods", namespace), key=lambda pod: str(pod["metadata"]["name"]))
    return [_container(cluster, pod, running.get(pod["metadata"]["uid"])) for pod in pods]


def _container(cluster: Cluster, pod: Object, pid: int | None) -> dict[str, Any]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    seen: Object = (status.get("containerStatuses") or [{}])[0]
    process = ProcessId.of(pid) if pid is not None else None
    ready = bool(seen.get("ready")) and not metadata.get("deletionTimestamp")
    host, port = cluster.addresses.reach(status.get("podIP", ""), CONTROL_PORT)
    return {
        "name": metadata["name"],
        "app": (metadata.get("labels") or {}).get(_NAME, ""),
        "ready": ready,
        "state": "ready" if ready else _state(metadata, seen),
        "restarts": int(seen.get("restartCount", 0)),
        "last_exit": _last_exit(seen),
        "pid": process.pid if process else None,
        "create_time": process.create_time if process else None,
        "instance": seen.get("containerID", ""),
        "control": [host, port],
    }


def _state(metadata: Object, seen: Object) -> str:
    if metadata.get("deletionTimestamp"):
        return "terminating"
    waiting = (seen.get("state") or {}).get("waiting")
    return str(waiting["reason"]) if waiting else "starting"


def _last_exit(seen: Object) -> str:
    ended = (seen.get("lastState") or {}).get("terminated")
    if not ended:
        return ""
    return f"{ended['reason']}, exit code {ended['exitCode']}"
