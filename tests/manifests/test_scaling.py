"""Why an autoscaler stays where it is, and sizes from what was used."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_world import REF, World, deployment, pod, replica_set

from opslib.core.errors import NotFoundError
from opslib.core.quantity import parse_quantity
from opslib.kube import Kind, Object
from opslib.manifests.scaling import look_at_scaling, observe, sizes, to_resources, why_not_scaling


def autoscaler(used: int | None = None, **conditions: tuple[str, str]) -> dict:
    metric = {"resource": {"name": "cpu", "target": {"averageUtilization": 50}}}
    current = {"resource": {"name": "cpu", "current": {"averageUtilization": used}}}
    return {
        "spec": {"metrics": [metric]},
        "status": {
            "currentReplicas": 2,
            "desiredReplicas": 2,
            "currentMetrics": [current] if used is not None else [],
            "conditions": [{"type": k, "status": s, "reason": r} for k, (s, r) in conditions.items()],
        },
    }


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (autoscaler(100, AbleToScale=("True", "SucceededRescale")), []),
        (autoscaler(ScalingActive=("False", "FailedGetResourceMetric")), ["FailedGetResourceMetric"]),
        (autoscaler(AbleToScale=("False", "FailedGetScale")), ["FailedGetScale"]),
        (autoscaler(90, ScalingLimited=("True", "TooManyReplicas")), ["TooManyReplicas"]),
        (autoscaler(20, AbleToScale=("True", "ScaleDownStabilized")), ["ScaleDownStabilized"]),
        (autoscaler(54), ["WithinTolerance"]),
        (autoscaler(60), []),
        (autoscaler(AbleToScale=("False", "SomethingNew")), ["SomethingNew"]),
    ],
)
def test_each_condition_becomes_a_reason_with_a_way_out(obj: dict, words: list[str]) -> None:
    found = why_not_scaling(obj)

    assert [reason.word for reason in found] == words
    assert all(reason.fix for reason in found)


def metrics(name: str, cpu: str, memory: str, at: str = "1") -> dict[str, Any]:
    usage = {"cpu": cpu, "memory": memory}
    return {
        "kind": "PodMetrics",
        "metadata": {"name": name},
        "timestamp": at,
        "containers": [{"name": "payment", "usage": usage}],
    }


def test_a_size_is_a_high_quantile_of_cpu_and_the_peak_of_memory_with_a_margin() -> None:
    (size,) = sizes([metrics("a", f"{n}0m", "100Mi") for n in range(1, 10)] + [metrics("a", "900m", "200Mi")])

    assert to_resources(size) == {
        "requests": {"cpu": "104m", "memory": "230Mi"},  # 1.15 x 90m, 1.15 x 200Mi
        "limits": {"memory": "230Mi"},
    }
    assert "10 samples" in size.evidence
    assert "900m" in size.evidence


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 2**34)), min_size=1, max_size=30))
def test_what_was_used_fits_in_and_more_use_never_asks_for_less(used: list[tuple[int, int]]) -> None:
    def sized(factor: int) -> tuple[int, int]:
        (size,) = sizes([metrics("a", f"{n * factor}n", str(m * factor)) for n, m in used])
        return parse_quantity(size.requests["cpu"]).nano, parse_quantity(size.limits["memory"]).whole

    assert sized(1)[1] >= max(memory for _, memory in used)
    assert sized(2) >= sized(1)


def test_only_new_pods_are_observed_each_measurement_once() -> None:
    world = World(deployment("2"), replica_set("1", 1), replica_set("2", 2), pod("old", "1"), pod("new", "2"))
    world.put(metrics("old", "1m", "1Mi"), metrics("new", "2m", "1Mi"))
    found = observe(world, REF, world.clock, for_s=60)

    assert [item["metadata"]["name"] for item in found] == ["new"]
    assert world.clock.now_s == 1_000_060.0


def test_scaling_tells_of_the_workloads_own_autoscalers_what_is_used_and_what_it_has() -> None:
    held = autoscaler(ScalingActive=("False", "FailedGetResourceMetric"))
    world = World(deployment("2"), replica_set("2", 2), pod("new", "2"), metrics("new", "20m", "40Mi"))
    for name, target in (("mine", "payment"), ("other", "ledger")):
        spec = held["spec"] | {"scaleTargetRef": {"kind": "Deployment", "name": target}}
        world.put({**held, "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec})
    found = look_at_scaling(world, REF, world.clock, for_s=0)

    assert found.autoscalers == ("mine",)
    assert [(name, reason.word) for name, reason in found.reasons] == [("mine", "FailedGetResourceMetric")]
    assert [size.requests["cpu"] for size in found.sizes] == ["23m"]
    assert found.have == {"payment": {}}
    assert world.clock.now_s == 1_000_000.0, "one look takes no time"


def test_a_cluster_that_measures_nothing_says_so() -> None:
    class Unmeasured(World):
        def list_objects(self, kind: Kind, *args: Any, **more: Any) -> list[Object]:
            if kind.kind == "PodMetrics":
                raise NotFoundError("the server has no metrics.k8s.io")
            return super().list_objects(kind, *args, **more)

    world = Unmeasured(deployment("2"), replica_set("2", 2), pod("new", "2"))
    found = look_at_scaling(world, REF, world.clock, for_s=0)

    assert found.sizes == ()
    assert "no metrics.k8s.io" in found.unseen
    world = World(deployment("2"), replica_set("2", 2), pod("new", "2"))
    assert "not measured yet" in look_at_scaling(world, REF, world.clock, for_s=0).unseen
