"""HorizontalPodAutoscalers under load: out, better, in again, and what is told of it."""

import time

import pytest
from clusters import Namespace, until
from load import Load, p95_s
from workloads import deployment, probe, service

both = pytest.mark.parametrize(
    "cluster",
    [
        pytest.param("practice", marks=[pytest.mark.lab, pytest.mark.full]),
        pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(3600)]),
    ],
    indirect=True,
)
RATE, WORK = (
    36.0,
    ("GET", "/burn=8", None, {}),
)  # 0.33 cores: too much for two pods with 0.15 each, not for four
MOST, WINDOW_S = 4, 10.0


def scaler(name: str, most: int, least: int = 1) -> dict:
    aim = {"type": "Utilization", "averageUtilization": 60}
    return {
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": aim}}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": 20},
            },
        },
    }


def answers(address: tuple[str, int]) -> bool:
    with Load(address, 20.0, lambda: ("GET", "/", None, {}), threads=1) as load:
        load.more(3)
    return not load.lost()


def conditions(told: list) -> list[tuple[str, str, str, str]]:
    """Return what a watch told of an autoscaler's conditions, in order, each once."""
    found = [c for event in told for c in event["object"].get("status", {}).get("conditions", ())]
    return list(dict.fromkeys((c["type"], c["status"], c["reason"], c["message"]) for c in found))


def condition(ns: Namespace, name: str, kind: str) -> tuple[str, str, str]:
    told = ns.get("horizontalpodautoscalers", name).get("status", {}).get("conditions", ())
    return next(((c["status"], c["reason"], c["message"]) for c in told if c["type"] == kind), ("", "", ""))


def events(ns: Namespace, name: str) -> list[tuple[str, str, str]]:
    return [(e["type"], e["reason"], e["message"]) for e in ns.events("HorizontalPodAutoscaler", name)]


def sizes(told: list) -> list[int]:
    """Return how many replicas a Deployment was told to have, in order, from the one that it began with."""
    wanted = [1, *(event["object"]["spec"]["replicas"] for event in told)]
    return [now for now, before in zip(wanted, [0, *wanted], strict=False) if now != before]


FOUND = "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"
NOTHING = (
    "failed to get cpu utilization: unable to get metrics for resource cpu: "
    "no metrics returned from resource metrics API"
)
HELD = "recent recommendations were higher than current one, applying the highest recent recommendation"
TOLD = {
    ("AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale"),
    ("ScalingActive", "False", "FailedGetResourceMetric", f"the HPA was unable to compute the replica count: {NOTHING}"),
    ("AbleToScale", "True", "SucceededRescale", "the HPA controller was able to update the target scale to 4"),
    ("ScalingActive", "True", "ValidMetricFound", FOUND),
    ("ScalingLimited", "False", "DesiredWithinRange", "the desired count is within the acceptable range"),
    ("AbleToScale", "True", "ScaleDownStabilized", HELD),
    ("AbleToScale", "True", "SucceededRescale", "the HPA controller was able to update the target scale to 1"),
    ("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size"),
}  # fmt: skip


