"""Jobs: to their end as often as asked, no pod counted twice, and the recorded statuses and events."""

import pytest
from cluster_world import World, job
from hypothesis import given
from hypothesis import strategies as st

from opslib.lab.cluster.controllers.jobs import Tally, end_of, retry_wait_s, wanted_pods

J = "jobs.batch"


@pytest.fixture
def world() -> World:
    world = World()
    world.kubelet.exits |= {"good:v1": 0, "bad:v1": 3}
    return world


def reached(world: World, kind: str, name: str = "once") -> bool:
    return any(c["type"] == kind for c in world.get(J, name).get("status", {}).get("conditions", ()))


def reasons(world: World) -> list[tuple[str, str, str]]:
    return [(c["type"], c["status"], c["reason"]) for c in world.get(J, "once")["status"]["conditions"]]


def test_a_job_completes_through_the_recorded_statuses(world: World) -> None:
    world.create(J, job())
    world.time.run_until(lambda: reached(world, "Complete"))

    seen = [e.object["status"] for e in world.history if e.resource == J and e.object.get("status")]
    running = next(s for s in seen if s.get("active"))
    assert {k: v for k, v in running.items() if k not in {"startTime", "uncountedTerminatedPods"}} == {
        "active": 1,
        "ready": 0,
        "terminating": 0,
    }
    kinds = [[c["type"] for c in s.get("conditions", ())] for s in seen]
    assert [k for i, k in enumerate(kinds) if k not in kinds[:i]] == [
        [],
        ["SuccessCriteriaMet"],
        ["SuccessCriteriaMet", "Complete"],
    ]
    status = world.get(J, "once")["status"]
    assert (status["succeeded"], status.get("active"), status.get("failed")) == (1, None, None)
    assert status["completionTime"] >= status["startTime"]
    (pod,) = world.names("pods")
    assert pod.startswith("once-")
    assert world.events("Job") == [
        ("SuccessfulCreate", f"Created pod: {pod}", "once"),
        ("Completed", "Job completed", "once"),
    ]
    assert "finalizers" not in world.get("pods", pod)["metadata"]


def test_completions_run_as_many_at_once_as_allowed(world: World) -> None:
    world.create(J, job(completions=5, parallelism=2))
    world.time.run_until(lambda: reached(world, "Complete"))

    active = [
        e.object["status"].get("active", 0)
        for e in world.history
        if e.resource == J and e.object.get("status")
    ]
    assert max(active) == 2
    assert world.get(J, "once")["status"]["succeeded"] == 5
    assert len(world.names("pods")) == 5


def test_failures_are_tried_again_after_a_growing_pause_up_to_the_limit(world: World) -> None:
    world.create(J, job("bad:v1", backoffLimit=2))
    world.time.run_until(lambda: reached(world, "Failed"), within_s=120)

    made = [e.object["metadata"]["name"] for e in world.history if e.resource == "pods" and e.type == "ADDED"]
    assert len(made) == 3
    assert reasons(world) == [
        ("FailureTarget", "True", "BackoffLimitExceeded"),
        ("Failed", "True", "BackoffLimitExceeded"),
    ]
    assert world.get(J, "once")["status"]["failed"] == 3
    (last,) = [e for e in world.events("Job") if e[0] == "BackoffLimitExceeded"]
    assert last[1] == "Job has reached the specified backoff limit"
    assert 10 + 20 <= world.time.time_s < 40


def test_a_deadline_ends_a_job_and_its_pods(world: World) -> None:
    world.create(J, job("app:v1", activeDeadlineSeconds=5))
    world.time.run(4)
    assert world.get(J, "once")["status"]["ready"] == 1
    world.time.run(6)

    assert reasons(world)[-1] == ("Failed", "True", "DeadlineExceeded")
    assert world.names("pods") == []


