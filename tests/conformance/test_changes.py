"""Plans and applies: what they rest on, asked of both clusters through the client of the kit."""

import uuid

import pytest
from clusters import Cluster

from opslib.core.clock import SystemClock
from opslib.core.errors import ConflictError, ForbiddenError, ManifestError, NotFoundError
from opslib.core.settings import Environment, Settings
from opslib.kube import Ref, connect_cluster
from opslib.manifests.apply import Applied, apply_plan
from opslib.manifests.model import Manifest
from opslib.manifests.owners import MANAGER, own_fields
from opslib.manifests.plan import plan_apply

IMAGE = "localhost:5000/none:v1"  # it is never pulled: no replica is asked for


@pytest.fixture
def api(cluster: Cluster, tmp_path):
    """A client in a namespace of the test's own."""
    space = Ref("v1", "Namespace", "", f"changes-{uuid.uuid4().hex[:8]}")
    environment = Environment("x", kubeconfig=str(cluster.kubeconfig), namespace=space.name)
    client = connect_cluster(environment, Settings(tmp_path))
    made = client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.name}})
    yield client
    client.delete(space, uid=made["metadata"]["uid"])


def config(api, **data) -> dict:
    metadata = {"name": "settings", "namespace": api.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def shop(**deployment) -> list[dict]:
    labels = {"app": "web"}
    container = {"name": "web", "image": IMAGE, "ports": [{"containerPort": 8080}], "env": [{"name": "A", "value": "1"}],
                 "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}  # fmt: skip
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template, **deployment}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
         "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "hunter22-x"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "info"}},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
         "spec": {"selector": {"matchLabels": labels}, "maxUnavailable": 1}},
    ]  # fmt: skip


def manifests(bodies: list) -> list[Manifest]:
    return [Manifest(body, f"shop.yaml:{n}") for n, body in enumerate(bodies)]


def planned(api, bodies: list, **how):
    return plan_apply(api, manifests(bodies), environment="test", release="shop", **how)


def apply(api, bodies: list, journal=lambda _: None) -> Applied:
    plan = planned(api, bodies).plan
    return apply_plan(api, plan, manifests(bodies), release="shop", journal=journal, clock=SystemClock())


def deployment_of(plan):
    return next(e for e in plan.entries if e.ref.kind == "Deployment")


def test_a_dry_run_answers_with_the_version_that_is_there(api) -> None:
    made = api.apply(config(api, a="1"), manager=MANAGER)

    for data in ({"a": "1"}, {"a": "2"}):
        dry = api.apply(config(api, **data), manager=MANAGER, dry_run=True)
        assert dry["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert own_fields(made) == own_fields(api.apply(config(api, a="2"), manager=MANAGER, dry_run=True))


def test_what_is_asked_of_an_object_that_is_not_as_thought_fails_in_our_words(api) -> None:
    api.apply(config(api, a="1"), manager=MANAGER)
    ref = Ref("v1", "ConfigMap", api.namespace, "settings")
    stale = {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}

    with pytest.raises(ConflictError):
        api.patch(ref, [stale, {"op": "replace", "path": "/data/a", "value": "2"}])
    with pytest.raises(ConflictError):
        api.delete(ref, uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(ConflictError) as owned:
        api.apply(config(api, a="3"), manager="other")
    assert owned.value.owners == ((".data.a", MANAGER),)
    with pytest.raises(ManifestError):
        api.apply({**config(api), "data": {"a": 1}}, manager=MANAGER)
    with pytest.raises(ManifestError, match="dta"):
        api.apply({**config(api), "dta": {}}, manager=MANAGER)
    with pytest.raises(NotFoundError):
        api.apply({**config(api), "metadata": {"name": "a", "namespace": "nowhere-at-all"}}, manager=MANAGER)
    with pytest.raises(NotFoundError, match="no kind Nonsense"):
        api.kind("apps/v1", "Nonsense")


def test_a_missing_right_is_named(api, cluster, tmp_path) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "nobody", "namespace": api.namespace},
    }
    api.apply(account, manager=MANAGER)
    path = f"api/v1/namespaces/{api.namespace}/serviceaccounts/nobody/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    status, token = cluster.call("POST", path, asked)
    assert status == 201
    nobody = connect_cluster(
        Environment("x", kubeconfig=str(cluster.kubeconfig), namespace=api.namespace), Settings(tmp_path)
    )
    configuration = nobody._transport._configuration
    configuration.cert_file = configuration.key_file = configuration.refresh_api_key_hook = None
    configuration.api_key = dict.fromkeys(
        ("BearerToken", "authorization"), f"Bearer {token['status']['token']}"
    )
    nobody = type(nobody)(type(nobody._transport)(configuration), SystemClock(), namespace=api.namespace)

    with pytest.raises(ForbiddenError, match=f"the right to patch configmaps in {api.namespace} is missing"):
        nobody.apply(config(api), manager=MANAGER)
    assert not nobody.may("patch", nobody.kind("v1", "ConfigMap"), api.namespace)
    assert nobody.identity() == nobody._transport.host


