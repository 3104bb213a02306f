"""A plan says what the server would do with each object, writes nothing, and tells no secret."""

import base64
import json

import pytest
from sets import AUTOSCALER, DEPLOYMENT, DIGEST, SECRET, manifests, shop

from opslib.core.errors import ClusterError, ForbiddenError, NotFoundError, RefusedError
from opslib.core.plan import Plan
from opslib.kube import Client, Ref, ref_of
from opslib.kube.retry import Retry
from opslib.manifests.inventory import NAME, inventory_ref
from opslib.manifests.owners import HANDOVER, MANAGER
from opslib.manifests.plan import plan_apply, prepare
from opslib.manifests.steps import bodies_of, unmet

pytestmark = pytest.mark.lab


def planned(api: Client, bodies: list, **how):
    return plan_apply(api, manifests(bodies), environment="test", release="shop", **how)


def applied(api: Client, bodies: list) -> None:
    """What an apply of a plan writes."""
    for placed in prepare(api, manifests(bodies), inventory_ref("shop", api.namespace)):
        api.apply(placed.body, manager=MANAGER)


def entry(plan, kind: str):
    (found,) = [e for e in plan.entries if e.ref.kind == kind]
    return found


def test_what_is_not_there_is_created_in_order_and_nothing_is_written(api) -> None:
    plan = planned(api, shop())

    assert [(e.action, e.ref.kind) for e in plan.entries] == [
        ("create", "ConfigMap"), ("create", "Secret"), ("create", "Service"), ("create", "Deployment"),
        ("create", "PodDisruptionBudget"), ("create", "Ingress"),
    ]  # fmt: skip
    assert [step.expects for step in plan.plan.steps] == [{"absent": True}] * 6
    assert api.get_all([e.ref for e in plan.entries]) == {}


def test_a_plan_of_what_was_applied_is_empty_and_its_token_stays(api) -> None:
    first = planned(api, shop()).plan.token
    assert planned(api, shop()).plan.token == first

    applied(api, shop())

    assert planned(api, shop()).counts() == {"unchanged": 6}
    assert planned(api, shop()).plan.steps == ()


def test_a_change_names_its_fields_and_their_prior_values(api) -> None:
    applied(api, shop())
    bodies = shop()
    container = bodies[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]
    container["image"] = f"payment:v3@{DIGEST}"
    del container["envFrom"]

    found = entry(planned(api, bodies), "Deployment")

    where = '.spec.template.spec.containers[name="payment"]'
    assert [str(c) for c in found.changes] == [
        f"{where}.envFrom: [{{'configMapRef': {{'name': 'settings'}}}}] -> none",
        f"{where}.image: 'payment:v2@{DIGEST}' -> 'payment:v3@{DIGEST}'",
    ]
    assert found.drift == ()


def test_no_value_of_a_secret_is_in_a_plan(api) -> None:
    other = shop()
    other[1]["stringData"]["password"] = SECRET + "-new"
    other[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]["env"][0] = {
        "name": "API_KEY",
        "value": SECRET,
    }
    told = []
    for bodies in (shop(), other):
        plan = planned(api, bodies)
        told += [repr(plan), json.dumps(plan.plan.to_dict())]
        applied(api, shop())

    assert entry(plan, "Secret").action == "change"
    for value in (SECRET, base64.b64encode(SECRET.encode()).decode()):
        assert not [text for text in told if value in text]


def test_a_saved_plan_gets_its_secrets_from_the_same_set_alone(api) -> None:
    plan = Plan.from_dict(json.loads(json.dumps(planned(api, shop()).plan.to_dict())))
    inventory = inventory_ref("shop", api.namespace)

    bodies = bodies_of(plan, prepare(api, manifests(shop()), inventory))

    assert {step.object for step in plan.steps} == set(bodies)
    assert bodies[f"v1 Secret {api.namespace}/db"]["data"] == {
        "password": base64.b64encode(SECRET.encode()).decode()
    }
    other = shop()
    other[1]["stringData"]["password"] = "another"
    with pytest.raises(RefusedError, match="not the one that was planned"):
        bodies_of(plan, prepare(api, manifests(other), inventory))


