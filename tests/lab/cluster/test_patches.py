"""The three patches do what their standards and kubectl do, and leave their arguments alone."""

import contextlib
import copy
import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.lab.cluster.patches import json_patch, merge_patch, strategic_merge
from opslib.lab.cluster.schema import schema_of_kind
from opslib.lab.cluster.statuses import StatusError

DEPLOYMENT = schema_of_kind("apps/v1", "Deployment")
KUBECTL = shutil.which("kubectl")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab~/", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("ab/~", max_size=2), VALUES, max_size=3)


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(content) for key, content in value.items() if content is not None}
    return value


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent_and_wins(value: dict, patch: dict) -> None:
    before = copy.deepcopy((value, patch))
    once = merge_patch(value, patch)

    assert merge_patch(once, patch) == once
    assert merge_patch(value, {}) == value
    assert merge_patch({}, patch) == without_nulls(patch)
    assert all(key not in once for key, change in patch.items() if change is None)
    assert (value, patch) == before


@pytest.mark.parametrize(
    ("value", "patch", "merged"),
    [
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1}, [1], [1]),
    ],
)
def test_a_merge_patch_replaces_lists_and_merges_maps(value, patch, merged) -> None:
    assert merge_patch(value, patch) == merged


@pytest.mark.parametrize(
    ("value", "operation", "result"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a/b": 1, "c~d": 2}, {"op": "remove", "path": "/a~1b"}, {"c~d": 2}),
        ({"c~d": 2}, {"op": "replace", "path": "/c~0d", "value": None}, {"c~d": None}),
        ({"a": [1, 2]}, {"op": "replace", "path": "/a/0", "value": 5}, {"a": [5, 2]}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, {"op": "copy", "from": "/a", "path": "/a/c"}, {"a": {"b": 1, "c": {"b": 1}}}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1}, {"a": 1}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {}}, {}),
    ],
)
def test_an_operation_of_a_json_patch(value, operation, result) -> None:
    before = copy.deepcopy(value)

    assert json_patch(value, [operation]) == result
    assert value == before


DOUBLING = [
    {"op": "add", "path": "/a", "value": ["x" * 100]},
    *({"op": "copy", "from": "/a", "path": "/a/-"} for _ in range(40)),
]


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/gone"}],
        [{"op": "replace", "path": "/gone", "value": 1}],
        [{"op": "add", "path": "/gone/deep", "value": 1}],
        [{"op": "add", "path": "/l/7", "value": 1}],
        [{"op": "add", "path": "/l/x", "value": 1}],
        [{"op": "remove", "path": "/l/-1"}],
        [{"op": "remove", "path": ""}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/b"}],
        [{"op": "bogus", "path": "/a"}],
        [{"path": "/a"}],
        [1],
        [{"op": "add", "path": "/a/b", "value": 1}],
        DOUBLING,
    ],
)
def test_a_json_patch_that_fails_has_one_answer(operations) -> None:
    with pytest.raises(StatusError) as refused:
        json_patch({"a": 1, "l": [1]}, operations)

    assert refused.value.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }


@given(VALUES, VALUES)
def test_a_json_patch_never_ends_otherwise(value, operation) -> None:
    with contextlib.suppress(StatusError):
        json_patch(value, [operation, {"op": "add", "path": operation, "value": 1}])


CONTAINERS = [
    {
        "name": "c",
        "image": "i:1",
        "args": ["a"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
        "ports": [{"containerPort": 80}, {"containerPort": 81}],
    },
    {"name": "d", "image": "j:1"},
]
LIVE = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "x", "labels": {"a": "1"}, "finalizers": ["one", "two"]},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "1"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {
            "metadata": {"labels": {"a": "1"}},
            "spec": {
                "containers": CONTAINERS,
                "volumes": [{"name": "v", "configMap": {"name": "m"}}],
                "tolerations": [{"key": "t", "operator": "Exists"}],
            },
        },
    },
}


def of_container(**fields):
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", **fields}]}}}}


