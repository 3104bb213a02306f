"""Writing and reading objects: conflicts, ownership, refusals with their texts, watches, access."""

import re
import uuid

from clusters import APPLY, MERGE, Cluster, Namespace, until
from workloads import deployment, pod

LONG_S = 60.0


def config(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def apply(ns: Namespace, plural: str, document: dict, manager: str, **query: str) -> tuple[int, dict]:
    path = ns.path(plural, document["metadata"]["name"], fieldManager=manager, **query)
    return ns.cluster.call("PATCH", path, document, content_type=APPLY)


def owners(found: dict) -> list[tuple[str, str, list[str]]]:
    return [
        (m["manager"], m["operation"], sorted(m["fieldsV1"].get("f:data", {})))
        for m in found["metadata"]["managedFields"]
    ]


def test_two_that_apply_the_same_field(ns: Namespace) -> None:
    assert apply(ns, "configmaps", config("a", x="1", y="1"), "one")[0] == 201
    status, refused = apply(ns, "configmaps", config("a", x="2"), "two")

    assert (status, refused["reason"]) == (409, "Conflict")
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert refused["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.x"}
    ]
    status, found = apply(ns, "configmaps", config("a", x="2"), "two", force="true")
    assert (status, found["data"]) == (200, {"x": "2", "y": "1"})
    assert owners(found) == [("one", "Apply", ["f:y"]), ("two", "Apply", ["f:x"])]


def test_what_its_only_owner_no_longer_applies_goes(ns: Namespace) -> None:
    apply(ns, "configmaps", config("a", x="1", y="1"), "one")
    _, found = apply(ns, "configmaps", config("a", x="1"), "one")
    assert found["data"] == {"x": "1"}
    _, again = apply(ns, "configmaps", config("a", x="1"), "one")
    assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


def test_replicas_can_be_handed_over(ns: Namespace) -> None:
    document = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("web", 1)}
    assert apply(ns, "deployments", document, "one")[0] == 201
    ns.patch("deployments", "web", {"spec": {"replicas": 2}}, MERGE, "scale", fieldManager="scaler")
    status, refused = apply(ns, "deployments", document, "one")
    assert status == 409
    assert (
        refused["message"]
        == 'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas'
    )
    del document["spec"]["replicas"]
    status, found = apply(ns, "deployments", document, "one")
    assert (status, found["spec"]["replicas"]) == (200, 2)


def test_a_write_from_an_old_reading_is_refused(ns: Namespace) -> None:
    read = ns.create("configmaps", config("a", x="1"))
    ns.patch("configmaps", "a", {"data": {"x": "2"}}, MERGE)
    refused = ns.refusal("PUT", ns.path("configmaps", "a"), {**read, "data": {"x": "3"}})

    assert refused["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    stale = {"metadata": {"resourceVersion": read["metadata"]["resourceVersion"]}, "data": {"x": "3"}}
    path = ns.path("configmaps", "a")
    assert ns.refusal("PATCH", path, stale, content_type=MERGE)["reason"] == "Conflict"
    test = [
        {"op": "test", "path": "/data/x", "value": "1"},
        {"op": "replace", "path": "/data/x", "value": "3"},
    ]
    refused = ns.refusal("PATCH", path, test, content_type="application/json-patch+json")
    assert (refused["code"], refused["message"]) == (
        422, "the server rejected our request due to an error in our request",
    )  # fmt: skip
    assert ns.get("configmaps", "a")["data"] == {"x": "2"}


def test_a_dry_run_changes_nothing(ns: Namespace) -> None:
    made = ns.create("configmaps", config("a", x="1"), dryRun="All")
    assert made["metadata"]["uid"]
    assert "resourceVersion" not in made["metadata"]
    assert ns.refusal("GET", ns.path("configmaps", "a"))["message"] == 'configmaps "a" not found'
    kept = ns.create("configmaps", config("a", x="1"))
    tried = ns.patch("configmaps", "a", {"data": {"x": "2"}}, MERGE, dryRun="All")
    assert tried["data"] == {"x": "2"}
    assert tried["metadata"]["resourceVersion"] == kept["metadata"]["resourceVersion"]
    assert ns.get("configmaps", "a")["data"] == {"x": "1"}


def test_what_a_kind_does_not_know_is_told(ns: Namespace) -> None:
    document = deployment("web")
    document["spec"]["replicaz"] = 1
    refused = ns.refusal("POST", ns.path("deployments", fieldValidation="Strict"), document)
    assert (refused["code"], refused["message"]) == (
        400,
        (
            'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
            'unknown field "spec.replicaz"'
        ),
    )
    connection, answer = ns.cluster.open("POST", ns.path("deployments", fieldValidation="Warn"), document)
    assert answer.status == 201
    assert answer.headers["Warning"] == r'299 - "unknown field \"spec.replicaz\""'
    connection.close()


def test_refusals_name_the_field(ns: Namespace) -> None:
    ns.create("deployments", deployment("web"))
    path = ns.path("deployments", "web")
    refused = ns.refusal(
        "PATCH", path, {"spec": {"selector": {"matchLabels": {"app": "x"}}}}, content_type=MERGE
    )
    assert refused["reason"] == "Invalid"
    assert {"spec.selector"} <= {c["field"] for c in refused["details"]["causes"]}
    assert any("field is immutable" in c["message"] for c in refused["details"]["causes"])
    bad = {"metadata": {"name": "Bad_Name"}}
    refused = ns.refusal("POST", ns.path("configmaps"), bad)
    assert refused["details"]["causes"][0]["field"] == "metadata.name"
    assert "a lowercase RFC 1123 subdomain must consist of" in refused["message"]
    empty = {"metadata": {"name": "empty"}, "spec": {"selector": {}, "template": {}}}
    refused = ns.refusal("POST", ns.path("deployments"), empty)
    assert {c["field"] for c in refused["details"]["causes"]} >= {
        "spec.selector",
        "spec.template.spec.containers",
    }
    wrong = deployment("web")
    wrong["spec"]["replicas"] = "two"
    refused = ns.refusal("POST", ns.path("deployments"), wrong)
    assert refused["message"] == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    )
    ns.create("configmaps", config("twice"))
    refused = ns.refusal("POST", ns.path("configmaps"), config("twice"))
    assert (refused["code"], refused["reason"], refused["message"]) == (
        409, "AlreadyExists", 'configmaps "twice" already exists',
    )  # fmt: skip


