"""Jobs: to their end as often as asked, no pod counted twice, and the recorded statuses and events."""

import pytest
from cluster_world import World, job
from hypothesis import given
from hypothesis import strategies as st

from opslib.lab.cluster.controllers.jobs import Tally, end_of, pause_s, wanted_pods

J = "jobs.batch"


@pytest.fixture
def world() -> World:
    world = World()
    world.kubelet.exits |= {"good:v1": 0, "bad:v1": 3}
    return world


def reached(world: World, kind: str, name: str = "once") -> bool:
    return any(c["type"] == kind for c in world.get(J, name).get("status", {}).get("conditions", ()))


def told(world: World) -> list[tuple[str, ...]]:
    """Distinct statuses of the Job in their order: counters that are not zero, uncounted pods, conditions."""
    found: list[tuple[str, ...]] = []
    for event in world.history:
        status = event.object.get("status") or {}
        if event.resource != J or not status:
            continue
        counters = ("active", "ready", "terminating", "succeeded", "failed")
        numbers = [f"{name} {status[name]}" for name in counters if status.get(name)]
        waiting = [
            f"uncounted {kind} {len(uids)}" for kind, uids in status["uncountedTerminatedPods"].items()
        ]
        conditions = [f"{c['type']}={c['status']} {c['reason']}" for c in status.get("conditions", ())]
        now = (*numbers, *waiting, *conditions)
        if now not in found[-1:]:
            found.append(now)
    return found


MET, COMPLETE = "SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"
LIMIT, FAILED = "FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"
LATE, OVER = "FailureTarget=True DeadlineExceeded", "Failed=True DeadlineExceeded"


def test_a_job_completes_through_the_recorded_statuses(world: World) -> None:
    world.create(J, job())
    world.time.run_until(lambda: reached(world, "Complete"))

    assert told(world) == [
        ("active 1",),
        ("uncounted succeeded 1", MET),
        ("succeeded 1", MET, COMPLETE),
    ]
    status = world.get(J, "once")["status"]
    assert {k: v for k, v in status.items() if "Time" not in k and k != "conditions"} == {
        "ready": 0,
        "terminating": 0,
        "succeeded": 1,
        "uncountedTerminatedPods": {},
    }
    assert status["completionTime"] >= status["startTime"]
    assert [c["message"] for c in status["conditions"]] == ["Reached expected number of succeeded pods"] * 2
    (pod,) = world.api.list("pods")
    assert pod["metadata"]["name"].startswith("once-")
    assert pod["metadata"]["generateName"] == "once-"
    assert "finalizers" not in pod["metadata"]
    assert world.events("Job") == [
        ("SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", "once"),
        ("Completed", "Job completed", "once"),
    ]


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


def test_without_completions_one_success_and_no_pod_left_is_the_end(world: World) -> None:
    world.create(J, job(completions=None, parallelism=2))
    world.time.run_until(lambda: reached(world, "Complete"))
    assert world.get(J, "once")["status"]["succeeded"] == 2


def test_failures_are_tried_again_after_a_growing_pause_up_to_the_limit(world: World) -> None:
    world.create(J, job("bad:v1", backoffLimit=1))
    world.time.run_until(lambda: reached(world, "Failed"), within_s=120)

    assert told(world) == [
        ("active 1",),
        ("uncounted failed 1",),
        ("failed 1",),
        ("active 1", "failed 1"),
        ("failed 1", "uncounted failed 1", LIMIT),
        ("failed 2", LIMIT, FAILED),
    ]
    assert 10 < world.time.time_s < 15
    assert world.events("Job")[-1][:2] == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )

    world.create(J, job("bad:v1", name="again", backoffLimit=3))
    before_s = world.time.time_s
    world.time.run_until(lambda: reached(world, "Failed", "again"), within_s=200)
    assert 10 + 20 + 40 < world.time.time_s - before_s < 80


def test_a_deadline_ends_a_job_when_its_last_pod_has_ended(world: World) -> None:
    world.create(J, job("app:v1", activeDeadlineSeconds=5))
    world.time.run(10)

    assert told(world) == [
        ("active 1",),
        ("active 1", "ready 1"),
        ("terminating 1", "uncounted failed 1", LATE),
        ("terminating 1", "failed 1", LATE),
        ("failed 1", LATE),
        ("failed 1", LATE, OVER),
    ]
    (pod,) = {o["metadata"]["name"] for e in world.history if (o := e.object)["kind"] == "Pod"}
    assert world.names("pods") == []
    assert [event[:2] for event in world.events("Job")] == [
        ("SuccessfulCreate", f"Created pod: {pod}"),
        ("SuccessfulDelete", f"Deleted pod: {pod}"),
        ("DeadlineExceeded", "Job was active longer than specified deadline"),
    ]


def test_a_pod_that_is_deleted_has_failed_once_and_is_replaced_after_the_pause(world: World) -> None:
    world.create(J, job("app:v1"))
    world.time.run(3)
    world.history.clear()
    world.delete("pods", world.names("pods")[0])
    world.time.run(9)
    assert world.names("pods") == []
    world.time.run(5)

    assert told(world) == [
        ("terminating 1", "uncounted failed 1"),
        ("terminating 1", "failed 1"),
        ("failed 1",),
        ("active 1", "failed 1"),
        ("active 1", "ready 1", "failed 1"),
    ]


def test_less_parallelism_ends_pods_without_failure(world: World) -> None:
    world.create(J, job("app:v1", completions=4, parallelism=3))
    world.time.run(3)
    world.history.clear()
    world.patch(J, "once", {"spec": {"parallelism": 1}})
    world.time.run(5)
    assert told(world)[-2:] == [("active 1", "ready 1", "terminating 2"), ("active 1", "ready 1")]


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


@pytest.mark.parametrize(
    ("failed", "seconds"), [(0, 0), (1, 10), (2, 20), (3, 40), (6, 320), (7, 360), (500, 360)]
)
def test_the_pause_doubles_up_to_six_minutes(failed: int, seconds: float) -> None:
    assert pause_s(failed) == seconds


def test_a_success_ends_the_row_of_failures(world: World) -> None:
    world.create(J, job("bad:v1", completions=2))
    world.time.run(11)
    world.kubelet.exits["bad:v1"] = 0
    world.time.run_until(lambda: world.get(J, "once")["status"].get("succeeded") == 1, within_s=30)
    failed = world.get(J, "once")["status"]["failed"]
    world.kubelet.exits["bad:v1"] = 3
    world.time.run_until(lambda: world.get(J, "once")["status"]["failed"] == failed + 1)
    world.kubelet.exits["bad:v1"] = 0
    world.time.run(12)
    assert reached(world, "Complete"), "ten seconds again, not forty"
