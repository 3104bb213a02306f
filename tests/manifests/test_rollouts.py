"""History, undo and the other edits: what `kubectl rollout` does, refused where another was quicker."""

import pytest
from rollout_world import REF, World, deployment, pod, replica_set, template

from opslib.core.errors import ConflictError, NotFoundError, RefusedError
from opslib.kube import Ref
from opslib.manifests.rollouts import carry_out, carry_out_now, history, pause, restart, resume, scale, undo

VERSION = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}


@pytest.fixture
def world() -> World:
    return World(
        deployment("3"), replica_set("1", 1), replica_set("2", 2), replica_set("3", 3), pod("a", "3")
    )


def values(edit) -> dict:
    assert edit.operations[0] == VERSION, "an edit of an object that has changed since is refused"
    return {operation["path"]: operation.get("value") for operation in edit.operations[1:]}


def test_the_history_is_latest_first_with_live_pods(world: World) -> None:
    world.put(pod("b", "2", ready=False))
    rows = history(world, REF)

    assert [(r.number, r.images[0][-1], r.pods, r.ready, r.current) for r in rows] == [
        (3, "3", 1, 1, True),
        (2, "2", 1, 0, False),
        (1, "1", 0, 0, False),
    ]
    assert rows[0].change_cause == "release 3"


def test_undo_goes_one_back_and_keeps_what_is_the_deployments_own(world: World) -> None:
    own = {"deployment.kubernetes.io/revision": "3", "team": "pay", "kubernetes.io/change-cause": "release 3"}
    world.objects["Deployment", "payment"]["metadata"]["annotations"] = own
    edit = undo(world, REF)

    assert edit.summary == "roll Deployment shop/payment back to revision 2"
    assert values(edit)["/spec/template"] == template("2"), "without the label that tells revisions apart"
    assert values(edit)["/metadata/annotations"] == {
        "deployment.kubernetes.io/revision": "3",
        "kubernetes.io/change-cause": "release 2",
    }
    assert not edit.warnings


def test_undo_twice_toggles(world: World) -> None:
    world.put(deployment("2"), replica_set("2", 4))  # what the controller makes of it

    assert "back to revision 3" in undo(world, REF).summary


def test_undo_to_a_revision_by_its_number(world: World) -> None:
    assert values(undo(world, REF, to_revision=1))["/spec/template"] == template("1")
    with pytest.raises(NotFoundError) as caught:
        undo(world, REF, to_revision=9)
    assert caught.value.hint == "its revisions: 1, 2, 3"
    with pytest.raises(RefusedError, match="already"):
        undo(world, REF, to_revision=3)


def test_a_revision_is_found_by_its_hash_when_it_has_another_number(world: World) -> None:
    world.put(replica_set("1", 9))
    assert "back to revision 9" in undo(world, REF, to_revision=1, to_hash="h1").summary
    with pytest.raises(NotFoundError, match="is gone"):
        undo(world, REF, to_hash="h7")


def test_there_is_no_way_back_from_the_first_revision() -> None:
    with pytest.raises(NotFoundError, match="no earlier revision"):
        undo(World(deployment("1"), replica_set("1", 1)), REF)


def test_undo_says_who_may_put_it_back(world: World) -> None:
    metadata = world.objects["Deployment", "payment"]["metadata"]
    metadata["managedFields"] = [{"manager": "argocd-controller"}]
    metadata["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}

    assert [warning.split()[0] for warning in undo(world, REF).warnings] == ["Argo", "the"]


def test_pause_resume_and_restart_know_what_is_so_already(world: World) -> None:
    assert values(pause(world, REF)) == {"/spec/paused": True}
    with pytest.raises(RefusedError, match="not paused"):
        resume(world, REF)
    stamp = values(restart(world, REF, world.clock))["/spec/template/metadata"]
    assert stamp["annotations"] == {"kubectl.kubernetes.io/restartedAt": "1970-01-12T13:46:40Z"}
    assert stamp["labels"] == {"app": "payment"}
    world.put(deployment("3", spec={"paused": True}))
    assert resume(world, REF).operations[1] == {"op": "remove", "path": "/spec/paused"}
    for edit in (
        lambda: undo(world, REF),
        lambda: restart(world, REF, world.clock),
        lambda: pause(world, REF),
    ):
        with pytest.raises(RefusedError, match="is paused"):
            edit()


def test_scale_says_what_will_set_it_again(world: World) -> None:
    assert values(scale(world, REF, 5)) == {"/spec/replicas": 5}
    assert scale(world, REF, 5).summary == "scale Deployment shop/payment from 2 to 5"
    target = {"kind": "Deployment", "name": "payment"}
    world.put(
        {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {"scaleTargetRef": target}}
    )
    assert scale(world, REF, 5).warnings == ("HorizontalPodAutoscaler h will set it again",)


def test_an_edit_is_one_patch(world: World) -> None:
    carry_out(world, pause(world, REF))

    assert world.patched == [(REF, [VERSION, {"op": "add", "path": "/spec/paused", "value": True}])]


def test_an_edit_is_made_again_where_only_the_status_has_changed(world: World) -> None:
    def patch(ref: Ref, operations, **_) -> None:
        version = world.objects["Deployment", "payment"]["metadata"]["resourceVersion"]
        world.objects["Deployment", "payment"]["metadata"]["resourceVersion"] = "8"
        if operations[0]["value"] != version or version == "7":
            raise ConflictError("the test failed")

    world.patch = patch
    assert carry_out_now(world, lambda: pause(world, REF)).operations[0]["value"] == "8"


def test_an_edit_is_not_made_again_where_somebody_else_has_changed_it(world: World) -> None:
    def patch(ref: Ref, operations, **_) -> None:
        world.objects["Deployment", "payment"]["metadata"]["generation"] += 1
        raise ConflictError("the test failed")

    world.patch = patch
    with pytest.raises(ConflictError, match="somebody else"):
        carry_out_now(world, lambda: pause(world, REF))


def test_what_is_not_there_or_cannot_be_is_said(world: World) -> None:
    with pytest.raises(RefusedError, match="cannot be paused"):
        pause(world, Ref("apps/v1", "StatefulSet", "shop", "payment"))
    with pytest.raises(NotFoundError):
        scale(World(), REF, 1)
