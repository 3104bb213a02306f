"""Waiting for a rollout: it ends when the pods are there, and soon when they never will be, with the cause."""

from typing import Any

import pytest
from rollout_world import READY, REF, World, deployment, event, pod, replica_set, waiting

from opslib.core.errors import ManifestError, NotFoundError
from opslib.kube import Ref
from opslib.manifests.trouble import Patience
from opslib.manifests.waiting import Rollout, Wait, rollout_status

OLD, NEW = replica_set("1", 1), replica_set("2", 2)


def rolling(*pods: dict, **status: Any) -> World:
    """A Deployment on its way from version 1 to 2."""
    return World(deployment(**{"replicas": 3, "updatedReplicas": 1, **status}), OLD, NEW, *pods)


def wait(world: World, **options: Any) -> Rollout:
    return rollout_status(world, REF, world.clock, wait=Wait(**options))


def test_it_ends_when_the_updated_pods_are_available() -> None:
    world = rolling(pod("old", "1"), pod("new", "2", ready=False))
    world.scenes = [
        lambda: world.put(deployment(**(READY | {"replicas": 3})), pod("new", "2"), pod("next", "2")),
        lambda: (world.drop("Pod", "old"), world.put(deployment(**READY))),
    ]
    seen: list[str] = []
    result = rollout_status(world, REF, world.clock, progress=lambda p: seen.append(str(p)))

    assert (result.ok, result.ending, result.seconds) == (True, "complete", 2.0)
    assert (result.last.revision, result.last.ready, result.last.wanted) == (2, 2, 2)
    assert "1 old replicas are there still" in seen[1]


def test_a_status_of_the_generation_before_is_no_success() -> None:
    world = rolling(pod("a", "2"), pod("b", "2"), **READY)
    world.objects["Deployment", "payment"]["metadata"]["generation"] = 2
    world.scenes = [lambda: world.put(deployment(generation=2, **READY))]

    assert wait(world).seconds == 1.0


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        (waiting("CrashLoopBackOff", restartCount=1), "CrashLoopBackOff"),
        ({"restartCount": 2, "state": {"running": {}}}, "restarted"),
        (
            {"restartCount": 2, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}},
            "OOMKilled",
        ),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), "CreateContainerConfigError"),
        (waiting("ErrImagePull", "registry/payment:2: not found"), "ErrImagePull"),
        (waiting("ImagePullBackOff", "pull access denied"), "ImagePullBackOff"),
        (waiting("ErrImagePull", "401 Unauthorized"), "ErrImagePull"),
    ],
)
def test_what_cannot_heal_ends_the_wait_at_once(container: dict, reason: str) -> None:
    world = rolling(pod("old", "1"), pod("new", "2", ready=False))
    world.scenes = [lambda: world.put(pod("new", "2", ready=False, container=container))]
    result = wait(world)

    assert (result.ending, result.reason, result.seconds) == ("failed", reason, 1.0)
    assert [cause.trouble.pod for cause in result.causes] == ["new"]


@pytest.mark.parametrize(
    "container", [{"restartCount": 1}, waiting("ErrImagePull", "i/o timeout"), waiting("ContainerCreating")]
)
def test_what_may_heal_is_waited_for(container: dict) -> None:
    world = rolling(pod("new", "2", ready=False, container=container))
    world.scenes = [lambda: world.put(deployment(**READY), pod("new", "2"), pod("next", "2"))]

    assert wait(world).ok


def test_a_registry_that_does_not_answer_is_tried_three_times() -> None:
    new = pod("new", "2", ready=False, container=waiting("ImagePullBackOff", "Back-off pulling image"))
    world = rolling(new)
    world.scenes = [
        lambda n=n: world.put(event(new, "Failed", "Failed to pull image: i/o timeout", count=n))
        for n in (1, 2, 3)
    ]
    result = wait(world)

    assert (result.ending, result.seconds) == ("failed", 3.0)
    assert "i/o timeout" in str(result)


