"""Deployments: one ReplicaSet per pod template, replaced step by step as `rollout` computes.

Each reconcile makes at most one step and then writes the status; statuses and events come in the order that was
recorded from a real cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects, progress, rollout
from opslib.lab.cluster.controllers.events import Recorder
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import owner_reference, with_metadata
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Event

DEPLOYMENTS, SETS = "deployments.apps", "replicasets.apps"
_PREFIX = "deployment.kubernetes.io/"
_DESIRED, _MOST, _HISTORY = (
    f"{_PREFIX}desired-replicas",
    f"{_PREFIX}max-replicas",
    f"{_PREFIX}revision-history",
)
_NOT_COPIED = {
    rollout.REVISION,
    _DESIRED,
    _MOST,
    _HISTORY,
    "kubectl.kubernetes.io/last-applied-configuration",
}


@dataclass(frozen=True, slots=True)
class _View:
    """A Deployment with the ReplicaSet of its present template and the others, oldest first."""

    deployment: Object
    new: Object | None
    old: list[Object]

    @property
    def every(self) -> list[Object]:
        return [*self.old, *([self.new] if self.new else [])]

    @property
    def aim(self) -> rollout.Goal:
        return rollout.goal(self.deployment["spec"])

    @property
    def paused(self) -> bool:
        return bool(self.deployment["spec"].get("paused"))

    @property
    def rolling(self) -> bool:
        return bool(self.deployment["spec"].get("strategy", {}).get("type") != "Recreate")

    @property
    def is_resized(self) -> bool:
        """Whether a ReplicaSet in use was scaled for another number of replicas."""
        used = [_annotations(each) for each in self.every if each["spec"]["replicas"]]
        return any(each.get(_DESIRED, str(self.aim.replicas)) != str(self.aim.replicas) for each in used)


class Deployments:
    """The Deployment controller."""

    def __init__(self, api: Api, clock: Clock, recorder: Recorder) -> None:
        self._api = api
        self._clock = clock
        self._recorder = recorder

    def keys(self, event: Event) -> set[Key]:
        if event.resource == DEPLOYMENTS:
            return {objects.key_of(event.object)}
        if event.resource == SETS:
            owners = objects.owner_keys(event, "Deployment")
            return owners or objects.selecting(self._api, DEPLOYMENTS, event.object)
        if event.resource != "pods" or event.type != "DELETED":  # Recreate waits for the last one
            return set()
        sets = [objects.find(self._api, SETS, *key) for key in objects.owner_keys(event, "ReplicaSet")]
        refs = [(each, objects.controller_of(each)) for each in sets if each is not None]
        return {(each["metadata"]["namespace"], ref["name"]) for each, ref in refs if ref is not None}

    def reconcile(self, key: Key) -> float | None:
        deployment = objects.find(self._api, DEPLOYMENTS, *key)
        if deployment is None:
            return None
        view = self._view(self._noted_pause(deployment))
        if objects.is_deleted(deployment):
            return self._report(view, progressing=False)
        if view.paused or view.is_resized:
            return self._resize(view)
        return self._roll(view) if view.rolling else self._recreate(view)

    def _view(self, deployment: Object) -> _View:
        candidates = self._api.list(SETS, objects.key_of(deployment)[0])
        mine = objects.claim(self._api, deployment, SETS, candidates)
        mine.sort(key=lambda each: (each["metadata"]["creationTimestamp"], rollout.revision(each)))
        template = rollout.without_hash(deployment["spec"]["template"])
        same = [each for each in mine if rollout.without_hash(each["spec"]["template"]) == template]
        new = same[0] if same else None
        return _View(deployment, new, [each for each in mine if each is not new])

    def _resize(self, view: _View) -> float | None:
        view = self._noted_revision(view)
        new, old = _size(view.new) if view.new else None, [_size(each) for each in view.old]
        sizes = rollout.resize(view.aim, new, old, rolling=view.rolling)
        for each in view.every:
            size = sizes.get(each["metadata"]["name"], each["spec"]["replicas"])
            self._scale(view, each, size, always=bool(each["spec"]["replicas"]))
        return self._report(view, progressing=False)

    def _roll(self, view: _View) -> float | None:
        old = [_size(each) for each in view.old]
        if view.new is None:
            self._create(view, rollout.first_size(view.aim, old))
            return None
        view = self._noted_revision(view)
        steps = rollout.roll(view.aim, _size(view.new), old) if view.new else {}
        for each in view.every:
            self._scale(view, each, steps.get(each["metadata"]["name"], each["spec"]["replicas"]))
        if not steps:
            self._forget(view)
        return self._report(view)

    def _recreate(self, view: _View) -> float | None:
        """Begin the new only when the last pod of the old has gone."""
        if any(each["spec"]["replicas"] for each in view.old):
            for each in view.old:
                self._scale(view, each, 0)
            return self._report(view)
        pods = self._api.list("pods", view.deployment["metadata"]["namespace"])
        if any(not objects.is_finished(pod) for each in view.old for pod in objects.owned(pods, each)):
            return self._report(view)
        if view.new is None:
            self._create(view, view.aim.replicas)
            return None
        view = self._noted_revision(view)
        if view.new is not None:
            self._scale(view, view.new, view.aim.replicas)
        self._forget(view)
        return self._report(view)

    def _create(self, view: _View, replicas: int) -> None:
        """Make the ReplicaSet of a new template; its event brings the next reconcile."""
        namespace = view.deployment["metadata"]["namespace"]
        status = view.deployment.get("status") or {}
        collisions = status.get("collisionCount", 0)
        try:
            made = self._api.create(SETS, namespace, _replica_set(view, replicas, collisions), objects.WRITE)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            counted = status | {"collisionCount": collisions + 1}  # another's has this name: take the next
            objects.write_status(self._api, DEPLOYMENTS, view.deployment, counted)
            return
        hashed = made["metadata"]["name"]
        if replicas:
            self._note_scaling(view.deployment, hashed, 0, replicas)
        revised = _annotated(view.deployment, {rollout.REVISION: str(rollout.revision(made))})
        now = objects.condition(revised, "Progressing")
        if now is not None and now["reason"] == progress.RESUMED:  # it says so until the first progress
            objects.write_status(self._api, DEPLOYMENTS, revised, revised["status"])
        else:
            self._progress(revised, "True", progress.CREATED, f'Created new replica set "{hashed}"')

    def _noted_revision(self, view: _View) -> _View:
        """Give the present ReplicaSet the highest revision, and its Deployment the same."""
        if view.new is None:
            return view
        revision = max([rollout.revision(each) for each in view.old], default=0) + 1
        new = _annotated(view.new, _copied(view.deployment))
        if (had := rollout.revision(view.new)) < revision:
            past = [*_annotations(new).get(_HISTORY, "").split(","), str(had) if had else ""]
            history = ",".join(filter(None, past))
            new = _annotated(
                new, {rollout.REVISION: str(revision)} | ({_HISTORY: history} if history else {})
            )
        wait_s = view.deployment["spec"].get("minReadySeconds")
        if new["spec"].get("minReadySeconds") != wait_s:
            new = new | {"spec": {**new["spec"], "minReadySeconds": wait_s or 0}}
        new = objects.update(self._api, SETS, new) if new != view.new else new
        revised = _annotated(view.deployment, {rollout.REVISION: str(rollout.revision(new))})
        if objects.condition(revised, "Progressing") is None:
            text = f'Found new replica set "{new["metadata"]["name"]}"'
            deployment = self._progress(revised, "True", progress.FOUND, text)
        else:
            deployment = objects.write_status(self._api, DEPLOYMENTS, revised, revised["status"])
        return _View(deployment, new, view.old)

    def _noted_pause(self, deployment: Object) -> Object:
        """Say in the condition Progressing that the roll-out stands still, and that it goes on."""
        now = objects.condition(deployment, "Progressing")
        if deployment["spec"].get("progressDeadlineSeconds") is None:
            return deployment
        if now is not None and now["reason"] == progress.EXCEEDED:
            return deployment
        was_paused = now is not None and now["reason"] == progress.PAUSED
        if deployment["spec"].get("paused") and not was_paused:
            return self._progress(deployment, "Unknown", progress.PAUSED, "Deployment is paused")
        if not deployment["spec"].get("paused") and was_paused:
            return self._progress(deployment, "Unknown", progress.RESUMED, "Deployment is resumed")
        return deployment

    def _progress(self, deployment: Object, status: str, reason: str, message: str) -> Object:
        now = progress.make("Progressing", status, reason, message, self._clock.now_ns())
        before = deployment.get("status") or {}
        conditions = objects.set_condition(before.get("conditions") or (), now)
        return objects.write_status(self._api, DEPLOYMENTS, deployment, before | {"conditions": conditions})

    def _scale(self, view: _View, replica_set: Object, replicas: int, *, always: bool = False) -> None:
        """Scale one ReplicaSet; `always`: also note on it what its Deployment wants now."""
        before = replica_set["spec"]["replicas"]
        changed = _annotated(replica_set, _bounds(view.aim))
        changed = changed | {"spec": {**replica_set["spec"], "replicas": replicas}}
        if before == replicas and not (always and changed != replica_set):
            return
        objects.update(self._api, SETS, changed)
        if before != replicas:
            self._note_scaling(view.deployment, replica_set["metadata"]["name"], before, replicas)

    def _note_scaling(self, deployment: Object, name: str, before: int, after: int) -> None:
        text = f"Scaled {'up' if after > before else 'down'} replica set {name} from {before} to {after}"
        self._recorder.record(deployment, "Normal", "ScalingReplicaSet", text)

    def _forget(self, view: _View) -> None:
        """Delete the oldest ReplicaSets beyond the history limit, once the roll-out is complete."""
        counters = rollout.Counters.of_status(view.deployment.get("status") or {})
        if not counters.is_complete(view.aim.replicas):
            return
        idle = [each for each in view.old if not objects.is_deleted(each)]
        for each in rollout.expired(idle, view.deployment["spec"].get("revisionHistoryLimit", 10)):
            objects.delete(self._api, SETS, each)

    def _report(self, view: _View, *, progressing: bool = True) -> float | None:
        """Write the status as it was found, before what was scaled just now; return when the progress deadline passes."""
        now_ns = self._clock.now_ns()
        status = progress.status_of(view.deployment, view.every, view.new, view.aim, now_ns)
        if not progressing:
            objects.write_status(self._api, DEPLOYMENTS, view.deployment, status)
            return None
        status = progress.with_progress(view.deployment, status, view.every, view.new, now_ns)
        objects.write_status(self._api, DEPLOYMENTS, view.deployment, status)
        left_s = progress.deadline_left_s(view.deployment, status, now_ns)
        return None if left_s is None else max(0.0, left_s) + 0.001


def _size(replica_set: Object) -> rollout.Size:
    most = _annotations(replica_set).get(_MOST, "0")
    available = replica_set.get("status", {}).get("availableReplicas", 0)
    name, replicas = replica_set["metadata"]["name"], replica_set["spec"]["replicas"]
    return rollout.Size(name, replicas, available, int(most) if most.isdecimal() else 0)


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _annotated(obj: Object, annotations: dict[str, str]) -> Object:
    return with_metadata(obj, annotations={**_annotations(obj), **annotations} or None)


def _copied(deployment: Object) -> dict[str, str]:
    return {k: v for k, v in _annotations(deployment).items() if k not in _NOT_COPIED}


def _bounds(aim: rollout.Goal) -> dict[str, str]:
    return {_DESIRED: str(aim.replicas), _MOST: str(aim.replicas + aim.surge)}


def _replica_set(view: _View, replicas: int, collisions: int) -> Object:
    spec, (namespace, name) = view.deployment["spec"], objects.key_of(view.deployment)
    template = rollout.without_hash(spec["template"])
    hashed = rollout.template_hash(template, collisions)
    labels = {**template["metadata"]["labels"], rollout.HASH_LABEL: hashed}
    chosen = spec["selector"]
    selector = {**chosen, "matchLabels": {**(chosen.get("matchLabels") or {}), rollout.HASH_LABEL: hashed}}
    revision = max([rollout.revision(each) for each in view.old], default=0) + 1
    wait = {"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{hashed}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {**_copied(view.deployment), **_bounds(view.aim), rollout.REVISION: str(revision)},
            "ownerReferences": [owner_reference(view.deployment)],
        },
        "spec": {
            **wait,
            "replicas": replicas,
            "selector": selector,
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        },
    }
