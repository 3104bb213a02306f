"""Horizontal autoscaling: the formula, its care with what is unknown, the windows and policies, and the whole loop."""

import pytest
from cluster_world import FAST, World, deployment, scaler
from hypothesis import given
from hypothesis import strategies as st

from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.autoscaler import _sample
from opslib.lab.cluster.controllers.scaling import (
    Decision,
    History,
    Past,
    Sample,
    bounded,
    replicas_for,
    utilisation,
)
from opslib.lab.cluster.metadata import stamp

HPA, D = "horizontalpodautoscalers.autoscaling", "deployments.apps"


def pods(*used: int | None, requested: int = 100, unready: int = 0) -> list[Sample]:
    return [*(Sample(requested, each) for each in used), *[Sample(requested, 50, ready=False)] * unready]


@pytest.mark.parametrize(
    ("samples", "current", "target", "expected"),
    [
        (pods(100, 100), 2, 50, 4),
        (pods(54, 54), 2, 50, 2),  # a tenth more is tolerated
        (pods(56, 56), 2, 50, 3),
        (pods(10, 10, 10, 10), 4, 50, 1),
        (pods(45, 45), 2, 50, 2),
        (pods(None, None), 2, 50, None),
        (pods(), 2, 50, None),
        (pods(100, None), 2, 50, 2),  # the unknown one is taken to use nothing: 50 % as wanted
        (pods(300, None), 2, 50, 6),
        (pods(10, None), 2, 50, 2),  # and its whole request where that would shrink: no change of direction
        (pods(100, unready=1), 2, 50, 2),  # one that starts will take its share
        (pods(10, 10, unready=1), 3, 50, 1),
    ],
)
def test_replicas_follow_utilisation(
    samples: list[Sample], current: int, target: float, expected: int | None
) -> None:
    assert replicas_for(samples, current, target, per_cent=True) == expected


def test_an_average_value_is_per_pod() -> None:
    assert replicas_for(pods(300, 300), 2, 200, per_cent=False) == 3
    assert utilisation(pods(30, 50)) == 40
    assert utilisation(pods(None)) is None


def test_a_window_takes_the_most_cautious_of_its_wishes() -> None:
    spec = {"maxReplicas": 10, "behavior": FAST}
    recommended = [Past(70, 9), Past(80, 6), Past(95, 4)]
    assert bounded(2, 5, spec, History(recommended, []), 100).replicas == 5, "29 s ago it still wanted nine"
    assert bounded(2, 5, spec, History(recommended, []), 101).replicas == 5
    assert bounded(2, 5, spec, History(recommended, []), 111).replicas == 4
    up = {"maxReplicas": 10, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 30}}}
    assert bounded(8, 2, up, History([Past(90, 3)], []), 100).replicas == 3


def test_policies_bound_the_pace_over_their_period() -> None:
    spec = {"maxReplicas": 20, "behavior": FAST}
    assert bounded(9, 3, spec, History([], []), 100) == Decision(
        5, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
    )
    assert bounded(9, 5, spec, History([], [Past(100, 2)]), 110).replicas == 5
    assert bounded(9, 5, spec, History([], [Past(100, 2)]), 116).replicas == 7
    assert bounded(1, 5, spec, History([], []), 200).limit == "ScaleDownLimit"
    assert bounded(1, 5, spec, History([], []), 200).replicas == 4


def test_without_behaviour_it_may_double_or_add_four_and_wait_five_minutes_to_shrink() -> None:
    assert bounded(100, 1, {"maxReplicas": 200}, History([], []), 0).replicas == 5
    assert bounded(100, 10, {"maxReplicas": 200}, History([], []), 0).replicas == 20
    assert bounded(1, 10, {"maxReplicas": 200}, History([Past(0, 10)], []), 299).replicas == 10
    assert bounded(1, 10, {"maxReplicas": 200}, History([Past(0, 10)], []), 301).replicas == 1


def test_disabled_never_moves_that_way() -> None:
    spec = {"maxReplicas": 9, "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}
    assert bounded(1, 5, spec, History([], []), 0).replicas == 5


@given(
    st.integers(0, 50),
    st.integers(1, 20),
    st.integers(1, 5),
    st.integers(0, 15),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5),
)
def test_the_decision_is_always_between_the_bounds(
    wanted: int, current: int, least: int, more: int, past: list[tuple[int, int]]
) -> None:
    spec = {"minReplicas": least, "maxReplicas": least + more, "behavior": FAST}
    recommended = [Past(at_s, replicas) for at_s, replicas in sorted(past)]
    replicas = bounded(wanted, current, spec, History(recommended, []), 60).replicas
    assert least <= replicas <= least + more or abs(replicas - current) <= 2
    assert least <= replicas or replicas > current
    assert replicas <= least + more or replicas < current


@pytest.fixture
def world() -> World:
    world = World()
    container = {"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "150m"}}}
    world.create(D, deployment(replicas=1, container=container))
    return world


def replicas(world: World) -> int:
    return world.get(D, "web")["spec"]["replicas"]


def conditions(world: World) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in world.get(HPA, "web")["status"]["conditions"]}


