"""What belongs to a workload of each kind: its revisions, its pods, and which are new; labels as the controllers set them."""

from typing import Any

import pytest
from rollout_world import World, template

from opslib.core.errors import ManifestError, NotFoundError, RefusedError, UsageError
from opslib.kube import Object, Ref
from opslib.manifests.rollouts import history, undo
from opslib.manifests.workloads import look_at, selector_text

HASH, OWN = "controller-revision-hash", "controller.kubernetes.io/hash"


def owned(kind: str, name: str, labels: dict[str, str], **more: Any) -> Object:
    metadata = {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "payment", **labels}}
    return {
        "kind": kind,
        "metadata": metadata | {"ownerReferences": [{"uid": "w", "controller": True}]},
        **more,
    }


def revision(kind: str, number: int) -> Object:
    """A StatefulSet's revision has its hash under a label of its own, a DaemonSet's has the one of the pods."""
    labels = {OWN if kind == "StatefulSet" else HASH: f"h{number}"}
    held = {"spec": {"template": {**template(str(number)), "$patch": "replace"}}}
    return owned("ControllerRevision", f"payment-h{number}", labels, revision=number, data=held)


def pod(kind: str, name: str, number: int) -> Object:
    """A StatefulSet's pods are labelled with the name of their revision."""
    labels = {HASH: f"payment-h{number}" if kind == "StatefulSet" else f"h{number}"}
    return owned("Pod", name, labels, status={"conditions": [{"type": "Ready", "status": "True"}]})


def world(kind: str, *revisions: int, wanted: int) -> World:
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "payment", "namespace": "shop", "uid": "w", "resourceVersion": "7"},
        "spec": {"selector": {"matchLabels": {"app": "payment"}}, "template": template(str(wanted))},
        "status": {"updateRevision": f"payment-h{wanted}"} if kind == "StatefulSet" else {},
    }
    stranger = owned("ControllerRevision", "other-h9", {HASH: "h9", OWN: "h9"}, revision=9)
    stranger["metadata"]["ownerReferences"] = [{"uid": "another", "controller": True}]
    return World(body, stranger, *(revision(kind, n) for n in revisions))


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_half_way_through_a_rollout_the_new_pods_are_told_from_the_old(kind: str) -> None:
    cluster, ref = world(kind, 1, 2, wanted=2), Ref("apps/v1", kind, "shop", "payment")
    cluster.put(pod(kind, "old", 1), pod(kind, "new", 2))
    found = look_at(cluster, ref)

    assert [p["metadata"]["name"] for p in found.pods] == ["old", "new"]
    assert [p["metadata"]["name"] for p in found.new_pods] == ["new"]
    assert found.newest is not None
    assert found.newest["revision"] == 2
    assert [(r.number, r.images, r.pods, r.ready, r.current) for r in history(cluster, ref)] == [
        (2, ("registry/payment:2",), 1, 1, True),
        (1, ("registry/payment:1",), 1, 1, False),
    ]


@pytest.mark.parametrize(("kind", "prefix"), [("StatefulSet", "payment-h"), ("DaemonSet", "h")])
def test_the_way_back_leads_to_the_revision_before_or_the_one_that_is_named(kind: str, prefix: str) -> None:
    cluster, ref = world(kind, 1, 2, wanted=2), Ref("apps/v1", kind, "shop", "payment")
    made = undo(cluster, ref)

    assert look_at(cluster, ref).current == f"{prefix}2"
    assert made.summary.endswith("back to revision 1")
    assert {"op": "replace", "path": "/spec/template", "value": template("1")} in made.operations
    assert undo(cluster, ref, to_hash=f"{prefix}1") == made
    with pytest.raises(RefusedError, match="already"):
        undo(cluster, ref, to_hash=f"{prefix}2")
    with pytest.raises(NotFoundError, match="is gone"):
        undo(cluster, ref, to_hash=f"{prefix}7")


def test_a_selector_is_asked_as_it_is_written_and_an_unknown_operator_is_not_guessed() -> None:
    rules = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "tier", "operator": "NotIn", "values": ["c"]},
        {"key": "app", "operator": "Exists"},
        {"key": "canary", "operator": "DoesNotExist"},
    ]
    text = selector_text({"matchLabels": {"app": "x"}, "matchExpressions": rules})
    assert text == "app=x,tier in (a,b),tier notin (c),app,!canary"
    with pytest.raises(ManifestError, match="Gt"):
        selector_text({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})


def test_what_is_no_workload_is_not_looked_at() -> None:
    with pytest.raises(UsageError, match="no workload"):
        look_at(World(), Ref("v1", "Pod", "shop", "payment"))
