"""Paths and methods as verbs on resources."""

import pytest

from opslib.lab.cluster.paths import group_of, target_of, verb_of
from opslib.lab.cluster.resources import Resources

RESOURCES = Resources()


def parsed(path: str):
    found = group_of(path)
    return target_of(RESOURCES, *found) if found else None


@pytest.mark.parametrize(
    ("path", "resource", "namespace", "name", "part"),
    [
        ("/api/v1/pods", "pods", "", "", ""),
        ("/api/v1/namespaces", "namespaces", "", "", ""),
        ("/api/v1/namespaces/n", "namespaces", "", "n", ""),
        ("/api/v1/namespaces/n/status", "namespaces", "", "n", "status"),
        ("/api/v1/namespaces/n/finalize", "namespaces", "", "n", "finalize"),
        ("/api/v1/namespaces/n/pods", "pods", "n", "", ""),
        ("/api/v1/namespaces/n/pods/p", "pods", "n", "p", ""),
        ("/api/v1/namespaces/n/pods/p/log", "pods", "n", "p", "log"),
        ("/apis/apps/v1/namespaces/n/deployments/d/scale", "deployments.apps", "n", "d", "scale"),
    ],
)
def test_paths(path: str, resource: str, namespace: str, name: str, part: str) -> None:
    target = parsed(path)
    assert (target.resource.name, target.namespace, target.name, target.subresource) == (
        resource,
        namespace,
        name,
        part,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v2/pods",
        "/apis/apps/v2/namespaces/n/deployments",
        "/api/v1/pods/p",
        "/api/v1/namespaces/n/nodes/x",
        "/api/v1/namespaces/n/pods/p/log/more",
        "/api/v1/nothing",
    ],
)
def test_what_is_no_path_of_a_resource(path: str) -> None:
    assert parsed(path) is None


@pytest.mark.parametrize(
    ("method", "path", "query", "verb"),
    [
        ("GET", "/api/v1/pods", {}, "list"),
        ("GET", "/api/v1/pods", {"watch": "True"}, "watch"),
        ("GET", "/api/v1/pods", {"watch": "false"}, "list"),
        ("GET", "/api/v1/namespaces/n/pods/p", {}, "get"),
        ("GET", "/api/v1/namespaces/n/pods/p", {"watch": "1"}, ""),
        ("POST", "/api/v1/namespaces/n/pods", {}, "create"),
        ("POST", "/api/v1/pods", {}, ""),
        ("POST", "/api/v1/namespaces/n/pods/p", {}, ""),
        ("POST", "/api/v1/namespaces/n/pods/p/eviction", {}, "create"),
        ("PUT", "/api/v1/namespaces/n/pods/p", {}, "update"),
        ("PUT", "/api/v1/namespaces/n/pods", {}, ""),
        ("PATCH", "/api/v1/namespaces/n/pods/p/status", {}, "patch"),
        ("DELETE", "/api/v1/namespaces/n/pods/p", {}, "delete"),
        ("DELETE", "/api/v1/namespaces/n/pods", {}, "deletecollection"),
        ("DELETE", "/api/v1/pods", {}, ""),
        ("HEAD", "/api/v1/pods", {}, ""),
    ],
)
def test_verbs(method: str, path: str, query: dict, verb: str) -> None:
    assert verb_of(method, parsed(path), query) == verb


def test_a_list_of_one_name_asks_for_that_name() -> None:
    target = parsed("/api/v1/namespaces/n/pods")
    assert target.ask("list", {"fieldSelector": "status.phase=Running,metadata.name=p"}).name == "p"
    assert target.ask("list", {"fieldSelector": "metadata.name!=p"}).name == ""
    scale = parsed("/apis/apps/v1/namespaces/n/deployments/d/scale").ask("patch", {})
    assert (scale.group, scale.target, scale.name) == ("apps", "deployments/scale", "d")
