"""What was changed in a Deployment, in the words of the change log: a rollout, a configuration, a scale.

Versions are those of the pods' label `app.kubernetes.io/version`, the tag of the image where there is none. A second
Deployment of the same service is a rollout of its version, and its end the way back. A rollout is told once its pods
are there, with the time at which it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from opslib.lab.cluster.options import Object
from opslib.telemetry.kubernetes.rows import (
    Row,
    rollout_row,
    scale_row,
    template_row,
    version_label,
    version_of,
    workload_of,
)


@dataclass(slots=True)
class Changes:
    """Hears of every change of a Deployment; `pods` lists the pods of the namespace."""

    pods: Callable[[], list[Object]]
    _known: dict[str, Object] = field(default_factory=dict)
    _pending: dict[str, tuple[int, str, str]] = field(default_factory=dict)  # Deployment -> since, from, to

    def heard(self, deployment: Object, time_ns: int, *, gone: bool) -> Iterator[Row]:
        """Yield what has changed since the Deployment was heard of before."""
        name = deployment["metadata"]["name"]
        before = self._known.pop(name, None)
        other = self._version_beside(deployment)
        if gone:
            self._pending.pop(name, None)
            if other and other != version_of(deployment):
                yield self._rollout(deployment, time_ns, version_of(deployment), other, back=True)
            return
        self._known[name] = deployment
        was = version_of(before) if before else other
        if was and was != version_of(deployment):
            self._pending[name] = (time_ns, was, version_of(deployment))
        elif before is not None:
            yield from _configured(before, deployment, time_ns)
        if name in self._pending and _is_there(deployment):
            since_ns, old, new = self._pending.pop(name)
            yield self._rollout(deployment, since_ns, old, new, back=False)

    def _version_beside(self, deployment: Object) -> str:
        """Return the version of another Deployment of the same service, "" where there is none."""
        workload = workload_of(deployment)
        beside = (version_of(d) for d in self._known.values() if workload_of(d) == workload)
        return next(beside, "")

    def _rollout(self, deployment: Object, time_ns: int, old: str, new: str, *, back: bool) -> Row:
        workload = workload_of(deployment)
        pods = [p for p in self.pods() if workload_of(p) == workload and version_label(p) == new]
        names = [pod["metadata"]["name"] for pod in pods]
        return rollout_row(deployment, _name(deployment), time_ns, (old, new), names, back=back)


def _is_there(deployment: Object) -> bool:
    status = deployment.get("status") or {}
    if status.get("observedGeneration") != deployment["metadata"].get("generation"):
        return False
    return bool(status.get("updatedReplicas", 0) >= deployment["spec"].get("replicas", 1))


def _configured(before: Object, after: Object, time_ns: int) -> Iterator[Row]:
    old, new = before["spec"], after["spec"]
    if old["template"] != new["template"]:
        yield template_row(after, _name(after), time_ns)
    if old.get("replicas") != new.get("replicas"):
        yield scale_row(after, _name(after), time_ns, old.get("replicas"), new.get("replicas"))


def _name(deployment: Object) -> str:
    return workload_of(deployment) or str(deployment["metadata"]["name"])
