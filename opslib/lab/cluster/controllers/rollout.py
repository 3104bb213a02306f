"""The arithmetic of a Deployment: which ReplicaSet gets how many replicas, and what its status says of that.

Pure. Scaling down never leaves fewer available pods than `replicas - maxUnavailable`, the sum of replicas never passes
`replicas + maxSurge`, and while the new pods become available each step brings the end nearer. As the Deployment
controller of Kubernetes 1.34 computes it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from opslib.lab.cluster.options import Object

REVISION = "deployment.kubernetes.io/revision"
HASH_LABEL = "pod-template-hash"
_HASH_DIGITS = str.maketrans("0123456789", "456789bcdf")


@dataclass(frozen=True, slots=True)
class Size:
    """One ReplicaSet in numbers of pods: asked for, and available; `most` is the bound it was last scaled under."""

    name: str
    replicas: int
    available: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class Goal:
    """What a Deployment asks for, in pods: replicas, how many more may be, how many may not be available."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.replicas + self.surge if self.replicas else 0

    @property
    def least_available(self) -> int:
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True)
class Counters:
    """The pods of a Deployment, as its status counts them; zeros are left out there."""

    replicas: int = 0
    updated: int = 0
    unavailable: int = 0
    ready: int = 0
    available: int = 0

    def to_status(self) -> dict[str, int]:
        names = {
            "replicas": self.replicas,
            "updatedReplicas": self.updated,
            "unavailableReplicas": self.unavailable,
            "readyReplicas": self.ready,
            "availableReplicas": self.available,
        }
        return {name: value for name, value in names.items() if value}

    @classmethod
    def of_status(cls, status: Object) -> Counters:
        names = ("replicas", "updatedReplicas", "unavailableReplicas", "readyReplicas", "availableReplicas")
        return cls(*(status.get(name, 0) for name in names))

    def is_complete(self, replicas: int) -> bool:
        return self.updated == self.replicas == self.available == replicas

    def is_progress(self, before: Counters) -> bool:
        """Whether more is updated, ready or available than before, or less of the old is left."""
        more = self.updated > before.updated or self.ready > before.ready or self.available > before.available
        return more or self.replicas - self.updated < before.replicas - before.updated


def goal(spec: Object) -> Goal:
    """Read a Deployment's spec: per cents of surge round up, of unavailability down, both zero means one unavailable."""
    replicas, strategy = spec["replicas"], spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Goal(replicas, 0, 0)
    rolling = strategy.get("rollingUpdate") or {}
    surge = pods_of(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = pods_of(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return Goal(replicas, surge, min(replicas, max(unavailable, 0 if surge else 1)))


def pods_of(value: int | str, total: int, *, up: bool) -> int:
    """Return an int-or-per-cent in pods, rounded up or down."""
    if isinstance(value, int):
        return value
    share = int(value.removesuffix("%")) * total
    return -(-share // 100) if up else share // 100


def first_size(aim: Goal, old: Sequence[Size]) -> int:
    """Return with how many replicas a new ReplicaSet begins."""
    return _grown(aim, Size("", 0), old)


def roll(aim: Goal, new: Size, old: Sequence[Size]) -> dict[str, int]:
    """Return the next step of a rolling update: ReplicaSets to scale, `old` being oldest first; {} when there is none.

    The new one is scaled before any old one, as two steps.
    """
    size = _grown(aim, new, old)
    if size != new.replicas:
        return {new.name: size}
    return _shrunk(aim, new, old)


def _grown(aim: Goal, new: Size, old: Sequence[Size]) -> int:
    if new.replicas >= aim.replicas:
        return aim.replicas
    room = aim.most - new.replicas - sum(each.replicas for each in old)
    return new.replicas + max(0, min(room, aim.replicas - new.replicas))


def _shrunk(aim: Goal, new: Size, old: Sequence[Size]) -> dict[str, int]:
    """Take first what is broken anyway, then as many as the available ones allow."""
    every = [*old, new]
    spare = sum(e.replicas for e in every) - aim.least_available - (new.replicas - new.available)
    if spare <= 0:
        return {}
    left = {each.name: each.replicas for each in old}
    for each in old:
        broken = min(spare, max(0, each.replicas - each.available))
        left[each.name] -= broken
        spare -= broken
    staying = sum(min(each.available, each.replicas) for each in every)  # the others are about to be deleted
    spare = max(0, staying - aim.least_available)
    for each in old:
        taken = min(spare, left[each.name])
        left[each.name] -= taken
        spare -= taken
    return {each.name: left[each.name] for each in old if left[each.name] != each.replicas}


def resize(aim: Goal, new: Size | None, old: Sequence[Size], *, rolling: bool) -> dict[str, int]:
    """Return the sizes after a change of `replicas`, also in the middle of a roll-out: shares are kept.

    `old` is oldest first.
    """
    every = [*old, *([new] if new else [])]
    active = [each for each in every if each.replicas]
    if len(active) <= 1:
        only = active[0] if active else (every[-1] if every else None)
        return {only.name: aim.replicas} if only and only.replicas != aim.replicas else {}
    if new is not None and new.replicas == new.available == aim.replicas:
        return {each.name: 0 for each in old if each.replicas}
    return _shared(aim, active) if rolling else {}


def _shared(aim: Goal, active: Sequence[Size]) -> dict[str, int]:
    missing = aim.most - sum(each.replicas for each in active)
    newest_first = list(reversed(active)) if missing > 0 else list(active)
    ranked = sorted(newest_first, key=lambda each: -each.replicas)
    sizes, added = {each.name: each.replicas for each in ranked}, 0
    for each in ranked:
        share = _share(aim, each)
        part = min(max(share, 0), missing - added) if missing > 0 else max(min(share, 0), missing - added)
        sizes[each.name] += part
        added += part
    left = missing - added  # of rounding: the largest takes it, as far as it has so many
    for each in ranked:
        part = max(left, -sizes[each.name])
        sizes[each.name] += part
        left -= part
    return sizes


def _share(aim: Goal, each: Size) -> int:
    """Return by how much one grows when all keep their share of the bound that they were scaled under."""
    if not aim.replicas or not each.most:
        return -each.replicas if not aim.replicas else 0
    return math.floor(each.replicas * aim.most / each.most + 0.5) - each.replicas


def template_hash(template: Object, collisions: int = 0) -> str:
    """Return the name of a pod template, equal for equal ones: 32 bits in letters and digits, 7 to 10 of them."""
    text = json.dumps([template, collisions], sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    return f"{number:07d}".translate(_HASH_DIGITS)


def without_hash(template: Object) -> Object:
    """Return a ReplicaSet's template as its Deployment wrote it."""
    metadata = template.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def revision(obj: Object) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def expired(old: Sequence[Object], limit: int) -> list[Object]:
    """Return the old ReplicaSets beyond the history limit, lowest revision first; only empty ones."""
    beyond = sorted(old, key=revision)[: max(0, len(old) - limit)]
    return [each for each in beyond if not each["spec"]["replicas"] and not each["status"].get("replicas")]