def test_an_older_kubelet_says_the_registrys_words_in_its_events_alone() -> None:
    new = pod("new", "2", ready=False, container=waiting("ImagePullBackOff", 'Back-off pulling image "p:2"'))
    world = rolling(new, event(new, "Failed", 'Failed to pull image "p:2": manifest unknown'))

    assert "manifest unknown" in str(wait(world).causes[0])


def test_old_pods_and_restarts_from_before_are_nobodys_fault() -> None:
    crashing = waiting("CrashLoopBackOff", restartCount=40)
    restarted = pod("new", "2", ready=False, container={"restartCount": 5})
    world = rolling(pod("old", "1", ready=False, container=crashing), restarted)
    world.scenes = [lambda: world.put(deployment(**READY), pod("new", "2"), pod("next", "2"))]

    assert wait(world).ok


def test_the_cause_is_told_with_events_last_lines_and_exit_code() -> None:
    ended = {"lastState": {"terminated": {"reason": "Error", "exitCode": 3}}}
    new = pod("new", "2", ready=False, container={**waiting("CrashLoopBackOff"), **ended, "restartCount": 2})
    world = rolling(new, event(new, "BackOff", "Back-off restarting failed container", count=4))
    world.log["new"] = "starting\nno LEDGER_URL\x1b[31m\n"
    text = str(wait(world))

    for words in ("exit code 3", "BackOff (4x)", "log: no LEDGER_URL", "2 restarts"):
        assert words in text
    assert "\x1b" not in text


def test_one_trouble_of_many_pods_is_told_once() -> None:
    container = waiting("CrashLoopBackOff", restartCount=3)
    world = rolling(*(pod(f"new-{n}", "2", ready=False, container=container) for n in range(4)))

    assert len(wait(world).causes) == 1


def test_a_quota_or_an_admission_that_refuses_ends_it_at_once() -> None:
    world = rolling()
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    world.put(replica_set("2", 2, conditions=[failure]))
    result = wait(world)

    assert (result.ending, result.seconds) == ("failed", 0.0)
    assert "exceeded quota" in str(result)


@pytest.mark.parametrize(("scale_up", "ending"), [(False, "failed"), (True, "timed out")])
def test_a_pod_that_fits_nowhere_is_given_up_after_a_while_without_a_new_node(
    scale_up: bool, ending: str
) -> None:
    world = rolling()
    since = "1970-01-12T13:46:40Z"  # the clock's beginning
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "lastTransitionTime": since,
    }
    new = pod("new", "2", ready=False, conditions=[{**unschedulable, "message": "Insufficient cpu"}])
    world.put(new, *([event(new, "TriggeredScaleUp", "a node comes")] if scale_up else []))
    result = rollout_status(
        world, REF, world.clock, wait=Wait(deadline_s=300, patience=Patience(unschedulable_s=90))
    )

    assert (result.ending, result.seconds) == (ending, 90.0 if ending == "failed" else 300.0)


def test_the_deadline_is_absolute_and_says_what_was_missing() -> None:
    result = wait(rolling(pod("new", "2", ready=False)), deadline_s=20)

    assert (result.ending, result.seconds) == ("timed out", 20.0)
    assert result.reason == "1 of 2 replicas are updated"


def test_a_progress_deadline_of_the_cluster_is_a_failure() -> None:
    late = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "took too long",
    }
    result = wait(rolling(conditions=[late]))

    assert (result.ending, result.reason) == ("failed", "took too long")


def test_paused_and_deleted_are_endings_of_their_own() -> None:
    assert wait(World(deployment(spec={"paused": True}, updatedReplicas=0), OLD)).ending == "suspended"
    world = rolling()
    world.scenes = [lambda: world.drop("Deployment", "payment")]
    assert wait(world).ending == "deleted"


def test_what_is_not_there_or_does_not_roll_out_is_said() -> None:
    with pytest.raises(NotFoundError, match="payment"):
        wait(World())
    world = World()
    with pytest.raises(ManifestError, match="no workload"):
        rollout_status(world, Ref("v1", "Service", "shop", "payment"), world.clock)
