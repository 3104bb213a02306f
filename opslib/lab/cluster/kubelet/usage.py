"""What pods use, as metrics.k8s.io/v1beta1 objects: processor over the last seconds, resident memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from opslib.core.clock import Clock
from opslib.lab.cluster.kubelet.limits import Account
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import Object

WINDOW_S = 10
EVERY_S = 5.0  # between two looks


@dataclass(frozen=True, slots=True)
class Measured:
    """A running container: its pod, its name, its processes."""

    pod: Object
    container: str
    account: Account


class Usage:
    """Looks at the containers that `running` names whenever `look` is called, and answers from the last two looks."""

    def __init__(self, running: Callable[[], Iterable[Measured]], clock: Clock) -> None:
        self._running, self._clock = running, clock
        self._looks: dict[int, deque[tuple[int, float]]] = {}  # session -> time and seconds used

    def look(self) -> None:
        """Note what each container has used until now."""
        now_ns, before = self._clock.now_ns(), self._looks
        self._looks = {}
        for measured in self._running():
            session = measured.account.session
            looks = self._looks[session] = before.get(session, deque(maxlen=3))
            looks.append((now_ns, measured.account.measure()))

    def pods(self, namespace: str) -> list[Object]:
        """Return the metrics of the pods of a namespace ("": of all) that were looked at twice."""
        found: dict[str, Object] = {}
        for measured in self._running():
            metadata = measured.pod["metadata"]
            cores = self._cores(measured.account)
            if cores is None or (namespace and metadata["namespace"] != namespace):
                continue
            pod = found.setdefault(metadata["uid"], self._object(measured.pod))
            pod.setdefault("containers", []).append(
                {"name": measured.container, "usage": _usage(cores, measured.account.memory())}
            )
        return list(found.values())

    def _cores(self, account: Account) -> float | None:
        looks = self._looks.get(account.session)
        if looks is None or len(looks) < 2:
            return None
        (begin_ns, before_s), (end_ns, after_s) = looks[0], looks[-1]
        return (after_s - before_s) / max((end_ns - begin_ns) / 1e9, 1e-9)

    def _object(self, of: Object) -> Object:
        now = stamp(self._clock.now_ns())
        kept = {k: of["metadata"][k] for k in ("name", "namespace", "labels") if k in of["metadata"]}
        return {
            "kind": "PodMetrics",
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {**kept, "creationTimestamp": now},
            "timestamp": now,
            "window": f"{WINDOW_S}s",
        }


def _usage(cores: float, memory_bytes: int) -> dict[str, str]:
    return {"cpu": f"{round(cores * 1e9)}n", "memory": f"{memory_bytes // 1024}Ki"}
