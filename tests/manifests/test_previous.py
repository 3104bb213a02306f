"""What is put back: what we own and what the plan changes, with the values from before, and nothing else."""

from typing import Any

from opslib.kube import Ref
from opslib.manifests.diff import FieldChange
from opslib.manifests.entries import Entry
from opslib.manifests.previous import Previous, extract, keep, kept, previous_of

REF = Ref("apps/v1", "Deployment", "shop", "web")
INVENTORY = Ref("v1", "Secret", "shop", "opslib-release-web")
WEB = (("name", "web"),)


class Cluster:
    """Secrets by name; each has a uid of its own."""

    def __init__(self) -> None:
        self.objects: dict[str, dict] = {}

    def get(self, ref: Ref) -> dict | None:
        return self.objects.get(ref.name)

    def apply(self, body: dict, **_: Any) -> dict:
        made = {**body, "metadata": {**body["metadata"], "uid": f"uid of {body['metadata']['name']}"}}
        self.objects[body["metadata"]["name"]] = made
        return made


def live(own: dict | None, **spec: Any) -> dict:
    managed = [{"manager": "opslib", "operation": "Apply", "fieldsV1": own}] if own is not None else []
    containers = [
        {"name": "web", "image": "web:1", "tty": False, "ports": [{"containerPort": 80, "protocol": "TCP"}]},
        {"name": "side", "image": "side:1"},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "u",
            "managedFields": managed,
            "labels": {"a": "1"},
        },
        "spec": {"replicas": 3, "template": {"spec": {"containers": containers}}, **spec},
        "status": {"replicas": 3},
    }


def changed(*paths: tuple, own: dict | None, action: str = "change") -> dict:
    entry = Entry(action, REF, changes=tuple(FieldChange(p, "?", "?") for p in paths), live=live(own))
    (body,) = previous_of(Cluster(), [entry], INVENTORY).bodies
    return body


IMAGE = ("spec", "template", "spec", "containers", WEB, "image")
OWN = {
    "f:metadata": {"f:labels": {"f:a": {}}},
    "f:spec": {
        "f:template": {
            "f:spec": {
                "f:containers": {'k:{"name":"web"}': {".": {}, "f:name": {}, "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {}}}}
            }
        }
    },
}  # fmt: skip


def test_our_own_fields_and_a_field_that_was_anothers_are_put_back_together() -> None:
    body = changed(IMAGE, own=OWN)

    assert body == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "1"}},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {"name": "web", "image": "web:1", "ports": [{"containerPort": 80, "protocol": "TCP"}]}
                    ]
                }
            }
        },
    }


def test_of_an_object_that_was_never_ours_only_what_the_plan_changes_is_put_back() -> None:
    body = changed(IMAGE, ("spec", "paused"), own=None)

    assert body["spec"] == {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}}
    assert "replicas" not in body["spec"], "an autoscaler's replicas are left alone"


def test_a_list_without_keys_is_put_back_whole() -> None:
    entry = Entry(
        "change", REF, changes=(FieldChange(("spec", "args", 1), "b", "c"),), live=live(None, args=["a", "b"])
    )
    (body,) = previous_of(Cluster(), [entry], INVENTORY).bodies

    assert body["spec"] == {"args": ["a", "b"]}


def test_what_is_new_is_deleted_and_what_is_unchanged_left_alone() -> None:
    new, same = Entry("create", REF), Entry("unchanged", REF, live=live(OWN))

    assert previous_of(Cluster(), [new, same], INVENTORY) == Previous((), (REF,), {})


def test_values_of_sets_are_found_by_themselves() -> None:
    fields = {"f:finalizers": {'v:"b"': {}, 'v:"gone"': {}}}

    assert extract({"finalizers": ["a", "b"]}, fields) == {"finalizers": ["b"]}


def test_the_way_back_is_kept_in_the_cluster_and_known_by_a_keyed_hash() -> None:
    cluster, previous = Cluster(), Previous((changed(IMAGE, own=OWN),), (REF,), {REF: "u"})
    known = keep(cluster, INVENTORY, previous)

    assert kept(cluster, INVENTORY, known) == previous
    assert "web:1" not in str(cluster.objects), "packed"
