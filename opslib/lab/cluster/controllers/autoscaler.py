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
_GOT_SCALE = (
    "AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale",
)  # fmt: skip
_IS_ZERO = "scaling is disabled since the replica count of the target is zero"
_HELD_UP = "recent recommendations were lower than current one, applying the lowest recent recommendation"
_HELD_DOWN = "recent recommendations were higher than current one, applying the highest recent recommendation"
_MILLI = 1_000_000  # in nano units: the grain of the averages that are shown
_WARM_UP_S, _FIRST_READY_S = 300.0, 30.0  # a young pod's CPU is start-up work


@dataclass(frozen=True, slots=True)
class _Wish:
    """How many replicas one metric asks for, and its name and figures; None where it cannot tell, and why."""

    replicas: int | None
    text: str
    shown: Object = field(default_factory=dict)
    name: str = ""


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
        spec, namespace = scaler["spec"], scaler["metadata"]["namespace"]
        resource, ref = self._resource(scaler), spec["scaleTargetRef"]
        target = objects.find(self._api, resource, namespace, ref["name"]) if resource else None
        if resource is None or target is None:
            why = (
                f'{resource} "{ref["name"]}" not found'
                if resource
                else f'no matches for kind "{ref["kind"]}"'
            )
            self._recorder.record(scaler, "Warning", "FailedGetScale", why)
            self._report(scaler, {}, [("AbleToScale", "False", "FailedGetScale", f"{_NO_SCALE}: {why}")])
            return
        current, least, most = target["spec"]["replicas"], spec.get("minReplicas", 1), spec["maxReplicas"]
        status = {"currentReplicas": current, "desiredReplicas": current}
        if not current:
            self._report(
                scaler, status, [_GOT_SCALE, ("ScalingActive", "False", "ScalingDisabled", _IS_ZERO)]
            )
        elif least <= current <= most:
            self._follow(scaler, target, status, history)
        else:
            bound = "above Spec.MaxReplicas" if current > most else "below Spec.MinReplicas"
            replicas = min(max(current, least), most)
            self._rescale(scaler, status, replicas, f"Current number of replicas {bound}", history)
            self._report(scaler, status, [_rescaled(replicas)])

    def _follow(self, scaler: Object, target: Object, status: Object, history: History) -> None:
        """Follow the largest wish; what cannot be measured may be a reason not to shrink."""
        wishes = [self._wish(target, metric) for metric in scaler["spec"]["metrics"]]
        known = [each for each in wishes if each.replicas is not None]
        failed = [each for each in wishes if each.replicas is None]
        for each in failed:
            self._recorder.record(scaler, "Warning", "FailedGetResourceMetric", each.text)
        wanted = max((each.replicas or 0 for each in known), default=0)
        if failed and (not known or wanted < status["currentReplicas"]):
            first = f"first error is: failed to get {failed[0].name} resource metric value: {failed[0].text}"
            told = f"invalid metrics ({len(failed)} invalid out of {len(wishes)}), {first}"
            self._recorder.record(scaler, "Warning", "FailedComputeMetricsReplicas", told)
            status["desiredReplicas"] = (scaler.get("status") or {}).get("desiredReplicas", 0)
            lacking = f"the HPA was unable to compute the replica count: {failed[0].text}"
            condition = ("ScalingActive", "False", "FailedGetResourceMetric", lacking)
            self._report(scaler, status, [_GOT_SCALE, condition])
        else:
            self._decide(scaler, status, known, history)

    def _decide(self, scaler: Object, status: Object, wishes: list[_Wish], history: History) -> None:
        """Go as far as windows, policies and bounds allow."""
        wish, now_s = max(wishes, key=lambda each: each.replicas or 0), self._clock.now_ns() / 1e9
        current, wanted = status["currentReplicas"], wish.replicas or 0
        history.forget(now_s - _LONGEST_S)
        decision = scaling.bounded(wanted, current, scaler["spec"], history, now_s)
        history.recommended.append(Past(now_s, wanted))
        if decision.replicas != current:
            grows = decision.replicas > current
            why = f"{wish.text} above target" if grows else "All metrics below target"
            self._rescale(scaler, status, decision.replicas, why, history)
        status |= {"currentMetrics": [each.shown for each in wishes]}
        self._report(scaler, status, _conditions(decision, wanted, current, wish.text))

    def _rescale(self, scaler: Object, status: Object, replicas: int, why: str, history: History) -> None:
        namespace, name = scaler["metadata"]["namespace"], scaler["spec"]["scaleTargetRef"]["name"]
        patch, resource = {"spec": {"replicas": replicas}}, self._resource(scaler) or ""
        self._api.patch(resource, namespace, name, patch, "merge", objects.WRITE, subresource="scale")
        self._recorder.record(scaler, "Normal", "SuccessfulRescale", f"New size: {replicas}; reason: {why}")
        history.scaled.append(Past(self._clock.now_ns() / 1e9, replicas - status["currentReplicas"]))
        status |= {"desiredReplicas": replicas, "lastScaleTime": stamp(self._clock.now_ns())}

    def _resource(self, scaler: Object) -> str | None:
        ref = scaler["spec"]["scaleTargetRef"]
        found = self._api.resources.of_kind(ref.get("apiVersion", ""), ref["kind"])
        return found.name if found is not None and "scale" in found.subresources else None

    def _wish(self, target: Object, metric: Object) -> _Wish:
        if metric["type"] != "Resource":
            return _Wish(None, f"the practice cluster does not imitate metrics of type {metric['type']}")
        name, aim = metric["resource"]["name"], metric["resource"]["target"]
        per_cent = aim["type"] == "Utilization"
        pods = self._pods(target)
        samples = self._samples(pods, target["metadata"]["namespace"], name)
        wanted = float(aim["averageUtilization"] if per_cent else parse_quantity(aim["averageValue"]).nano)
        replicas = scaling.replicas_for(samples, target["spec"]["replicas"], wanted, per_cent=per_cent)
        why = _unknown(samples, name) or (_without_request(pods, name) if per_cent else "")
        if why or replicas is None:
            return _Wish(
                None, f"failed to get {name} {'utilization' if per_cent else 'usage'}: {why}", name=name
            )
        known = [each.used for each in samples if each.used is not None]
        milli = sum(known) // len(known) // _MILLI * _MILLI
        current = {"averageValue": str(Quantity(milli))}
        used = {"averageUtilization": scaling.utilisation(samples)} if per_cent else {}
        text = f"{name} resource utilization (percentage of request)" if per_cent else f"{name} resource"
        shown = {"type": "Resource", "resource": {"name": name, "current": current | used}}
        return _Wish(replicas, text, shown, name)

    def _pods(self, target: Object) -> list[Object]:
        selector = target["spec"]["selector"]
        return [
            pod
            for pod in self._api.list("pods", target["metadata"]["namespace"])
            if objects.is_active(pod) and match_label_selector(selector, pod["metadata"].get("labels"))
        ]

    def _samples(self, pods: list[Object], namespace: str, name: str) -> list[Sample]:
        measured = {each["metadata"]["name"]: each for each in self._usage.pods(namespace)}
        now_s = self._clock.now_ns() / 1e9
        return [_sample(pod, measured.get(pod["metadata"]["name"]), name, now_s) for pod in pods]

    def _report(self, scaler: Object, status: Object, told: Sequence[tuple[str, str, str, str]]) -> None:
        """Write a status; a condition stands where it stood, and its time changes with its status alone."""
        old, at = scaler.get("status") or {}, stamp(self._clock.now_ns())
        conditions = {each["type"]: each for each in old.get("conditions") or ()}
        for kind, value, reason, message in told:
            before = conditions.get(kind, {})
            conditions[kind] = {
                "type": kind,
                "status": value,
                "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == value else at,
                "reason": reason,
                "message": message,
            }
        new = old | status | {"conditions": list(conditions.values())}
        objects.write_status(self._api, SCALERS, scaler, new)


