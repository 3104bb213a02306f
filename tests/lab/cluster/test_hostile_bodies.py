"""Whatever a client sends is refused or kept, and never breaks the server: bodies of the wrong shape, everywhere."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opslib.lab.cluster.api import Api, WriteOptions
from opslib.lab.cluster.metadata import with_metadata
from opslib.lab.cluster.parameters import delete_options
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Store
from opslib.testing import ManualClock

ME = WriteOptions("me", validation="Warn")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CONTAINER = {
    "name": "c",
    "image": "web:v1",
    "ports": [{"containerPort": 80}],
    "env": [{"name": "A", "value": "b"}],
    "resources": {"limits": {"cpu": "1", "memory": "1Mi"}},
    "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
}
LABELS = {"matchLabels": {"app": "x"}}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [CONTAINER]}}
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
BODIES = {
    "configmaps": {"data": {"a": "b"}},
    "secrets": {"stringData": {"a": "b"}, "type": "Opaque"},
    "serviceaccounts": {"imagePullSecrets": [{"name": "s"}]},
    "pods": {"spec": {"containers": [CONTAINER], "volumes": [{"name": "v", "emptyDir": {}}]}},
    "services": {"spec": {"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": "http"}]}},
    "deployments.apps": {"spec": {"replicas": 1, "selector": LABELS, "template": TEMPLATE}},
    "jobs.batch": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}}},
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": "50%", "selector": LABELS}},
    "ingresses.networking.k8s.io": {
        "spec": {
            "rules": [
                {"host": "h", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}
            ]
        }
    },
    "horizontalpodautoscalers.autoscaling": {
        "spec": {
            "maxReplicas": 2,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        }
    },
    "roles.rbac.authorization.k8s.io": {
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    },
}


@st.composite
def broken(draw: st.DrawFn, value: Any) -> Any:
    """The value with one part of it, at any depth, replaced by something else."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(JSON)
    if isinstance(value, dict):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: draw(broken(value[key]))}
    return [draw(broken(value[0])), *value[1:]]


@pytest.fixture(scope="module")
def api() -> Api:
    api = Api(Store(), ManualClock())
    api.create("namespaces", "", {"metadata": {"name": "shop"}}, ME)
    api.create("serviceaccounts", "shop", {"metadata": {"name": "default"}}, ME)
    for resource, body in BODIES.items():
        api.create(resource, "shop", {"metadata": {"name": "kept"}, **body}, ME)
    return api


def code(call: Any, *args: Any, **options: Any) -> int:
    try:
        call(*args, **options)
    except StatusError as error:
        return error.code
    return 200


@pytest.mark.parametrize("resource", BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bodies_of_the_wrong_shape(api: Api, resource: str, data: st.DataObject) -> None:
    body = data.draw(broken({"metadata": {"labels": {"a": "b"}, "name": "n"}, **BODIES[resource]}))
    if not isinstance(body, dict):
        return
    dry = WriteOptions("me", dry_run=True, validation="Warn")
    assert code(api.create, resource, "shop", body, dry) < 500 or "resourceVersion" in body["metadata"]
    for patch_type in ("merge", "strategic", "apply"):
        assert code(api.patch, resource, "shop", "kept", body, patch_type, dry) <= 500
    named = body if not isinstance(body.get("metadata"), dict) else with_metadata(body, name="kept")
    assert code(api.update, resource, "shop", "kept", named, dry) < 500


@given(operations=JSON | st.lists(st.fixed_dictionaries({"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": st.sampled_from(["", "/", "/data", "/data/a", "/metadata", "/metadata/name", "/kind"]), "value": JSON, "from": st.sampled_from(["", "/data"])}), max_size=3))  # fmt: skip
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_patches_of_the_wrong_shape(api: Api, operations: Any) -> None:
    dry = WriteOptions("me", dry_run=True)
    assert code(api.patch, "configmaps", "shop", "kept", operations, "json", dry) < 500
    assert (
        code(api.patch, "deployments.apps", "shop", "kept", operations, "json", dry, subresource="scale")
        < 500
    )


@given(body=JSON)
def test_delete_options_of_the_wrong_shape(body: Any) -> None:
    given_options = {
        "preconditions": body,
        "gracePeriodSeconds": body,
        "dryRun": body,
        "propagationPolicy": body,
    }
    for value in (body, *({name: part} for name, part in given_options.items())):
        assert code(delete_options, {}, value) < 500