def test_deletion_waits_for_finalizers_and_asks_for_the_right_one(ns: Namespace) -> None:
    made = ns.create(
        "configmaps", {"metadata": {"name": "a", "finalizers": ["opslib.example/held"]}, "data": {}}
    )
    refused = ns.refusal("DELETE", ns.path("configmaps", "a"), {"preconditions": {"uid": "other"}})
    assert refused["code"] == 409
    assert f"does not match the UID in record ({made['metadata']['uid']})" in refused["message"]
    going = ns.delete("configmaps", "a")
    assert going["metadata"]["deletionTimestamp"]
    assert ns.get("configmaps", "a")["metadata"]["finalizers"] == ["opslib.example/held"]
    ns.patch("configmaps", "a", {"metadata": {"finalizers": None}}, MERGE)
    until(lambda: ns.cluster.call("GET", ns.path("configmaps", "a"))[0] == 404)


def test_what_is_owned_goes_with_its_owner(ns: Namespace) -> None:
    ns.create("deployments", deployment("web", 2))
    until(lambda: len(ns.pods("web")) == 2, LONG_S)
    ns.delete("deployments", "web", propagationPolicy="Background")
    until(lambda: not ns.pods("web") and not ns.items("replicasets"), LONG_S)


def test_a_namespace_goes_with_all_that_is_in_it(cluster: Cluster) -> None:
    name = f"conformance-gone-{uuid.uuid4().hex[:8]}"
    inside = Namespace(cluster, name)
    inside.ask("POST", "api/v1/namespaces", {"metadata": {"name": name}})
    inside.create("configmaps", config("a"))
    gone = inside.ask("DELETE", f"api/v1/namespaces/{name}")
    assert gone["status"]["phase"] == "Terminating"
    until(lambda: cluster.call("GET", f"api/v1/namespaces/{name}")[0] == 404, LONG_S)


def test_a_watch_tells_what_changes_and_what_leaves_a_selection(ns: Namespace) -> None:
    with ns.watched("configmaps") as told:
        ns.create("configmaps", config("a", x="1"))
        ns.patch("configmaps", "a", {"data": {"x": "2"}}, MERGE)
        ns.delete("configmaps", "a")
        own = lambda: [e for e in told if e["object"]["metadata"]["name"] == "a"]  # noqa: E731
        until(lambda: len(own()) == 3)
    assert [(e["type"], e["object"]["data"]["x"]) for e in own()] == [
        ("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2"),
    ]  # fmt: skip
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in own()]
    assert versions == sorted(set(versions))