STRATEGIC = {
    "scalar": {"spec": {"replicas": 3}},
    "null removes": {"metadata": {"labels": None}, "spec": {"replicas": None}},
    "selectors merge": {"spec": {"selector": {"matchLabels": {"b": "2"}}}},
    "item merges by key": of_container(image="i:2"),
    "item is added": of_container(env=[{"name": "D", "value": "4"}, {"name": "A", "value": "9"}]),
    "item is removed": of_container(env=[{"name": "B", "$patch": "delete"}]),
    "list is replaced": of_container(env=[{"name": "Z", "value": "1"}, {"$patch": "replace"}]),
    "ports by number": of_container(ports=[{"containerPort": 81, "name": "admin"}]),
    "atomic list": of_container(args=["b", "c"]),
    "order": of_container(**{"$setElementOrder/env": [{"name": "C"}, {"name": "A"}]}),
    "order with a change": of_container(
        **{
            "$setElementOrder/env": [{"name": "C"}, {"name": "N"}, {"name": "A"}],
            "env": [{"name": "N", "value": "0"}],
        }
    ),
    "map is replaced": {"metadata": {"labels": {"$patch": "replace", "b": "2"}}},
    "map is emptied": {"spec": {"template": {"metadata": {"labels": {"$patch": "delete"}}}}},
    "retain keys": {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
    "retain keys in a list": {
        "spec": {
            "template": {
                "spec": {"volumes": [{"$retainKeys": ["name", "emptyDir"], "name": "v", "emptyDir": {}}]}
            }
        }
    },
    "values leave a set": {"metadata": {"$deleteFromPrimitiveList/finalizers": ["one"]}},
    "values join a set": {"metadata": {"finalizers": ["three", "one"]}},
    "new container with nulls": {
        "spec": {"template": {"spec": {"containers": [{"name": "e", "image": "k:1", "env": None}]}}}
    },
    "no merge key at all": {"spec": {"template": {"spec": {"tolerations": [{"key": "u"}]}}}},
}


@pytest.mark.parametrize("patch", STRATEGIC.values(), ids=STRATEGIC)
def test_a_strategic_patch_is_what_kubectl_makes_of_it(patch: dict) -> None:
    if KUBECTL is None:
        pytest.skip("no kubectl here")
    before = copy.deepcopy((LIVE, patch))

    assert without_empty(strategic_merge(LIVE, patch, DEPLOYMENT)) == without_empty(local(patch, "strategic"))
    assert (LIVE, patch) == before


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", of_container(image="i:2")),
        ("merge", {"metadata": {"labels": {"a": None, "b": "2"}}}),
        ("json", [{"op": "add", "path": "/metadata/labels/b~1c", "value": "2"}]),
        (
            "json",
            [
                {
                    "op": "move",
                    "from": "/spec/template/spec/containers/0",
                    "path": "/spec/template/spec/containers/1",
                }
            ],
        ),
    ],
)
def test_the_standard_patches_are_what_kubectl_makes_of_them(kind: str, patch) -> None:
    if KUBECTL is None:
        pytest.skip("no kubectl here")
    patched = merge_patch(LIVE, patch) if kind == "merge" else json_patch(LIVE, patch)

    assert without_empty(patched) == without_empty(local(patch, kind))


def local(patch, kind: str) -> dict:
    command = [
        KUBECTL,
        "patch",
        "--local",
        "--dry-run=client",
        "-f",
        "-",
        "--type",
        kind,
        "-p",
        json.dumps(patch),
        "-o",
        "json",
    ]
    done = subprocess.run(
        command, input=json.dumps(LIVE), capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def without_empty(value):
    """Return a value as a typed client writes it: empty lists and maps are left out."""
    if isinstance(value, dict):
        full = {key: without_empty(content) for key, content in value.items()}
        return {
            key: content
            for key, content in full.items()
            if content not in ({}, [], None) or key == "emptyDir"
        }
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def env_of(obj: dict) -> list[str]:
    return [each["name"] for each in obj["spec"]["template"]["spec"]["containers"][0]["env"]]


def test_a_strategic_patch_orders_lists() -> None:
    assert env_of(strategic_merge(LIVE, STRATEGIC["order"], DEPLOYMENT)) == ["B", "C", "A"]
    assert env_of(strategic_merge(LIVE, STRATEGIC["item is added"], DEPLOYMENT)) == ["D", "A", "B", "C"]
    assert env_of(strategic_merge(LIVE, STRATEGIC["list is replaced"], DEPLOYMENT)) == ["Z"]


@pytest.mark.parametrize("patch", STRATEGIC.values(), ids=STRATEGIC)
def test_a_strategic_patch_is_idempotent(patch: dict) -> None:
    once = strategic_merge(LIVE, patch, DEPLOYMENT)

    assert strategic_merge(once, patch, DEPLOYMENT) == once


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"$patch": "merge"}},
        {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}},
        {"spec": {"strategy": {"$retainKeys": "type"}}},
        of_container(**{"$setElementOrder/env": "A"}),
        {"metadata": {"$deleteFromPrimitiveList/finalizers": 1}},
        {"metadata": {"$deleteFromPrimitiveList/labels": ["a"]}},
        {"metadata": {"finalizers": [{"a": 1}]}},
    ],
)
def test_a_strategic_patch_that_makes_no_sense_is_a_400(patch: dict) -> None:
    with pytest.raises(StatusError) as refused:
        strategic_merge(LIVE, patch, DEPLOYMENT)

    assert refused.value.code == 400


@pytest.mark.parametrize("item", [{"value": "1"}, "A"])
def test_an_item_without_its_merge_key_is_kubernetes_own_500(item) -> None:
    with pytest.raises(StatusError, match="does not contain declared merge key: name") as refused:
        strategic_merge(LIVE, of_container(env=[item]), DEPLOYMENT)

    assert refused.value.code == 500


@pytest.mark.parametrize("operations", [{"op": "add"}, "x", None])
def test_a_json_patch_is_a_list(operations) -> None:
    with pytest.raises(StatusError, match="error decoding patch"):
        json_patch({}, operations)
