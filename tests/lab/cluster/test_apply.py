"""Server-side apply and managedFields are as recorded from Kubernetes 1.34, and keep their laws for any objects."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.lab.cluster.apply import LAST_APPLIED, Writer, server_side_apply, track_update, unchanged
from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.defaults import apply_defaults
from opslib.lab.cluster.fieldsets import compare, encode, fields_of, text
from opslib.lab.cluster.fieldsets import decode as paths_of
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.schema import schema_of
from opslib.lab.cluster.statuses import StatusError

RESOURCES = Resources()
DEPLOYMENTS = RESOURCES.find("deployments.apps")
SCHEMA = schema_of(DEPLOYMENTS)
T1, T2, T3 = (f"2026-01-01T00:00:0{n}Z" for n in (1, 2, 3))
META = {"name": "ss"}
ENV = [{"name": "A", "value": "1"}]


def deployment(**spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": META, "spec": spec}


def of_container(replicas=None, **container):
    spec = {"template": {"spec": {"containers": [{"name": "c", **container}]}}}
    return deployment(**spec, **({} if replicas is None else {"replicas": replicas}))


def first(**container):
    return {
        **deployment(
            selector={"matchLabels": {"app": "ss"}},
            template={
                "metadata": {"labels": {"app": "ss"}},
                "spec": {"containers": [{"name": "c", "image": "v1", **container}]},
            },
        ),
        "metadata": {**META, "labels": {"app": "ss"}},
    }


FIRST = first(env=ENV, ports=[{"containerPort": 8080}])
FIRST["spec"]["replicas"] = 1


def kept(obj):
    """Return an applied object as the server keeps it: decoded and with its defaults."""
    managed = obj["metadata"].get("managedFields")
    whole, _ = decode(SCHEMA, DEPLOYMENTS, obj)
    whole = apply_defaults(DEPLOYMENTS, whole)
    return {**whole, "metadata": {**whole["metadata"], **({"managedFields": managed} if managed else {})}}


def applied(live, obj, manager, now=T2, *, force=False):
    before = copy.deepcopy((live, obj))
    new = kept(server_side_apply(SCHEMA, live, obj, Writer(manager, DEPLOYMENTS, now), force=force))
    assert (live, obj) == before
    return live if live is not None and unchanged(live, new) else new


def updated(live, change, manager, now=T2, subresource=""):
    new = copy.deepcopy(live)
    change(new)
    new["metadata"]["managedFields"] = track_update(
        SCHEMA, live, new, Writer(manager, DEPLOYMENTS, now, subresource)
    )
    return new


def fields(obj, manager, operation="Apply"):
    found = [
        e["fieldsV1"]
        for e in obj["metadata"]["managedFields"]
        if (e["manager"], e["operation"]) == (manager, operation)
    ]
    return found[0] if found else None


def managers(obj):
    return [(e["manager"], e["operation"]) for e in obj["metadata"]["managedFields"]]


CONTAINER = {
    ".": {},
    "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
    "f:image": {},
    "f:name": {},
    "f:ports": {'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
}
RECORDED = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:selector": {},
        "f:template": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {'k:{"name":"c"}': CONTAINER}},
        },
    },
}


@pytest.fixture
def live():
    return applied(None, FIRST, "m1", T1)


def test_create_is_owned_exactly_as_applied(live) -> None:
    assert live["metadata"]["managedFields"] == [
        {
            "manager": "m1",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": RECORDED,
        }
    ]
    assert live["spec"]["strategy"]["type"] == "RollingUpdate"


def test_applying_again_changes_nothing_not_even_the_time(live) -> None:
    assert applied(live, FIRST, "m1", T2) == live


def test_a_controllers_status_is_an_update_entry(live) -> None:
    def change(obj):
        obj["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
        obj["status"] = {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}

    new = updated(live, change, "kube-controller-manager", subresource="status")

    (entry,) = [e for e in new["metadata"]["managedFields"] if e["operation"] == "Update"]
    assert entry == {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": T2,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}},
            "f:status": {
                "f:conditions": {
                    ".": {},
                    'k:{"type":"Available"}': {".": {}, "f:status": {}, "f:type": {}},
                },
                "f:replicas": {},
            },
        },
        "subresource": "status",
    }
    assert fields(new, "m1") == RECORDED


def test_a_conflict_is_the_recorded_409(live) -> None:
    with pytest.raises(StatusError) as refused:
        applied(live, of_container(2, image="v2"), "m2")

    image = '.spec.template.spec.containers[name="c"].image'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "m1"'}
    assert refused.value.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'Apply failed with 2 conflicts: conflicts with "m1":\n- .spec.replicas\n- {image}',
        "reason": "Conflict",
        "details": {"causes": [{**cause, "field": ".spec.replicas"}, {**cause, "field": image}]},
        "code": 409,
    }


@pytest.fixture
def forced(live):
    return applied(live, of_container(2, image="v2"), "m2", force=True)


def test_force_takes_the_fields(forced) -> None:
    owned = {"k:" + json.dumps({"name": "c"}, separators=(",", ":")): {".": {}, "f:image": {}, "f:name": {}}}
    assert fields(forced, "m2") == {
        "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": owned}}}
    }
    lost = copy.deepcopy(RECORDED)
    del lost["f:spec"]["f:replicas"]
    del lost["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']["f:image"]
    assert fields(forced, "m1") == lost
    assert forced["spec"]["replicas"] == 2


def test_what_only_its_applier_owned_goes_with_its_word(forced) -> None:
    new = applied(forced, first(image="v2", ports=[{"containerPort": 8080}]), "m1", T3)

    (container,) = new["spec"]["template"]["spec"]["containers"]
    assert "env" not in container
    assert new["spec"]["replicas"] == 2, "another owns it"
    assert "f:image" in fields(new, "m1")["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert "f:image" in fields(new, "m2")["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']


def test_an_update_takes_a_field_from_its_applier(forced) -> None:
    new = updated(forced, lambda obj: obj["spec"].update(replicas=1), "kubectl-patch", T3)

    assert fields(new, "kubectl-patch", "Update") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in fields(new, "m2")["f:spec"]
    with pytest.raises(StatusError) as refused:
        applied(new, of_container(2, image="v2"), "m2", T3)
    assert refused.value.body["message"] == (
        'Apply failed with 1 conflict: conflict with "kubectl-patch" using apps/v1: .spec.replicas'
    )
    assert refused.value.body["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-patch" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_a_subresource_is_named_in_the_conflict(live) -> None:
    new = updated(live, lambda obj: obj["spec"].update(replicas=3), "kubectl", T2, subresource="scale")

    with pytest.raises(
        StatusError, match=r'conflict with "kubectl" with subresource "scale" using apps/v1: \.spec\.replicas'
    ):
        applied(new, FIRST, "m1", T3)


def test_an_empty_apply_ends_the_entry(forced) -> None:
    nothing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": META}
    both = applied(forced, first(image="v2"), "m1", T2)
    new = applied(both, nothing, "m2", T3)

    assert managers(new) == [("m1", "Apply")]
    (container,) = new["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "v2", "co-owned by m1"


def test_fields_of_nobody_are_of_before_first_apply(live) -> None:
    cleared = {**live, "metadata": {k: v for k, v in live["metadata"].items() if k != "managedFields"}}

    with pytest.raises(StatusError) as refused:
        applied(cleared, deployment(replicas=5), "m3")
    assert refused.value.body["message"] == (
        'Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas'
    )


def test_a_new_co_owner_has_no_time(live) -> None:
    new = applied(live, deployment(replicas=1), "m2", T2)

    entries = {e["manager"]: e for e in new["metadata"]["managedFields"]}
    assert "time" not in entries["m2"]
    assert entries["m1"]["time"] == T1
    assert managers(new) == [("m2", "Apply"), ("m1", "Apply")], "without a time first"


def test_a_created_object_is_owned_with_its_defaults() -> None:
    new = kept(FIRST)
    (entry,) = track_update(SCHEMA, None, new, Writer("kubectl-create", DEPLOYMENTS, T1))

    owned = entry["fieldsV1"]["f:spec"]
    assert entry["operation"] == "Update"
    assert "." not in owned, "the typed server always has a spec"
    assert owned["f:strategy"] == {
        "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
        "f:type": {},
    }
    assert entry["fieldsV1"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    containers = owned["f:template"]["f:spec"]["f:containers"]
    assert "." not in containers
    assert containers['k:{"name":"c"}']["f:resources"] == {}
    assert containers['k:{"name":"c"}']["f:env"]["."] == {}
    assert "f:status" not in entry["fieldsV1"]


def test_an_empty_map_is_owned() -> None:
    maps = RESOURCES.find("configmaps")
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": META, "data": {}}
    new = server_side_apply(schema_of(maps), None, obj, Writer("m1", maps, T1), force=False)

    assert fields(new, "m1") == {"f:data": {}}


def test_the_same_manager_keeps_updates_and_applies_apart(live) -> None:
    new = updated(live, lambda obj: obj["spec"].update(paused=True), "m1")

    assert managers(new) == [("m1", "Apply"), ("m1", "Update")]


def test_status_is_not_owned_by_an_apply_of_the_object() -> None:
    obj = {**deployment(replicas=1), "status": {"replicas": 1}}
    new = server_side_apply(SCHEMA, None, obj, Writer("m1", DEPLOYMENTS, T1), force=False)
    # who writes the object never owns its status: the server drops it from the write
    assert fields(new, "m1") == {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("obj", "complaint"),
    [
        (deployment(replicaz=1), ".spec.replicaz: field not declared in schema"),
        (deployment(replicas="a"), ".spec.replicas: expected numeric (int or float), got string"),
        (deployment(template=[]), ".spec.template: expected map, got []interface {}"),
        (
            deployment(template={"spec": {"containers": [{"name": "c"}, {"name": "c"}]}}),
            '.spec.template.spec.containers: duplicate entries for key [name="c"]',
        ),
    ],
)
def test_what_does_not_fit_the_schema_is_a_500(obj, complaint: str) -> None:
    with pytest.raises(StatusError) as refused:
        applied(None, obj, "m1")

    assert refused.value.code == 500
    assert refused.value.body["message"] == (
        f"failed to create typed patch object (/ss; apps/v1, Kind=Deployment): {complaint}"
    )


def test_kubectl_keeps_its_note_of_client_side_apply_in_step(live) -> None:
    def note(obj):
        obj["metadata"]["annotations"] = {LAST_APPLIED: "{}"}

    noted = updated(live, note, "kubectl-client-side-apply")
    new = applied(noted, FIRST, "kubectl", T3)

    assert json.loads(new["metadata"]["annotations"][LAST_APPLIED])["spec"]["replicas"] == 1
    assert applied(noted, FIRST, "m1", T3)["metadata"]["annotations"] == {LAST_APPLIED: "{}"}


def test_managed_fields_that_make_no_sense_are_not_believed(live) -> None:
    def change(obj):
        obj["metadata"]["managedFields"] = [
            {"manager": "x", "operation": "Apply", "fieldsV1": {"nonsense": 1}}
        ]
        obj["spec"]["replicas"] = 9

    new = updated(live, change, "kubectl-edit")

    assert managers(new) == [("m1", "Apply"), ("kubectl-edit", "Update")]


LETTERS = st.sampled_from("abc")
LABELS = st.dictionaries(LETTERS, LETTERS, max_size=3)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": LETTERS},
        optional={
            "image": LETTERS,
            "args": st.lists(LETTERS, min_size=1, max_size=2),
            "env": st.lists(
                st.fixed_dictionaries({"name": LETTERS, "value": LETTERS}),
                max_size=3,
                unique_by=lambda e: e["name"],
            ),
            "ports": st.lists(
                st.fixed_dictionaries({"containerPort": st.integers(1, 3)}, optional={"name": LETTERS}),
                max_size=2,
                unique_by=lambda p: p["containerPort"],
            ),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda c: c["name"],
)
OBJECTS = st.builds(
    lambda labels, replicas, containers: {
        **deployment(
            template={"spec": {"containers": containers}}, **({"replicas": replicas} if replicas else {})
        ),
        "metadata": {**META, **({"labels": labels} if labels else {})},
    },
    LABELS,
    st.integers(0, 2),
    CONTAINERS,
)


@settings(max_examples=30)
@given(OBJECTS, OBJECTS)
def test_apply_is_idempotent_and_says_what_it_owns(one, two) -> None:
    live = applied(None, one, "A", T1)
    both = applied(live, two, "B", T2, force=True)

    assert applied(both, two, "B", T3) == both
    owned = frozenset(paths_of(fields(both, "B")))
    named = {path for path in fields_of(SCHEMA, two) if path[:2] != ("f:metadata", "f:name")}
    assert owned == {path for path in named if path[0] not in ("f:apiVersion", "f:kind")}


@settings(max_examples=30)
@given(OBJECTS, OBJECTS)
def test_who_leaves_takes_only_what_was_its_own(one, two) -> None:
    alone = applied(None, one, "A", T1)
    both = applied(alone, two, "B", T2, force=True)
    left = applied(both, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": META}, "B", T3)

    assert (
        "B" not in [manager for manager, _ in managers(left)]
        if left["metadata"].get("managedFields")
        else True
    )
    owned_by_a = fields(both, "A")
    kept_paths = frozenset(paths_of(owned_by_a)) if owned_by_a else frozenset()
    assert kept_paths <= frozenset(fields_of(SCHEMA, left))


@settings(max_examples=30)
@given(OBJECTS, OBJECTS)
def test_a_comparison_is_symmetric_and_sees_every_change(one, two) -> None:
    there, back = compare(SCHEMA, one, two), compare(SCHEMA, two, one)

    assert (there.added, there.modified, there.removed) == (back.removed, back.modified, back.added)
    assert bool(there.added or there.modified or there.removed) == (ordered(one) != ordered(two))


def ordered(value):
    """Return a value with its keyed lists in one order: their order is nobody's field."""
    if isinstance(value, dict):
        return {key: ordered(content) for key, content in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted((ordered(item) for item in value), key=json.dumps)
    return value


@settings(max_examples=30)
@given(OBJECTS)
def test_a_set_of_fields_is_written_and_read_alike(obj) -> None:
    paths = frozenset(fields_of(SCHEMA, obj))

    assert frozenset(paths_of(encode(paths))) == paths


def test_paths_are_read_by_people() -> None:
    path = ("f:spec", "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name")
    assert text(path) == '.spec.ports[containerPort=80,protocol="TCP"].name'
    assert text(("f:metadata", "f:finalizers", 'v:"x"')) == '.metadata.finalizers[="x"]'


def test_cleared_managed_fields_stay_clear_until_somebody_applies(live) -> None:
    def change(obj):
        obj["metadata"]["managedFields"] = [{}]
        obj["spec"]["replicas"] = 7

    cleared = updated(live, change, "m2")

    assert cleared["metadata"]["managedFields"] == []
    assert managers(applied(cleared, FIRST, "m1", T3, force=True)) == [
        ("m1", "Apply"),
        ("before-first-apply", "Update"),
    ]