def test_a_precondition_breaks_where_its_fields_change_and_not_where_others_do(api) -> None:
    applied(api, shop())
    bodies = shop()
    bodies[DEPLOYMENT]["spec"]["replicas"] = 3
    (step,) = planned(api, bodies).plan.steps
    ref = Ref.of_identity(step.object)

    def now(**spec) -> str:
        api.patch(ref, [{"op": "add", "path": f"/spec/{key}", "value": value} for key, value in spec.items()])
        return unmet(step.expects, api.get(ref))

    assert unmet(step.expects, api.get(ref)) == ""
    assert now(minReadySeconds=5) == ""
    assert now(replicas=4) == "fields of it were changed"
    assert unmet(step.expects, None) == "it is gone"
    assert "made again" in unmet({**step.expects, "uid": "other"}, api.get(ref))
    assert unmet({"absent": True}, api.get(ref)) == "it is there now"


def test_fields_of_others_are_a_conflict_unless_they_may_be_taken(api) -> None:
    applied(api, shop())
    theirs = shop()[DEPLOYMENT]
    body = {
        **theirs,
        "metadata": {**theirs["metadata"], "namespace": api.namespace},
        "spec": {**theirs["spec"], "replicas": 5},
    }
    api.apply(body, manager="helm", force=True)

    plan = planned(api, shop())
    forced = entry(planned(api, shop(), take_over=["helm"]), "Deployment")

    assert [(e.action, e.foreign) for e in plan.blocked] == [("conflict", ((".spec.replicas", "helm"),))]
    assert (forced.action, forced.force) == ("change", True)
    assert [(str(c), c.owners) for c in forced.drift] == [(".spec.replicas: 5 -> 2", ("helm",))]
    assert planned(api, shop(), take_over=["argocd"]).blocked


def test_what_others_made_alike_is_a_change_of_owners_alone(api) -> None:
    for placed in prepare(api, manifests(shop()[:1]), inventory_ref("shop", api.namespace)):
        api.apply(placed.body, manager="kubectl")

    (found,) = planned(api, shop()[:1]).entries

    assert (found.action, found.changes) == ("change", ())
    assert found.notes == ("no value changes, only who owns the fields",)


def test_an_immutable_field_and_a_refusal_are_named(api) -> None:
    applied(api, shop())
    bodies = shop()
    bodies[DEPLOYMENT]["spec"]["selector"] = {"matchLabels": {"app": "payment", "new": "1"}}
    bodies[DEPLOYMENT]["spec"]["template"]["metadata"] = {"labels": {"app": "payment", "new": "1"}}
    bodies[3]["spec"]["prts"] = []

    plan = planned(api, bodies)

    assert entry(plan, "Deployment").action == "conflict"
    assert entry(plan, "Deployment").immutable == ("spec.selector",)
    assert entry(plan, "Service").action == "refused"
    assert "prts" in entry(plan, "Service").reason
    assert plan.plan.steps == ()


def test_replicas_are_the_autoscalers_after_a_hand_over(api) -> None:
    applied(api, shop())
    bodies = [*shop(), AUTOSCALER]
    bodies[DEPLOYMENT]["spec"]["replicas"] = 1

    plan = planned(api, bodies)

    deployment = entry(plan, "Deployment")
    steps = [s for s in plan.plan.steps if "Deployment" in s.object]
    assert (deployment.action, deployment.changes, deployment.handover) == ("change", (), 2)
    assert [s.action for s in steps] == ["hand over", "change"]
    assert "replicas" not in steps[1].patch["body"]["spec"]

    held = {**steps[1].patch["body"], "spec": steps[0].patch["spec"]}
    api.apply({**held, "metadata": {k: held["metadata"][k] for k in ("name", "namespace")}}, manager=HANDOVER)
    applied(api, bodies)
    assert api.get(deployment.ref)["spec"]["replicas"] == 2
    assert planned(api, bodies).counts() == {"unchanged": 7}


def test_an_autoscaler_of_the_cluster_counts_as_well(api) -> None:
    applied(api, [*shop(), AUTOSCALER])
    bodies = shop()
    bodies[DEPLOYMENT]["spec"]["replicas"] = 4

    assert entry(planned(api, bodies), "Deployment").action == "unchanged"


