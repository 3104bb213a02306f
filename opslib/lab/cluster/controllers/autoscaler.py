"""HorizontalPodAutoscalers: every 15 s the measured use of a target's pods against what is wanted.

What was recommended and scaled is remembered as long as the longest window looks back, and forgotten with the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from opslib.core.clock import Clock
from opslib.core.quantity import Quantity, parse_quantity
from opslib.core.windows import parse_duration_s
from opslib.lab.cluster.api import Api, Usage
from opslib.lab.cluster.controllers import objects, scaling
from opslib.lab.cluster.controllers.events import Recorder
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.controllers.scaling import History, Past, Sample
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.selectors import match_label_selector
from opslib.lab.cluster.store import Event

SCALERS = "horizontalpodautoscalers.autoscaling"
PERIOD_S = 15.0
_LONGEST_S = 3600.0  # the longest window that an object may ask for
_NO_SCALE = "the HPA controller was unable to get the target's current scale"
_IS_ZERO = "scaling is disabled since the replica count of the target is zero"
_MILLI = 1_000_000  # in nano units: the grain of the averages that are shown
_WARM_UP_S, _FIRST_READY_S = 300.0, 30.0  # a young pod's CPU is start-up work


@dataclass(frozen=True, slots=True)
class _Wish:
    """How many replicas one metric asks for, and its name and figures; 0 where it cannot tell, and why."""

    replicas: int
    text: str
    shown: Object = field(default_factory=dict)


class Autoscaler:
    """The HPA controller for resource metrics (CPU, memory) of scalable targets."""

    def __init__(self, api: Api, clock: Clock, recorder: Recorder, usage: Usage) -> None:
        self._api = api
        self._clock = clock
        self._recorder = recorder
        self._usage = usage
        self.histories: dict[Key, History] = {}
        self._last_s: dict[Key, float] = {}

    def keys(self, event: Event) -> set[Key]:
        return {objects.key_of(event.object)} if event.resource == SCALERS else set()

    def reconcile(self, key: Key) -> float | None:
        scaler = objects.find(self._api, SCALERS, *key)
        if scaler is None or objects.is_deleted(scaler):
            self.histories.pop(key, None)
            self._last_s.pop(key, None)
            return None
        now_s = self._clock.monotonic_s()
        if now_s - self._last_s.get(key, -PERIOD_S) >= PERIOD_S:  # not at every write of its own status
            self._last_s[key] = now_s
            self._look(scaler, self.histories.setdefault(key, History()))
        return self._last_s[key] + PERIOD_S - now_s

    def _look(self, scaler: Object, history: History) -> None:
        resource = self._resource(scaler)
        key = (scaler["metadata"]["namespace"], scaler["spec"]["scaleTargetRef"]["name"])
        target = objects.find(self._api, resource, *key) if resource else None
        if resource is None or target is None:
            self._report(scaler, {}, [("AbleToScale", "False", "FailedGetScale", _NO_SCALE)])
            return
        status = {
            "currentReplicas": target["spec"]["replicas"],
            "desiredReplicas": target["spec"]["replicas"],
        }
        if not target["spec"]["replicas"]:
            self._report(scaler, status, [("ScalingActive", "False", "ScalingDisabled", _IS_ZERO)])
            return
        wishes = [self._wish(target, metric) for metric in scaler["spec"].get("metrics") or ()]
        if any(wish.replicas for wish in wishes):
            self._decide(scaler, resource, status, [wish for wish in wishes if wish.replicas], history)
            return
        text = wishes[0].text if wishes else "no metrics"
        self._recorder.record(scaler, "Warning", "FailedGetResourceMetric", text)
        lacking = f"the HPA was unable to compute the replica count: {text}"
        self._report(scaler, status, [("ScalingActive", "False", "FailedGetResourceMetric", lacking)])

    def _decide(
        self, scaler: Object, resource: str, status: Object, wishes: list[_Wish], history: History
    ) -> None:
        """Follow the largest wish as far as windows, policies and bounds allow."""
        wish, now_s = max(wishes, key=lambda each: each.replicas), self._clock.now_ns() / 1e9
        current: int = status["currentReplicas"]
        history.forget(now_s - _LONGEST_S)
        decision = scaling.bounded(wish.replicas, current, scaler["spec"], history, now_s)
        history.recommended.append(Past(now_s, wish.replicas))
        if decision.replicas != current:
            self._rescale(scaler, resource, decision.replicas, wish.text, grows=decision.replicas > current)
            history.scaled.append(Past(now_s, decision.replicas - current))
            status |= {"desiredReplicas": decision.replicas, "lastScaleTime": stamp(self._clock.now_ns())}
        status |= {"currentMetrics": [each.shown for each in wishes]}
        self._report(scaler, status, _conditions(decision, current, wish.text))

    def _rescale(self, scaler: Object, resource: str, replicas: int, metric: str, *, grows: bool) -> None:
        namespace, name = scaler["metadata"]["namespace"], scaler["spec"]["scaleTargetRef"]["name"]
        patch = {"spec": {"replicas": replicas}}
        self._api.patch(resource, namespace, name, patch, "merge", objects.WRITE, subresource="scale")
        why = f"{metric} above target" if grows else "All metrics below target"
        self._recorder.record(scaler, "Normal", "SuccessfulRescale", f"New size: {replicas}; reason: {why}")

    def _resource(self, scaler: Object) -> str | None:
        ref = scaler["spec"]["scaleTargetRef"]
        found = self._api.resources.of_kind(ref.get("apiVersion", ""), ref["kind"])
        return found.name if found is not None and "scale" in found.subresources else None

    def _wish(self, target: Object, metric: Object) -> _Wish:
        if metric["type"] != "Resource":
            return _Wish(0, f"the practice cluster does not imitate metrics of type {metric['type']}")
        name, aim = metric["resource"]["name"], metric["resource"]["target"]
        per_cent = aim["type"] == "Utilization"
        samples = self._samples(target, name)
        if per_cent and not all(each.requested for each in samples):
            return _Wish(0, f"failed to get {name} utilization: missing request for {name}")
        wanted = float(aim["averageUtilization"] if per_cent else parse_quantity(aim["averageValue"]).nano)
        replicas = scaling.replicas_for(samples, target["spec"]["replicas"], wanted, per_cent=per_cent)
        if replicas is None:
            return _Wish(
                0,
                f"failed to get {name} utilization: did not receive metrics for targeted pods (pods might be unready)",
            )
        known = [each.used for each in samples if each.used is not None]
        milli = sum(known) // len(known) // _MILLI * _MILLI
        current = {"averageValue": str(Quantity(milli))}
        used = {"averageUtilization": scaling.utilisation(samples)} if per_cent else {}
        text = f"{name} resource utilization (percentage of request)" if per_cent else f"{name} resource"
        return _Wish(
            replicas, text, {"type": "Resource", "resource": {"name": name, "current": current | used}}
        )

    def _samples(self, target: Object, name: str) -> list[Sample]:
        namespace, selector = target["metadata"]["namespace"], target["spec"]["selector"]
        measured = {each["metadata"]["name"]: each for each in self._usage.pods(namespace)}
        pods = [
            pod
            for pod in self._api.list("pods", namespace)
            if objects.is_active(pod) and match_label_selector(selector, pod["metadata"].get("labels"))
        ]
        now_s = self._clock.now_ns() / 1e9
        return [_sample(pod, measured.get(pod["metadata"]["name"]), name, now_s) for pod in pods]

    def _report(self, scaler: Object, status: Object, told: Sequence[tuple[str, str, str, str]]) -> None:
        old, at = scaler.get("status") or {}, stamp(self._clock.now_ns())
        changed = old.get("conditions") or []
        for kind, value, reason, message in told:
            new = {
                "type": kind,
                "status": value,
                "lastTransitionTime": at,
                "reason": reason,
                "message": message,
            }
            changed = objects.set_condition(changed, new)
        objects.write_status(self._api, SCALERS, scaler, old | status | {"conditions": changed})


def _conditions(decision: scaling.Decision, current: int, metric: str) -> list[tuple[str, str, str, str]]:
    able = ("ReadyForNewScale", "recommended size matches current size")
    if decision.replicas != current:
        text = f"the HPA controller was able to update the target scale to {decision.replicas}"
        able = ("SucceededRescale", text)
    found = f"the HPA was able to successfully calculate a replica count from {metric}"
    limited = ("True", decision.limit) if decision.limit else ("False", "DesiredWithinRange")
    return [
        ("AbleToScale", "True", *able),
        ("ScalingActive", "True", "ValidMetricFound", found),
        ("ScalingLimited", *limited, decision.message),
    ]


def _sample(pod: Object, measured: Object | None, name: str, now_s: float) -> Sample:
    """Return a pod in nano units. A young pod's CPU counts only once it is ready and measured since then."""
    requests = [(c.get("resources") or {}).get("requests") or {} for c in pod["spec"]["containers"]]
    requested = sum(parse_quantity(each[name]).nano for each in requests if name in each)
    usages = [c["usage"] for c in measured["containers"]] if measured else []
    used = sum(parse_quantity(each.get(name, "0")).nano for each in usages) if measured else None
    ready = objects.phase(pod) != "Pending"
    if name == "cpu" and ready:
        ready = _counts(pod, measured, now_s)
    return Sample(requested, used, ready)


def _counts(pod: Object, measured: Object | None, now_s: float) -> bool:
    now, started = objects.condition(pod, "Ready"), pod["status"].get("startTime")
    if now is None or not started:
        return False
    changed_s, started_s = objects.seconds(now["lastTransitionTime"]), objects.seconds(started)
    if started_s + _WARM_UP_S > now_s:
        seen_s = objects.seconds(measured["timestamp"]) if measured else now_s
        window_s = parse_duration_s(measured["window"]) if measured else 0.0
        return bool(now["status"] == "True" and seen_s >= changed_s + window_s)
    return bool(now["status"] == "True" or started_s + _FIRST_READY_S <= changed_s)