def _rescaled(replicas: int) -> tuple[str, str, str, str]:
    text = f"the HPA controller was able to update the target scale to {replicas}"
    return ("AbleToScale", "True", "SucceededRescale", text)


def _conditions(
    decision: scaling.Decision, wanted: int, current: int, metric: str
) -> list[tuple[str, str, str, str]]:
    able = ("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size")
    if decision.replicas != current:
        able = _rescaled(decision.replicas)
    elif decision.held:
        held = ("ScaleUpStabilized", _HELD_UP) if wanted >= current else ("ScaleDownStabilized", _HELD_DOWN)
        able = ("AbleToScale", "True", *held)
    found = f"the HPA was able to successfully calculate a replica count from {metric}"
    limited = ("True", decision.limit) if decision.limit else ("False", "DesiredWithinRange")
    return [
        able,
        ("ScalingActive", "True", "ValidMetricFound", found),
        ("ScalingLimited", *limited, decision.message),
    ]


def _unknown(samples: Sequence[Sample], name: str) -> str:
    if all(each.used is None for each in samples):
        return f"unable to get metrics for resource {name}: no metrics returned from resource metrics API"
    if not any(each.ready and each.used is not None for each in samples):
        return "did not receive metrics for targeted pods (pods might be unready)"
    return ""


def _without_request(pods: Sequence[Object], name: str) -> str:
    for pod in pods:
        for container in pod["spec"]["containers"]:
            if name not in ((container.get("resources") or {}).get("requests") or {}):
                return f"missing request for {name} in container {container['name']} of Pod {pod['metadata']['name']}"
    return ""


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
