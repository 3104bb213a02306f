"""PodDisruptionBudgets: how many healthy pods of a group may go on purpose now, and evictions that ask that first.

An eviction counts at the moment it is asked, so two in a row cannot both take the last pod that may go.
"""

from __future__ import annotations

from dataclasses import dataclass

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.controllers.rollout import pods_of
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import DeleteOptions, Object
from opslib.lab.cluster.selectors import match_label_selector
from opslib.lab.cluster.statuses import Cause, StatusError, internal
from opslib.lab.cluster.store import Event

BUDGETS = "poddisruptionbudgets.policy"
_OWNERS = {"ReplicaSet": "replicasets.apps"}


@dataclass(frozen=True, slots=True)
class Allowance:
    """Pods of one budget: how many there should be, must be healthy, are healthy, and may go."""

    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        return max(0, self.healthy - self.desired) if self.expected else 0


class Budgets:
    """The disruption controller: keeps the status of budgets."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    def keys(self, event: Event) -> set[Key]:
        if event.resource == BUDGETS:
            return {objects.key_of(event.object)}
        return objects.selecting(self._api, BUDGETS, event.object) if event.resource == "pods" else set()

    def reconcile(self, key: Key) -> None:
        budget = objects.find(self._api, BUDGETS, *key)
        if budget is None or objects.is_deleted(budget):
            return
        now = allowance(self._api, budget)
        enough = ("True", "SufficientPods") if now.allowed else ("False", "InsufficientPods")
        condition = {"type": "DisruptionAllowed", "status": enough[0], "reason": enough[1], "message": ""}
        condition |= {"observedGeneration": budget["metadata"]["generation"]}
        condition |= {"lastTransitionTime": stamp(self._clock.now_ns())}
        status = {
            "observedGeneration": budget["metadata"]["generation"],
            "expectedPods": now.expected,
            "desiredHealthy": now.desired,
            "currentHealthy": now.healthy,
            "disruptionsAllowed": now.allowed,
            "conditions": objects.set_condition(budget.get("status", {}).get("conditions") or (), condition),
        }
        objects.write_status(self._api, BUDGETS, budget, status)


def allowance(api: Api, budget: Object) -> Allowance:
    """Count a budget's pods as they are now. Per cents round up, and are of what the pods' owners ask for."""
    spec, namespace = budget["spec"], budget["metadata"]["namespace"]
    pods = [
        pod for pod in api.list("pods", namespace) if _covers(budget, pod) and not objects.is_finished(pod)
    ]
    healthy = sum(objects.ready_since(pod) is not None and not objects.is_deleted(pod) for pod in pods)
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if isinstance(least, int):
        return Allowance(len(pods), least, healthy)
    expected = _asked_for(api, pods)
    if least is not None:
        return Allowance(expected, pods_of(least, expected, up=True), healthy)
    out = pods_of(most if most is not None else 0, expected, up=True)
    return Allowance(expected, max(0, expected - out), healthy)


def _asked_for(api: Api, pods: list[Object]) -> int:
    refs = {
        (r["kind"], p["metadata"]["namespace"], r["name"]) for p in pods if (r := objects.controller_of(p))
    }
    known = [(_OWNERS[kind], namespace, name) for kind, namespace, name in refs if kind in _OWNERS]
    owners = [owner for key in known if (owner := objects.find(api, *key))]
    return sum(owner["spec"]["replicas"] for owner in owners)


def _covers(budget: Object, pod: Object) -> bool:
    return match_label_selector(budget["spec"].get("selector"), pod["metadata"].get("labels") or {})


def evict(api: Api, namespace: str, name: str, options: DeleteOptions) -> Object:
    """Delete a pod as `pods/eviction` does. Raises StatusError 429 when a budget forbids it now."""
    pod = api.get("pods", namespace, name)
    budgets = [each for each in api.list(BUDGETS, namespace) if _covers(each, pod)]
    if objects.is_active(pod) and objects.phase(pod) != "Pending":
        if len(budgets) > 1:
            raise internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        for budget in budgets:
            _check(api, budget, pod)
    return api.delete("pods", namespace, name, options)


def _check(api: Api, budget: Object, pod: Object) -> None:
    now, name = allowance(api, budget), budget["metadata"]["name"]
    if objects.ready_since(pod) is None:
        always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
        allowed = always or (now.healthy >= now.desired and now.desired > 0)
    else:
        allowed = now.allowed > 0
    if not allowed:
        text = (
            f"The disruption budget {name} needs {now.desired} healthy pods and has {now.healthy} currently"
        )
        refused = "Cannot evict pod as it would violate the pod's disruption budget."
        raise StatusError(429, "TooManyRequests", refused, causes=[Cause("DisruptionBudget", text)])
