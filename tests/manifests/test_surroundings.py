"""The cluster is asked for what the set refers to, and tells no value of a Secret."""

import base64
import json

import pytest
from sets import DIGEST, good, manifests

from opslib.core.errors import ClusterError
from opslib.kube.retry import Retry
from opslib.manifests.check import check_manifests
from opslib.manifests.surroundings import find_surroundings

pytestmark = pytest.mark.lab


def shop(api) -> list[dict]:
    bodies = good()
    for body in bodies:
        body["metadata"]["namespace"] = api.namespace
    return bodies


def pull_secret(api) -> dict:
    config = base64.b64encode(json.dumps({"auths": {"reg.example": {"auth": "c2VjcmV0"}}}).encode()).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull", "namespace": api.namespace},
            "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": config}}  # fmt: skip


def rules(api, bodies) -> list[str]:
    set_ = manifests(bodies)
    return [
        flaw.rule
        for flaw in check_manifests(set_, namespace=api.namespace, existing=find_surroundings(api, set_))
    ]


def test_what_the_cluster_has_is_found_and_what_it_lacks_is_said(api) -> None:
    bodies = shop(api)
    settings, secret, deployment, *rest = bodies
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = f"reg.example/payment@{DIGEST}"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": api.namespace},
    }

    assert rules(api, [deployment, *rest]) == [
        "reference-missing",
        "reference-missing",
        "pull-secret-missing",
    ]

    for body in (settings, secret, pull_secret(api), {**account, "imagePullSecrets": [{"name": "pull"}]}):
        api.apply(body, manager="test")
    assert rules(api, [deployment, *rest]) == []

    api.apply({**deployment, "spec": {**deployment["spec"], "replicas": 1}}, manager="test")
    pods = api.kind("v1", "Pod")
    for change in api.watch(pods, api.namespace):
        if change.type == "ADDED":
            break
    assert rules(api, rest) == []


def test_values_of_secrets_stay_in_the_cluster(api) -> None:
    api.apply(shop(api)[1], manager="test")

    found = repr(find_surroundings(api, manifests(shop(api)[2:])))

    assert "'password': ''" in found
    assert "hunter22" not in found
    assert base64.b64encode(b"hunter22").decode() not in found


def test_what_cannot_be_asked_for_is_never_said_to_be_missing(api, practice) -> None:
    practice.call("POST", "/practice/faults", {"code": 500, "resource": "secrets"})
    retry, api._retry = api._retry, Retry(budget_s=0)
    try:
        with pytest.raises(ClusterError):
            find_surroundings(api, manifests(shop(api)[2:]))
    finally:
        api._retry = retry
        practice.call("DELETE", "/practice/faults")