def test_a_pod_that_is_deleted_counts_as_failed_once_and_is_replaced(world: World) -> None:
    world.create(J, job("app:v1"))
    world.time.run(3)
    world.delete("pods", world.names("pods")[0])
    world.time.run(30)

    assert world.get(J, "once")["status"]["failed"] == 1
    assert len(world.names("pods")) == 1


def test_a_finished_pod_that_is_deleted_before_it_is_counted_is_counted(world: World) -> None:
    world.create(J, job("app:v1", completions=2))
    world.time.run(3)
    (name,) = world.names("pods")
    world.controllers.stop()
    world.kubelet.exit(("default", name), world.get("pods", name)["metadata"]["uid"], 0)
    world.delete("pods", name)
    assert world.names("pods") == [name], "its finalizer keeps it"
    world.controllers = world.start()
    world.time.run(5)

    assert world.get(J, "once")["status"]["succeeded"] == 1
    assert name not in world.names("pods")


def test_an_ended_job_goes_when_its_time_is_over_and_takes_its_pods(world: World) -> None:
    world.create(J, job(ttlSecondsAfterFinished=20))
    world.time.run(15)
    assert world.names(J) == ["once"]
    world.time.run(15)
    assert world.names(J) == world.names("pods") == []


def test_a_deleted_job_leaves_no_pod_behind_its_finalizer(world: World) -> None:
    world.create(J, job("app:v1"))
    world.time.run(3)
    world.delete(J, "once", propagation="Background")
    world.time.run(5)
    assert world.names("pods") == []


def test_a_suspended_job_has_no_pods_until_it_goes_on(world: World) -> None:
    world.create(J, job(suspend=True))
    world.time.run(5)
    assert world.names("pods") == []
    world.patch(J, "once", {"spec": {"suspend": False}})
    world.time.run_until(lambda: reached(world, "Complete"))


@pytest.mark.parametrize(
    ("spec", "tally", "overdue", "reason"),
    [
        ({"completions": 2}, Tally(1, 0, 1), False, ""),
        ({"completions": 2}, Tally(2, 9, 0), True, "CompletionsReached"),
        ({"completions": 0}, Tally(0, 0, 0), False, "CompletionsReached"),
        ({"completions": None}, Tally(1, 0, 1), False, ""),
        ({"completions": None}, Tally(1, 0, 0), False, "CompletionsReached"),
        ({"completions": 1, "backoffLimit": 0}, Tally(0, 1, 0), False, "BackoffLimitExceeded"),
        ({"completions": 1, "backoffLimit": 0}, Tally(0, 0, 1), False, ""),
        ({"completions": 1, "backoffLimit": 2}, Tally(0, 2, 1), False, ""),
        ({"completions": 1, "backoffLimit": 2}, Tally(0, 0, 1, restarts=2), False, "BackoffLimitExceeded"),
        ({"completions": 1}, Tally(0, 0, 1), True, "DeadlineExceeded"),
    ],
)
def test_why_a_job_ends(spec: dict, tally: Tally, overdue: bool, reason: str) -> None:
    assert end_of(spec, tally, overdue=overdue) == reason


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9))
def test_never_more_pods_than_are_missing(completions: int, parallelism: int, succeeded: int) -> None:
    wanted = wanted_pods({"completions": completions, "parallelism": parallelism}, Tally(succeeded, 0, 0))
    assert 0 <= wanted <= min(parallelism, max(0, completions - succeeded))


@pytest.mark.parametrize(("failed", "pause_s"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 360), (500, 360)])
def test_the_pause_doubles_up_to_six_minutes(failed: int, pause_s: float) -> None:
    ended = {"state": {"terminated": {"finishedAt": "1970-01-01T00:16:40Z"}}}
    pod = {"metadata": {}, "status": {"phase": "Failed", "containerStatuses": [ended]}}
    pod["metadata"]["creationTimestamp"] = "1970-01-01T00:00:00Z"
    assert retry_wait_s(failed, [pod], 1000.0) == pause_s
    assert retry_wait_s(failed, [pod], 1000.0 + pause_s) == 0