@both
def test_replicas_rise_under_load_until_latency_recovers_and_fall_after_it(ns: Namespace) -> None:
    cpu = {"requests": {"cpu": "150m"}, "limits": {"cpu": "150m"}}
    patient = probe("ready", timeoutSeconds=10)  # a pod that has too much to do is not broken
    ns.create("services", service("web"))
    ns.create("deployments", deployment("web", resources=cpu, startupProbe=patient, readinessProbe=patient))
    until(lambda: len(ns.ready("web")) == 1)
    front_door = ns.get("services", "web")["spec"]["clusterIP"], 80
    until(lambda: answers(front_door))
    with ns.watched("deployments") as grown, ns.watched("horizontalpodautoscalers") as told:
        ns.create("horizontalpodautoscalers", scaler("web", MOST))
        with Load(front_door, RATE, lambda: WORK, 16, keep_alive=False, patience_s=2.0) as load:
            start_s = time.monotonic()
            until(lambda: ns.get("deployments", "web")["spec"]["replicas"] > 1, 120)
            few_s = time.monotonic()
            until(lambda: len(ns.ready("web")) == MOST, 120)
            many_s = time.monotonic() + 5  # what waited is done by then
            until(lambda: time.monotonic() > many_s + WINDOW_S)
        end_s = time.monotonic()
        until(lambda: len(ns.pods("web")) == 1, 120)
        fell_s = time.monotonic()
        until(lambda: condition(ns, "web", "AbleToScale")[1] == "ReadyForNewScale")

    before, after = load.between(start_s, few_s), load.between(many_s, many_s + WINDOW_S)
    print(
        f"{sizes(grown)} replicas: more after {few_s - start_s:.0f} s, {MOST} Ready after "
        f"{many_s - 5 - start_s:.0f} s, p95 {p95_s(before):.3f} s -> {p95_s(after):.3f} s ({len(after)} of "
        f"{RATE * WINDOW_S:.0f} calls), 1 again {fell_s - end_s:.0f} s after {len(load.calls)} calls"
    )
    assert not load.lost()
    assert len(after) >= 0.95 * RATE * WINDOW_S
    assert p95_s(after) < p95_s(before) / 5
    up, down = sizes(grown)[: sizes(grown).index(MOST) + 1], sizes(grown)[sizes(grown).index(MOST) :]
    assert (up, down) == (sorted(up), sorted(down, reverse=True))
    assert down[-1] == 1
    above = "cpu resource utilization (percentage of request) above target"
    why = [(size, above) for size in up[1:]] + [(size, "All metrics below target") for size in down[1:]]
    wanted = [("Normal", "SuccessfulRescale", f"New size: {size}; reason: {reason}") for size, reason in why]
    assert [event for event in events(ns, "web") if event[0] == "Normal"] == wanted
    assert set(conditions(told)) >= TOLD
    assert condition(ns, "web", "ScalingActive") == ("True", "ValidMetricFound", FOUND)


@both
def test_an_autoscaler_that_cannot_count_says_why(ns: Namespace) -> None:
    ns.create("deployments", deployment("web"))
    ns.create("horizontalpodautoscalers", scaler("web", MOST))
    until(lambda: "missing request" in condition(ns, "web", "ScalingActive")[2])

    (pod,) = ns.pods("web")
    name = pod["metadata"]["name"]
    missing = f"failed to get cpu utilization: missing request for cpu in container c of Pod {name}"
    lacking = f"the HPA was unable to compute the replica count: {missing}"
    first = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: "
    assert condition(ns, "web", "ScalingActive") == ("False", "FailedGetResourceMetric", lacking)
    assert condition(ns, "web", "AbleToScale")[:2] == ("True", "SucceededGetScale")
    wanted = {
        ("Warning", "FailedGetResourceMetric", missing),
        ("Warning", "FailedComputeMetricsReplicas", first + missing),
    }
    until(lambda: set(events(ns, "web")) >= wanted)
    assert ns.get("deployments", "web")["spec"]["replicas"] == 1


def test_bounds_need_no_figures_and_a_target_has_to_be_there(ns: Namespace) -> None:
    ns.create("deployments", deployment("web"))
    ns.create("horizontalpodautoscalers", scaler("web", MOST, least=2))
    ns.create("horizontalpodautoscalers", scaler("none", MOST))
    until(lambda: len(ns.pods("web")) == 2)
    until(lambda: events(ns, "web") and events(ns, "none"))

    below = "New size: 2; reason: Current number of replicas below Spec.MinReplicas"
    assert events(ns, "web")[0] == ("Normal", "SuccessfulRescale", below)
    gone = 'deployments.apps "none" not found'
    assert events(ns, "none")[0] == ("Warning", "FailedGetScale", gone)
    unable = f"the HPA controller was unable to get the target's current scale: {gone}"
    until(lambda: condition(ns, "none", "AbleToScale") == ("False", "FailedGetScale", unable))
