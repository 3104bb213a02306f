"""The official Python client against the practice cluster: typed, watches, logs, dynamic, scale, apply."""

from pathlib import Path

import pytest
from cluster_server import Practice, until
from kubernetes import client, config, dynamic, watch
from kubernetes.client import ApiException

pytestmark = pytest.mark.lab

SHOP = "python"


@pytest.fixture(scope="module")
def api(practice: Practice) -> client.ApiClient:
    found = config.new_client_from_config(str(practice.kubeconfig))
    client.CoreV1Api(found).create_namespace({"metadata": {"name": SHOP}})
    return found


@pytest.fixture
def core(api) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def apps(api) -> client.AppsV1Api:
    return client.AppsV1Api(api)


def deployment(name: str, replicas: int = 1, image: str = "web:v1") -> dict:
    container = {"name": "c", "image": image, "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }


def test_version_says_practice(api) -> None:
    version = client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "34")
    assert "practice" in version.git_version


def test_typed_objects_are_written_read_and_deleted(core) -> None:
    made = core.create_namespaced_config_map(
        SHOP, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed"), data={"a": "1"})
    )
    assert (made.kind, made.api_version, made.data) == ("ConfigMap", "v1", {"a": "1"})
    assert made.metadata.managed_fields[0].manager == "OpenAPI-Generator"

    made.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("typed", SHOP, made)
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("typed", SHOP, made)
    patched = core.patch_namespaced_config_map("typed", SHOP, {"data": {"a": None}})
    by_json = [{"op": "add", "path": "/data/c", "value": "3"}]
    assert core.patch_namespaced_config_map("typed", SHOP, by_json).data == {"b": "2", "c": "3"}
    deleted = core.delete_namespaced_config_map("typed", SHOP)

    assert (stale.value.status, replaced.data, patched.data) == (409, {"a": "1", "b": "2"}, {"b": "2"})
    assert (deleted["status"], deleted["details"]["uid"]) == ("Success", made.metadata.uid)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("typed", SHOP)
    assert (missing.value.status, missing.value.reason) == (404, "Not Found")


def test_dry_run_keeps_nothing(core) -> None:
    made = core.create_namespaced_config_map(SHOP, {"metadata": {"name": "dry"}}, dry_run="All")
    assert made.metadata.uid
    assert made.metadata.resource_version is None
    assert "dry" not in {item.metadata.name for item in core.list_namespaced_config_map(SHOP).items}


def test_a_deployment_rolls_out_and_is_scaled(api, apps, core) -> None:
    apps.create_namespaced_deployment(SHOP, deployment("roll", 2))
    seen = []
    for event in watch.Watch().stream(
        apps.list_namespaced_deployment, SHOP, field_selector="metadata.name=roll", timeout_seconds=60
    ):
        seen.append(event["object"].status.available_replicas or 0)
        if seen[-1] == 2:
            break
    assert seen == sorted(seen)

    apps.patch_namespaced_deployment_scale("roll", SHOP, {"spec": {"replicas": 1}})
    scale = apps.read_namespaced_deployment_scale("roll", SHOP)
    assert (scale.kind, scale.spec.replicas, scale.status.selector) == ("Scale", 1, "app=roll")
    until(lambda: len(core.list_namespaced_pod(SHOP, label_selector="app=roll").items) == 1)
    assert apps.read_namespaced_deployment("roll", SHOP).metadata.generation == 2

    apps.delete_namespaced_deployment("roll", SHOP, propagation_policy="Foreground")
    until(lambda: not core.list_namespaced_pod(SHOP, label_selector="app=roll").items)
    until(lambda: not apps.list_namespaced_replica_set(SHOP, label_selector="app=roll").items)


def test_pods_tell_their_state_and_log(core) -> None:
    pod = {
        "metadata": {"name": "once"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "once"}]},
    }
    core.create_namespaced_pod(SHOP, pod)
    done = until(lambda: (p := core.read_namespaced_pod("once", SHOP)).status.phase == "Succeeded" and p)
    assert done.status.container_statuses[0].state.terminated.exit_code == 0
    assert core.read_namespaced_pod_log("once", SHOP) == "done\n"
    with pytest.raises(ApiException, match="container nope is not valid for pod once"):
        core.read_namespaced_pod_log("once", SHOP, container="nope")
    core.delete_namespaced_pod("once", SHOP)


def test_a_watch_goes_on_where_a_list_ended(core) -> None:
    core.create_namespaced_config_map(SHOP, {"metadata": {"name": "w1"}})
    listed = core.list_namespaced_config_map(SHOP)
    core.create_namespaced_config_map(SHOP, {"metadata": {"name": "w2"}})
    core.delete_namespaced_config_map("w1", SHOP)
    told = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(
            core.list_namespaced_config_map,
            SHOP,
            resource_version=listed.metadata.resource_version,
            timeout_seconds=1,
        )
    ]
    assert told == [("ADDED", "w2"), ("DELETED", "w1")]


def test_a_watch_from_too_long_ago_is_expired(core, practice: Practice) -> None:
    old = core.list_namespaced_config_map(SHOP).metadata.resource_version
    core.create_namespaced_config_map(SHOP, {"metadata": {"name": "later"}})
    assert practice.call("POST", "/practice/faults", {"compact": True})[0] == 200
    with pytest.raises(ApiException) as expired:
        list(
            watch.Watch().stream(
                core.list_namespaced_config_map, SHOP, resource_version=old, timeout_seconds=5
            )
        )
    assert expired.value.status == 410


def test_pages_follow_one_another(core) -> None:
    for number in range(5):
        core.create_namespaced_secret(SHOP, {"metadata": {"name": f"page{number}", "labels": {"paged": ""}}})
    names, token = [], None
    while token != "":
        page = core.list_namespaced_secret(SHOP, label_selector="paged", limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
    assert names == [f"page{number}" for number in range(5)]


def test_the_dynamic_client_finds_applies_and_watches(api, practice: Practice, tmp_path: Path) -> None:
    found = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery.json"))
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    body = deployment("applied", 0)
    deployments.server_side_apply(body, namespace=SHOP, name="applied", field_manager="one")
    body["spec"]["replicas"] = 1
    with pytest.raises(dynamic.exceptions.ConflictError, match=r'conflict with \\"one\\": \.spec\.replicas'):
        deployments.server_side_apply(body, namespace=SHOP, name="applied", field_manager="two")
    forced = deployments.server_side_apply(
        body, namespace=SHOP, name="applied", field_manager="two", force_conflicts=True
    )
    assert forced.spec.replicas == 1

    configmaps = found.resources.get(api_version="v1", kind="ConfigMap")
    twice = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "twice"}, "data": {"a": "1"}}
    versions = {
        configmaps.server_side_apply(twice, namespace=SHOP, field_manager="one").metadata.resourceVersion
        for _ in range(2)
    }
    assert len(versions) == 1
    before = configmaps.get(namespace=SHOP).metadata.resourceVersion
    configmaps.create({"metadata": {"name": "dynamic"}}, namespace=SHOP)
    events = configmaps.watch(namespace=SHOP, resource_version=before, timeout=30)
    assert next(e["object"].metadata.name for e in events if e["type"] == "ADDED") == "dynamic"
    with pytest.raises(dynamic.exceptions.NotFoundError):
        configmaps.get(name="nothing", namespace=SHOP)


def test_access_is_reviewed(api) -> None:
    asked = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": SHOP}}}
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(asked)
    assert answer.status.allowed is True
