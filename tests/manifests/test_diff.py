"""A diff names each field that changes as the API server spells it, and never tells a secret."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.redact import MASK
from opslib.manifests.diff import FieldChange, diff, hidden, holds_secret
from opslib.manifests.fields import (
    owned_fields,
    path_from_json,
    path_text,
    path_to_json,
    touches,
    value_at,
)
from opslib.manifests.owners import MANAGER, drift, own_fields, owners, with_owners

WORDS = st.sampled_from(["a", "b", "name", "port", "protocol", "mountPath", "x"])
VALUES = st.recursive(
    st.booleans() | st.integers(0, 9) | st.sampled_from(["p", "q", "r"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS, inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("pqr"), "x": inner}), max_size=3)
    ),
    max_leaves=10,
)
SPECS = st.dictionaries(WORDS, VALUES, max_size=4)
SECRET = "hunter2-hunter2"


def thing(spec, kind="Thing", **metadata) -> dict:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "t", **metadata}, "spec": spec}


def texts(before, after) -> list[str]:
    return [str(change) for change in diff(before, after)]


@given(SPECS)
def test_nothing_changes_where_all_is_alike(spec) -> None:
    assert diff(thing(spec), thing(json.loads(json.dumps(spec)))) == ()


@given(SPECS, SPECS)
def test_each_change_stands_at_its_path_and_only_there(before, after) -> None:
    changes = diff(thing(before), thing(after))

    assert bool(changes) == (
        json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)
    ) or reordered(before, after)
    for change in changes:
        path = path_from_json(json.loads(json.dumps(path_to_json(change.path))))
        if all(not isinstance(token, tuple) for token in path):
            assert value_at(thing(before), path) == change.before
            assert value_at(thing(after), path) == change.after
    assert [path_text(c.path) for c in diff(thing(after), thing(before))] == [
        path_text(c.path) for c in changes
    ]


def reordered(before, after) -> bool:
    """Lists of named items in another order are alike."""

    def ordered(value):
        if isinstance(value, dict):
            return {key: ordered(item) for key, item in value.items()}
        if isinstance(value, list):
            return sorted((ordered(item) for item in value), key=lambda i: json.dumps(i, sort_keys=True))
        return value

    return json.dumps(ordered(before), sort_keys=True) == json.dumps(ordered(after), sort_keys=True)


def test_items_are_told_apart_by_their_keys() -> None:
    def pod(*containers) -> dict:
        return thing({"containers": list(containers)})

    before = pod({"name": "a", "image": "a:1"}, {"name": "b", "ports": [{"containerPort": 80}]})
    after = pod(
        {"name": "b", "ports": [{"containerPort": 80, "protocol": "TCP"}]}, {"name": "a", "image": "a:2"}
    )

    assert texts(before, after) == [
        ".spec.containers[name=\"a\"].image: 'a:1' -> 'a:2'",
        '.spec.containers[name="b"].ports[containerPort=80,protocol="TCP"].protocol: none -> \'TCP\'',
    ]


def test_what_the_server_keeps_for_itself_does_not_change() -> None:
    after = thing({}, uid="u", resourceVersion="2", generation=3, managedFields=[{}], annotations={
        "kubectl.kubernetes.io/last-applied-configuration": "{}"})  # fmt: skip

    assert diff(thing({}, annotations={}), {**after, "status": {"ready": True}}) == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"kind": "Secret", "data": {"p": SECRET}}, {"kind": "Secret", "data": {"p": SECRET + "x", "q": SECRET}}),
        ({"kind": "Secret"}, {"kind": "Secret", "data": {"p": SECRET}, "stringData": {"q": {"r": SECRET}}}),
        ({"spec": {"env": [{"name": "DB_PASSWORD", "value": SECRET}]}}, {"spec": {"env": [{"name": "DB_PASSWORD", "value": SECRET + "x"}]}}),
        ({"spec": {}}, {"spec": {"env": [{"name": "DB_PASSWORD", "value": SECRET}]}}),
        ({"spec": {"args": [f"--password={SECRET}"]}}, {"spec": {"args": [f"--password={SECRET}x"]}}),
        ({"kind": "ConfigMap", "data": {"password": SECRET}}, {"kind": "ConfigMap", "data": {"password": "other"}}),
    ],
)  # fmt: skip
def test_secrets_are_masked_on_both_sides_and_seen_to_change(before, after) -> None:
    sides = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "s"}, **side} for side in (before, after)
    ]
    changes = diff(*sides)

    assert changes
    assert SECRET not in repr(changes)
    assert MASK in repr(changes)
    assert SECRET not in repr([hidden(side) for side in sides])
    assert holds_secret(sides[1])


def test_labels_are_shown_however_random_they_look() -> None:
    label = {"part": "q8Zr4TxW1mK7vB2nY5cD9fG3hJ6pL0sA"}

    assert not holds_secret(thing({"selector": {"matchLabels": label}}, labels=label))
    assert "q8Zr" in texts(thing({}), thing({}, labels=label))[0]


FIELDS = {
    "f:metadata": {"f:labels": {".": {}, "f:app.kubernetes.io/name": {}}},
    "f:spec": {
        "f:selector": {},
        "f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}, "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {}}}},
        "f:finalizers": {'v:"a"': {}},
        "f:odd": {"k:{": {}, "i:0": {}, "x": {}},
    },
}  # fmt: skip


def test_owned_fields_are_spelled_as_changes_are() -> None:
    assert list(owned_fields(FIELDS)) == [
        ".metadata.labels",
        ".metadata.labels.app.kubernetes.io/name",
        ".spec.selector",
        '.spec.containers[name="web"]',
        '.spec.containers[name="web"].image',
        '.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]',
        '.spec.finalizers[="a"]',
        ".spec.odd[{]",
        ".spec.odd[0]",
        ".spec.odd.x",
    ]


@pytest.mark.parametrize(
    ("owned", "changed", "yes"),
    [
        (".spec.selector", ".spec.selector.matchLabels.app", True),
        (".spec.replicas", ".spec.replicas", True),
        (".spec.a.b", ".spec.a", True),
        (".spec.rep", ".spec.replicas", False),
        (".spec.c", '.spec.c[name="x"]', True),
        (".spec.a", ".spec.b", False),
    ],
)
def test_a_path_touches_itself_and_what_is_below_and_above(owned, changed, yes) -> None:
    assert touches(owned, changed) is touches(changed, owned) is yes


def managed(**entries) -> dict:
    made = [{"manager": m.replace("_", "-"), "operation": o, "fieldsV1": f} for m, (o, f) in entries.items()]
    return thing({"replicas": 2}, managedFields=made)


def test_owners_of_a_change_are_the_others_and_drift_is_what_they_changed() -> None:
    replicas, image = {"f:spec": {"f:replicas": {}}}, {"f:spec": {"f:image": {}}}
    live = managed(opslib=("Apply", image), kube_controller=("Update", replicas), idle=("Update", {}))
    changes = [FieldChange(("spec", "replicas"), 2, 3), FieldChange(("spec", "image"), "a", "b")]

    owned = with_owners(changes, live)

    assert [c.owners for c in owned] == [("kube-controller",), ()]
    assert drift(owned, live) == owned[:1]
    assert owners(live, ".spec.replicas") == {"kube-controller"}
    assert own_fields(live) == image


def test_an_object_that_we_never_applied_does_not_drift() -> None:
    live = managed(kubectl=("Apply", {"f:spec": {"f:replicas": {}}}), opslib=("Update", {"f:spec": {}}))
    owned = with_owners([FieldChange(("spec", "replicas"), 2, 3)], live)

    assert own_fields(live) is None
    assert drift(owned, live) == ()
    assert owned[0].owners == ("kubectl",)
    assert MANAGER == "opslib"


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {},
        {"metadata": None},
        {"metadata": {"managedFields": {}}},
        {"metadata": {"managedFields": [3, {}]}},
    ],
)
def test_an_object_of_another_shape_has_no_owners(odd) -> None:
    assert owners(odd, ".spec") == set()
    assert own_fields(odd) is None