def test_what_comes_with_the_set_is_not_asked_for_before(api) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tills.shop.example"},
        "spec": {"group": "shop.example", "scope": "Namespaced", "names": {"kind": "Till", "plural": "tills"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}]},
    }  # fmt: skip
    till = {"apiVersion": "shop.example/v1", "kind": "Till", "metadata": {"name": "one"}}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "plan-coming"}}
    inside = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "in", "namespace": "plan-coming"}}

    plan = planned(api, [inside, till, definition, space])

    assert [(e.action, e.ref.kind, bool(e.notes)) for e in plan.entries] == [
        ("create", "Namespace", False), ("create", "CustomResourceDefinition", False),
        ("create", "ConfigMap", True), ("create", "Till", True),
    ]  # fmt: skip
    assert plan.entries[3].ref.namespace == api.namespace
    with pytest.raises(NotFoundError, match=r"shop\.yaml:0: .*no kind Till"):
        planned(api, [till])
    assert entry(planned(api, [inside]), "ConfigMap").action == "refused"
    assert "dta" in entry(planned(api, [{**inside, "dta": {}}, space]), "ConfigMap").reason


def test_what_left_the_set_is_pruned_where_it_is_still_ours(api) -> None:
    applied(api, shop())
    refs = [e.ref for e in planned(api, shop()).entries]
    uids = [api.get(ref)["metadata"]["uid"] for ref in refs]
    uids[0] = "another"
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs", "namespace": api.namespace},
    }
    refs.append(ref_of(theirs))
    uids.append(api.apply(theirs, manager="kubectl")["metadata"]["uid"])
    rows = [[r.api_version, r.kind, r.namespace, r.name, uid] for r, uid in zip(refs, uids, strict=True)]
    inventory = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{NAME}shop", "namespace": api.namespace},
    }
    api.create({**inventory, "stringData": {"objects": json.dumps(rows)}})

    plan = planned(api, shop()[DEPLOYMENT:3], max_prune=6)

    assert [(e.action, e.ref.kind) for e in plan.entries if e.action == "prune"] == [
        ("prune", "Ingress"), ("prune", "PodDisruptionBudget"), ("prune", "Service"), ("prune", "Secret"),
    ]  # fmt: skip
    with pytest.raises(RefusedError, match="6 of 7 objects") as error:
        planned(api, shop()[DEPLOYMENT:3], max_prune=2)
    assert "max_prune=6" in error.value.hint


def test_an_inventory_that_cannot_be_read_stops_the_plan(api) -> None:
    inventory = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{NAME}shop", "namespace": api.namespace},
    }
    api.create({**inventory, "stringData": {"objects": "{"}})

    with pytest.raises(ClusterError, match="no inventory"):
        planned(api, shop())


def test_a_storm_of_faults_changes_no_plan(api, practice) -> None:
    calm = planned(api, shop()).plan.token
    for fault in (
        {"code": 409, "times": 8, "verb": "patch"},
        {"code": 429, "times": 9, "retry_after_s": 0},
        {"code": 500, "times": 9},
    ):
        assert practice.call("POST", "/practice/faults", fault)[0] < 300

    assert planned(api, shop()).plan.token == calm


def test_an_object_that_cannot_be_asked_for_is_named(api, practice) -> None:
    practice.call("POST", "/practice/faults", {"code": 500, "verb": "patch", "resource": "services"})
    api._retry = Retry(budget_s=0)

    with pytest.raises(ClusterError, match=rf"^Service {api.namespace}/payment \(shop\.yaml:3\): "):
        planned(api, shop())


def test_a_missing_right_is_named_before_anything_is_asked_of_the_rest(api, practice) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "nobody", "namespace": api.namespace},
    }
    api.apply(account, manager="test")
    path = f"/api/v1/namespaces/{api.namespace}/serviceaccounts/nobody/token"
    token = practice.call("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})[1]
    api._transport._configuration.api_key = {"BearerToken": f"Bearer {token['status']['token']}"}
    api._transport._configuration.refresh_api_key_hook = None
    try:
        with pytest.raises(ForbiddenError, match="is missing"):
            planned(api, shop())
    finally:
        api._transport._configuration.api_key = {"BearerToken": f"Bearer {practice.token}"}
