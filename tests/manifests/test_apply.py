"""An approved plan is applied whole, or what is missing is said; wherever it is cut off, the next one heals it."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sets import AUTOSCALER, DEPLOYMENT, SECRET, manifests, shop

from opslib.core.clock import SystemClock
from opslib.core.errors import ClusterError, RefusedError
from opslib.core.plan import Plan
from opslib.kube import Client, Ref
from opslib.kube.retry import Retry
from opslib.manifests.apply import Applied, apply_plan
from opslib.manifests.inventory import inventory_ref, read_inventory
from opslib.manifests.plan import SetPlan, plan_apply

pytestmark = pytest.mark.lab


def planned(api: Client, bodies: list, release: str = "shop") -> SetPlan:
    return plan_apply(api, manifests(bodies), environment="test", release=release)


def apply(
    api: Client, bodies: list, plan: Plan | None = None, journal=lambda _: None, release: str = "shop"
) -> Applied:
    """As a run does: the plan saved and read again, its secrets from the set."""
    found = plan or planned(api, bodies, release).plan
    saved = Plan.from_dict(json.loads(json.dumps(found.to_dict())))
    return apply_plan(api, saved, manifests(bodies), release=release, journal=journal, clock=SystemClock())


def inventory(api: Client) -> dict[Ref, str]:
    return read_inventory(api, inventory_ref("shop", api.namespace))


def test_a_plan_after_an_apply_is_empty_and_the_release_is_recorded(api) -> None:
    records: list[dict] = []

    done = apply(api, shop(), journal=records.append)

    assert (len(done.written), done.failed, done.not_begun) == (6, {}, ())
    assert planned(api, shop()).counts() == {"unchanged": 6}
    assert inventory(api) == done.written
    assert all(api.get(ref)["metadata"]["uid"] == uid for ref, uid in done.written.items())
    assert [r["phase"] for r in records].count("written") == 6
    assert SECRET not in json.dumps(records)


def test_kinds_follow_each_other_and_each_write_is_journalled_before(api, practice) -> None:
    records: list[dict] = []

    apply(api, shop(), journal=records.append)

    first = {
        r["object"].split()[1]: n for n, r in reversed(list(enumerate(records))) if r["phase"] == "write"
    }
    last = {r["object"].split()[1]: n for n, r in enumerate(records) if r["phase"] == "written"}
    assert max(last["ConfigMap"], last["Secret"]) < first["Service"]
    assert last["Service"] < first["Deployment"] < last["Deployment"] < first["PodDisruptionBudget"]
    assert last["PodDisruptionBudget"] < first["Ingress"]


def test_what_left_the_set_is_deleted_and_forgotten(api) -> None:
    apply(api, shop())
    gone = [ref for ref in inventory(api) if ref.kind in {"Ingress", "PodDisruptionBudget"}]

    done = apply(api, shop()[:4])

    assert {ref for ref, uid in done.written.items() if not uid} == set(gone)
    assert api.get_all(gone) == {}
    assert {ref.kind for ref in inventory(api)} == {"ConfigMap", "Secret", "Deployment", "Service"}


def test_replicas_never_fall_while_they_are_handed_over(api) -> None:
    bodies = [*shop(), AUTOSCALER]
    bodies[DEPLOYMENT]["spec"]["replicas"] = 3
    apply(api, bodies[:-1])
    ref = next(r for r in inventory(api) if r.kind == "Deployment")
    seen = []

    def look(_) -> None:
        seen.append(api.get(ref)["spec"]["replicas"])

    apply(api, bodies, journal=look)

    assert set(seen) == {3}
    assert planned(api, bodies).counts() == {"unchanged": 7}


def test_replicas_come_back_to_the_set_when_its_autoscaler_goes(api) -> None:
    bodies = [*shop(), AUTOSCALER]
    apply(api, shop())
    apply(api, bodies)
    bodies[DEPLOYMENT]["spec"]["replicas"] = 4

    apply(api, bodies[:-1])

    assert planned(api, bodies[:-1]).counts() == {"unchanged": 6}
    assert api.get(next(r for r in inventory(api) if r.kind == "Deployment"))["spec"]["replicas"] == 4


def test_a_definition_is_established_before_its_objects_come(api) -> None:
    group = f"{api.namespace}.example"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"tills.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Till", "plural": "tills"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}]},
    }  # fmt: skip
    space = f"{api.namespace}-new"
    till = {"apiVersion": f"{group}/v1", "kind": "Till", "metadata": {"name": "one", "namespace": space}}
    bodies = [till, definition, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}]

    done = apply(api, bodies)

    assert (len(done.written), done.failed) == (3, {})
    assert planned(api, bodies).counts() == {"unchanged": 3}


def test_a_precondition_that_broke_refuses_all_of_it(api) -> None:
    apply(api, shop())
    bodies = shop()
    bodies[DEPLOYMENT]["spec"]["replicas"] = 3
    bodies[0]["data"] = {"level": "debug"}
    plan = planned(api, bodies).plan
    ref = next(r for r in inventory(api) if r.kind == "Deployment")
    api.patch(ref, [{"op": "replace", "path": "/spec/replicas", "value": 5}])

    with pytest.raises(RefusedError, match=f"{ref} is not what was planned for: fields of it were changed"):
        apply(api, bodies, plan)
    assert api.get(next(r for r in inventory(api) if r.kind == "ConfigMap"))["data"] == {"level": "info"}


def test_a_plan_for_another_cluster_is_refused(api) -> None:
    plan = planned(api, shop()[:1]).plan

    with pytest.raises(RefusedError, match="another cluster"):
        apply(api, shop()[:1], Plan(plan.environment, "other", plan.steps))


def test_where_one_fails_later_kinds_are_not_begun_and_the_next_apply_heals(api, practice) -> None:
    plan = planned(api, shop()).plan
    practice.call("POST", "/practice/faults", {"code": 500, "verb": "patch", "resource": "services"})
    api._retry = Retry(budget_s=0)

    done = apply(api, shop(), plan)

    assert [r.kind for r in done.failed] == ["Service"]
    assert isinstance(next(iter(done.failed.values())), ClusterError)
    assert [r.kind for r in done.not_begun] == ["Deployment", "PodDisruptionBudget", "Ingress"]
    assert set(inventory(api)) == {*done.written, *done.failed, *done.not_begun}

    practice.call("DELETE", "/practice/faults")
    assert planned(api, shop()).counts() == {"unchanged": 2, "create": 4}
    apply(api, shop())
    assert planned(api, shop()).counts() == {"unchanged": 6}


class Killed(BaseException):
    """Nothing of ours runs after it."""


@pytest.mark.parametrize("at", range(0, 13, 3))
def test_cut_off_between_any_two_writes_the_next_apply_heals_and_prunes(api, at) -> None:
    bodies, records = shop(), []

    def journal(record: dict) -> None:
        records.append(record)
        if len(records) > at:
            raise Killed

    if at < 12:
        with pytest.raises(Killed):
            apply(api, bodies, journal=journal)

    rest = bodies[:4]
    apply(api, rest)

    assert planned(api, rest).counts() == {"unchanged": 4}
    assert {ref.kind for ref in inventory(api)} == {"ConfigMap", "Secret", "Deployment", "Service"}
    assert api.list_objects(api.kind("policy/v1", "PodDisruptionBudget"), api.namespace) == []


@pytest.mark.parametrize("code", [409, 429, 500, 504])
def test_a_storm_of_faults_is_waited_out(api, practice, code) -> None:
    plan = planned(api, shop()).plan  # whose dry runs the storm would end on
    practice.call(
        "POST", "/practice/faults", {"code": code, "times": 20, "retry_after_s": 0, "verb": "patch"}
    )

    assert apply(api, shop(), plan).failed == {}
    assert planned(api, shop()).counts() == {"unchanged": 6}


NAMES = st.sampled_from(["a", "b", "c"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)
CONFIGS = st.builds(
    lambda name, data: {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data},
    NAMES, st.dictionaries(st.sampled_from(["x", "y", "z.txt"]), TEXTS, max_size=2),
)  # fmt: skip
SECRETS = st.builds(lambda config, texts: {**config, "kind": "Secret", "data": {}, "stringData": texts or config["data"]},
                    CONFIGS, st.none())  # fmt: skip


def deployment(name: str, replicas: int | None, ports: list[int], env: dict[str, str], quantity: str) -> dict:
    container = {
        "name": "c", "image": "gone:v1", "ports": [{"containerPort": p} for p in ports],
        "env": [{"name": n, "value": v} for n, v in env.items()], "resources": {"requests": {"cpu": quantity}},
    }  # fmt: skip
    spec = {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
    }
    spec |= {} if replicas is None else {"replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


DEPLOYMENTS = st.builds(
    deployment, NAMES, st.none() | st.integers(0, 2), st.lists(st.sampled_from([80, 81]), unique=True, max_size=2),
    st.dictionaries(st.sampled_from(["A", "B"]), TEXTS, max_size=2), st.sampled_from(["1", "0.5", "100m", "1500m"]),
)  # fmt: skip
SETS = st.lists(
    CONFIGS | SECRETS | DEPLOYMENTS,
    min_size=1,
    max_size=5,
    unique_by=lambda b: (b["kind"], b["metadata"]["name"]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SETS)
def test_a_plan_after_an_apply_of_any_set_is_empty(api, bodies) -> None:
    assert apply(api, bodies).failed == {}

    assert set(planned(api, bodies).counts()) == {"unchanged"}