def test_pages_are_of_one_moment(ns: Namespace) -> None:
    for number in range(5):
        ns.create("configmaps", {"metadata": {"name": f"p{number}", "labels": {"page": "1"}}})
    path = ns.path("configmaps", limit="2", labelSelector="page=1")
    first = ns.ask("GET", path)
    ns.create("configmaps", {"metadata": {"name": "p9", "labels": {"page": "1"}}})
    names, page = [i["metadata"]["name"] for i in first["items"]], first
    while more := page["metadata"].get("continue"):
        page = ns.ask("GET", ns.path("configmaps", limit="2", labelSelector="page=1", **{"continue": more}))
        names += [i["metadata"]["name"] for i in page["items"]]
    assert names == [f"p{n}" for n in range(5)]
    refused = ns.refusal("GET", ns.path("configmaps", labelSelector="a b"))
    assert refused["code"] == 400
    assert refused["message"].startswith("unable to parse requirement: found 'b', expected")


def test_a_service_account_may_do_what_its_role_says(ns: Namespace) -> None:
    ns.create("serviceaccounts", {"metadata": {"name": "reader"}})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get"]}]
    ns.create("roles", {"metadata": {"name": "reads-a"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": ns.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads-a"}
    ns.create("rolebindings", {"metadata": {"name": "reads-a"}, "roleRef": role, "subjects": [subject]})
    ns.create("configmaps", config("a"))
    ns.create("configmaps", config("b"))
    asked = {"spec": {"expirationSeconds": 600}}
    token = ns.ask("POST", ns.path("serviceaccounts", "reader", "token"), asked)["status"]["token"]

    until(lambda: ns.cluster.call("GET", ns.path("configmaps", "a"), token=token)[0] == 200)
    refused = ns.refusal("GET", ns.path("configmaps", "b"), token=token)
    user = f"system:serviceaccount:{ns.name}:reader"
    assert refused["message"] == (
        f'configmaps "b" is forbidden: User "{user}" cannot get resource "configmaps" in API group "" '
        f'in the namespace "{ns.name}"'
    )
    review = {
        "spec": {"resourceAttributes": {"namespace": ns.name, "verb": "delete", "resource": "configmaps"}}
    }
    answer = ns.cluster.call(
        "POST", "apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, token=token
    )[1]
    assert answer["status"]["allowed"] is False
    assert ns.refusal("GET", ns.path("configmaps", "a"), token="nonsense")["code"] == 401


def test_a_budget_refuses_an_eviction(ns: Namespace) -> None:
    ns.create(
        "poddisruptionbudgets",
        {
            "metadata": {"name": "web"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        },
    )
    ns.create("deployments", deployment("web"))
    until(lambda: ns.ready("web"), LONG_S)
    until(lambda: ns.get("poddisruptionbudgets", "web")["status"].get("currentHealthy") == 1, LONG_S)
    name = ns.ready("web")[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    refused = ns.refusal("POST", ns.path("pods", name, "eviction"), eviction)
    assert (refused["code"], refused["reason"]) == (429, "TooManyRequests")
    assert refused["message"] == "Cannot evict pod as it would violate the pod's disruption budget."


def test_a_defined_kind_is_checked_by_its_schema(ns: Namespace) -> None:
    group = f"g{uuid.uuid4().hex[:6]}.opslib.example"
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "colour": {"type": "string", "default": "blue"},
                },
            }
        },
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    definition = {
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    crds = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    ns.ask("POST", crds, definition)
    try:
        path = f"apis/{group}/v1/namespaces/{ns.name}/widgets"
        until(lambda: ns.cluster.call("GET", path)[0] == 200)
        widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}}
        made = until(
            lambda: (
                (answer := ns.cluster.call("POST", path, {**widget, "spec": {"size": 2, "more": 1}}))[0]
                == 201
                and answer[1]
            )
        )
        assert made["spec"] == {"size": 2, "colour": "blue"}
        bad = {**widget, "metadata": {"name": "bad"}, "spec": {"size": 0}}
        assert ns.refusal("POST", path, bad)["message"] == (
            f'Widget.{group} "bad" is invalid: spec.size: Invalid value: 0: '
            "spec.size in body should be greater than or equal to 1"
        )
    finally:
        ns.ask("DELETE", f"{crds}/widgets.{group}")


def test_what_may_not_change_of_a_pod(ns: Namespace) -> None:
    ns.create("pods", pod("one"))
    refused = ns.refusal("PATCH", ns.path("pods", "one"), {"spec": {"hostNetwork": True}}, content_type=MERGE)
    assert refused["code"] == 422
    assert re.search(r"pod updates may not change fields other than", refused["message"])