def test_a_plan_after_an_apply_is_empty_and_what_left_the_set_is_pruned(api) -> None:
    done = apply(api, shop())

    assert (len(done.written), done.failed) == (5, {})
    assert planned(api, shop()).counts() == {"unchanged": 5}

    apply(api, shop()[:3])
    assert planned(api, shop()[:3]).counts() == {"unchanged": 3}
    assert api.get(Ref("v1", "ConfigMap", api.namespace, "settings")) is None


def test_a_change_is_told_field_by_field_and_the_immutable_one_is_named(api) -> None:
    apply(api, shop())
    other = shop(minReadySeconds=3)
    other[0]["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "B", "value": "2"}]
    labels = {"app": "web", "new": "1"}
    template = {**other[0]["spec"]["template"], "metadata": {"labels": labels}}

    where = '.spec.template.spec.containers[name="web"].env'
    assert [str(c) for c in deployment_of(planned(api, other)).changes] == [
        ".spec.minReadySeconds: none -> 3",
        f"{where}[name=\"A\"]: {{'name': 'A', 'value': '1'}} -> none",
        f"{where}[name=\"B\"]: none -> {{'name': 'B', 'value': '2'}}",
    ]
    moved = deployment_of(planned(api, shop(selector={"matchLabels": labels}, template=template)))
    assert (moved.action, moved.immutable) == ("conflict", ("spec.selector",))


def test_fields_of_others_are_a_conflict_unless_they_may_be_taken(api) -> None:
    apply(api, shop())
    body = {**shop(minReadySeconds=5)[0], "metadata": {"name": "web", "namespace": api.namespace}}
    api.apply(body, manager="helm", force=True)

    blocked = planned(api, shop(minReadySeconds=4)).blocked
    taken = deployment_of(planned(api, shop(minReadySeconds=4), take_over=["helm"]))

    assert [e.foreign for e in blocked] == [((".spec.minReadySeconds", "helm"),)]
    assert [(str(c), c.owners) for c in taken.changes] == [(".spec.minReadySeconds: 5 -> 4", ("helm",))]


def test_replicas_never_fall_while_an_autoscaler_takes_them_over(api) -> None:
    autoscaler = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 3,
                 "maxReplicas": 4},
    }  # fmt: skip
    bodies = [*shop(replicas=3), autoscaler]
    apply(api, bodies[:-1])
    seen: set[int] = set()
    ref = Ref("apps/v1", "Deployment", api.namespace, "web")

    apply(api, bodies, journal=lambda _: seen.add(api.get(ref)["spec"]["replicas"]))

    assert seen == {3}
    assert planned(api, bodies).counts() == {"unchanged": 6}


def test_a_definition_and_a_namespace_come_before_what_is_in_them(api) -> None:
    group, space = f"{api.namespace}.example", f"{api.namespace}-new"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"tills.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Till", "plural": "tills"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}]},
    }  # fmt: skip
    till = {
        "apiVersion": f"{group}/v1",
        "kind": "Till",
        "metadata": {"name": "one", "namespace": space},
        "spec": {"a": 1},
    }
    bodies = [till, definition, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}]

    done = apply(api, bodies)

    assert (len(done.written), done.failed) == (3, {})
    assert planned(api, bodies).counts() == {"unchanged": 3}
    for ref, uid in done.written.items():
        if not ref.namespace:
            api.delete(ref, uid=uid)


def test_a_watch_tells_what_a_list_would(api) -> None:
    watch = api.watch(api.kind("v1", "ConfigMap"), api.namespace, fields="metadata.name=settings")
    ref = Ref("v1", "ConfigMap", api.namespace, "settings")
    told = []
    for change in watch:
        told.append(change.type)
        if told == ["QUIET"]:
            api.apply(config(api, a="1"), manager=MANAGER)
        elif change.type == "ADDED":
            api.apply(config(api, a="2"), manager=MANAGER)
        elif change.type == "MODIFIED":
            api.delete(ref, uid=change.object["metadata"]["uid"])
        elif change.type == "DELETED":
            break
    watch.close()

    assert [t for t in told if t != "QUIET"] == ["ADDED", "MODIFIED", "DELETED"]