def test_replicas_rise_with_the_load_and_fall_after_it(world: World) -> None:
    world.kubelet.cores["app:v1"] = 0.145
    world.create(HPA, scaler())
    world.time.run_until(lambda: replicas(world) == 3, within_s=60)
    world.time.run(15)
    assert conditions(world) == {
        "AbleToScale": ("True", "ReadyForNewScale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("True", "TooManyReplicas"),
    }
    status = world.get(HPA, "web")["status"]
    assert (status["currentReplicas"], status["desiredReplicas"]) == (3, 3)
    assert status["currentMetrics"][0]["resource"]["current"] == {
        "averageUtilization": 145,
        "averageValue": "145m",
    }

    world.kubelet.cores["app:v1"] = 0.005
    world.time.run(20)
    assert replicas(world) == 3, "the window still remembers the load"
    assert conditions(world)["AbleToScale"] == ("True", "ScaleDownStabilized")
    world.time.run_until(lambda: replicas(world) == 1, within_s=90)
    texts = [
        text for reason, text, _ in world.events("HorizontalPodAutoscaler") if reason == "SuccessfulRescale"
    ]
    assert texts == [
        "New size: 3; reason: cpu resource utilization (percentage of request) above target",
        "New size: 2; reason: All metrics below target",
        "New size: 1; reason: All metrics below target",
    ]


def test_without_figures_nothing_is_scaled_and_it_says_so(world: World) -> None:
    world.create(HPA, scaler())
    world.time.run(40)
    assert replicas(world) == 1
    assert conditions(world)["ScalingActive"] == ("False", "FailedGetResourceMetric")
    told = {reason for reason, _, _ in world.events("HorizontalPodAutoscaler")}
    assert told == {"FailedGetResourceMetric", "FailedComputeMetricsReplicas"}


def test_one_that_uses_nothing_is_measured_all_the_same(world: World) -> None:
    world.kubelet.cores["app:v1"] = 0.0
    world.create(HPA, scaler())
    world.time.run(40)
    assert conditions(world)["ScalingActive"] == ("True", "ValidMetricFound")
    assert conditions(world)["ScalingLimited"] == ("True", "TooFewReplicas")


def test_what_cannot_be_measured_forbids_to_shrink_and_not_to_grow(world: World) -> None:
    calls = {"metric": {"name": "calls"}, "target": {"type": "AverageValue", "averageValue": "5"}}
    cpu = scaler()["spec"]["metrics"]
    both = scaler(metrics=[*cpu, {"type": "External", "external": calls}])
    world.patch(D, "web", {"spec": {"replicas": 2}}, subresource="scale")
    world.kubelet.cores["app:v1"] = 0.005
    world.time.run(20)
    world.create(HPA, both)
    world.time.run(60)
    assert replicas(world) == 2
    assert conditions(world)["ScalingActive"] == ("False", "FailedGetResourceMetric")
    world.kubelet.cores["app:v1"] = 0.145
    world.time.run_until(lambda: replicas(world) == 3, within_s=60)


def test_a_target_at_zero_is_left_alone_and_a_missing_one_is_told(world: World) -> None:
    world.patch(D, "web", {"spec": {"replicas": 0}}, subresource="scale")
    world.create(HPA, scaler())
    world.time.run(20)
    assert replicas(world) == 0
    assert conditions(world)["ScalingActive"] == ("False", "ScalingDisabled")
    world.delete(D, "web")
    world.time.run(20)
    assert conditions(world)["AbleToScale"] == ("False", "FailedGetScale")


def test_a_young_pods_cpu_counts_only_when_it_was_measured_ready(world: World) -> None:
    world.kubelet.never_ready.add("app:v1")
    world.patch(D, "web", {"spec": {"template": {"metadata": {"labels": {"again": "1"}}}}})
    world.kubelet.cores["app:v1"] = 0.15
    world.create(HPA, scaler())
    world.time.run(60)
    assert replicas(world) == 1


def test_a_deleted_one_leaves_no_memory(world: World) -> None:
    world.kubelet.cores["app:v1"] = 0.145
    world.create(HPA, scaler())
    world.time.run(40)
    controller = world.controllers.queues["autoscaler"]._controller
    assert controller.histories
    world.delete(HPA, "web")
    world.time.run(20)
    assert not controller.histories
    assert len(world.controllers.queues["autoscaler"]) == 0


def test_a_pod_counts_only_when_all_of_what_was_measured_is_from_its_time_as_ready(world: World) -> None:
    world.time.run(5)
    (pod,) = world.api.list("pods")
    ready_s = objects.ready_since(pod)
    measured = {"window": "10s", "containers": [{"name": "c", "usage": {"cpu": "100m"}}]}
    for after_s, ready in ((5, False), (9, False), (10, True)):
        at = stamp(int((ready_s + after_s) * 1e9))
        sample = _sample(pod, measured | {"timestamp": at}, "cpu", ready_s + after_s)
        assert sample == Sample(100_000_000, 100_000_000, ready)
    assert _sample(pod, None, "memory", ready_s) == Sample(0, None, ready=True)
