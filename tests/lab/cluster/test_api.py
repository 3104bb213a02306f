"""The write path: what is added, kept, counted, refused; how objects end."""

import pytest

from opslib.lab.cluster.api import Api, DeleteOptions, WriteOptions
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Store
from opslib.testing import ManualClock

ME = WriteOptions("me")
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
NOW = DeleteOptions()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def api(clock: ManualClock) -> Api:
    api = Api(Store(), clock)
    api.create("namespaces", "", {"metadata": {"name": "shop"}}, ME)
    api.create("serviceaccounts", "shop", {"metadata": {"name": "default"}}, ME)
    return api


def configmap(name: str = "a", **metadata) -> dict:
    return {"metadata": {"name": name, **metadata}, "data": {"x": "1"}}


def pod(name: str = "p", **spec) -> dict:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "web:v1"}], **spec}}


def deployment(name: str = "d") -> dict:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "web:v1"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


def refusal(call, *args, **kwargs) -> StatusError:
    with pytest.raises(StatusError) as raised:
        call(*args, **kwargs)
    return raised.value


def test_the_server_gives_identity_and_counts_specs(api: Api) -> None:
    made = api.create("deployments.apps", "shop", {**deployment(), "status": {"replicas": 7}}, ME)
    assert made["metadata"]["creationTimestamp"] == "2026-01-31T03:00:00Z"
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["replicas"] == 1
    assert made["status"] == {}

    labelled = api.patch("deployments.apps", "shop", "d", {"metadata": {"labels": {"a": "b"}}}, "merge", ME)
    scaled = api.patch("deployments.apps", "shop", "d", {"spec": {"replicas": 3}}, "strategic", ME)
    assert [o["metadata"]["generation"] for o in (labelled, scaled)] == [1, 2]
    assert "generation" not in api.create("configmaps", "shop", configmap(), ME)["metadata"]


def test_names_are_generated(api: Api) -> None:
    made = api.create("configmaps", "shop", {"metadata": {"generateName": "app-"}}, ME)
    assert made["metadata"]["name"].startswith("app-")
    assert len(made["metadata"]["name"]) == 9
    assert refusal(api.create, "configmaps", "shop", configmap(resourceVersion="1"), ME).code == 500
    api.create("configmaps", "shop", configmap(), ME)
    assert refusal(api.create, "configmaps", "shop", configmap(), ME).reason == "AlreadyExists"


def test_a_write_that_changes_nothing_writes_nothing(api: Api) -> None:
    made = api.create("configmaps", "shop", configmap(), ME)
    other = WriteOptions("other")
    same = [
        api.update("configmaps", "shop", "a", configmap(), other),
        api.patch("configmaps", "shop", "a", {"data": {"x": "1"}}, "merge", other),
        api.patch(
            "configmaps", "shop", "a", [{"op": "test", "path": "/data/x", "value": "1"}], "json", other
        ),
    ]
    assert all(o == made for o in same)


def test_a_write_may_name_the_state_that_it_means(api: Api) -> None:
    made = api.create("configmaps", "shop", configmap(), ME)
    first = api.update("configmaps", "shop", "a", {**made, "data": {"x": "2"}}, ME)
    stale = refusal(api.update, "configmaps", "shop", "a", {**made, "data": {"x": "3"}}, ME)
    assert (stale.code, "the object has been modified" in str(stale)) == (409, True)
    assert stale.body["details"] == {"name": "a", "kind": "configmaps"}
    assert first["metadata"]["managedFields"][0]["manager"] == "me"
    other = refusal(api.update, "configmaps", "shop", "a", configmap(uid="other"), ME)
    assert "UID in precondition: other" in str(other)
    assert refusal(api.update, "configmaps", "shop", "b", configmap(), ME).code == 404
    assert refusal(api.update, "configmaps", "shop", "b", configmap("b"), ME).code == 404
    wrong = refusal(api.patch, "configmaps", "shop", "a", {"metadata": {"name": "b"}}, "merge", ME)
    assert str(wrong) == "the name of the object (b) does not match the name on the URL (a)"


def test_some_kinds_are_never_updated_blindly(api: Api) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "one"}}
    made = api.create("leases.coordination.k8s.io", "shop", lease, ME)
    refused = refusal(api.update, "leases.coordination.k8s.io", "shop", "l", lease, ME)
    assert str(refused) == (
        'leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )
    assert refused.body["details"]["kind"] == "leases"
    assert api.update("leases.coordination.k8s.io", "shop", "l", made, ME) == made


def test_status_and_object_are_written_apart(api: Api) -> None:
    made = api.create("deployments.apps", "shop", deployment(), ME)
    both = {**made, "spec": {**made["spec"], "replicas": 5}, "status": {"replicas": 2}}
    both["metadata"] = {**made["metadata"], "annotations": {"a": "b"}, "labels": {"l": "m"}}
    told = api.update("deployments.apps", "shop", "d", both, WriteOptions("controller"), subresource="status")
    assert (told["spec"]["replicas"], told["status"], told["metadata"]["generation"]) == (
        1,
        {"replicas": 2},
        1,
    )
    assert told["metadata"]["annotations"] == {"a": "b"}
    assert "labels" not in told["metadata"]
    entry = next(m for m in told["metadata"]["managedFields"] if m["manager"] == "controller")
    assert entry["subresource"] == "status"
    written = api.patch(
        "deployments.apps", "shop", "d", {"status": {"replicas": 9}, "spec": {"paused": True}}, "merge", ME
    )
    assert (written["status"], written["spec"]["paused"]) == ({"replicas": 2}, True)


def test_the_scale_is_a_view_of_the_replicas(api: Api) -> None:
    api.create("deployments.apps", "shop", deployment(), ME)
    scale = api.get_scale("deployments.apps", "shop", "d")
    assert (scale["spec"], scale["status"]) == ({"replicas": 1}, {"replicas": 0, "selector": "app=d"})
    by = WriteOptions("hpa")
    after = api.patch(
        "deployments.apps", "shop", "d", {"spec": {"replicas": 4}}, "merge", by, subresource="scale"
    )
    assert (after["kind"], after["spec"]["replicas"]) == ("Scale", 4)
    stale = {**scale, "spec": {"replicas": 5}}
    assert refusal(api.update, "deployments.apps", "shop", "d", stale, by, subresource="scale").code == 409
    live = api.get("deployments.apps", "shop", "d")
    assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (4, 2)
    entry = next(m for m in live["metadata"]["managedFields"] if m["manager"] == "hpa")
    assert (entry["subresource"], entry["fieldsV1"]) == ("scale", {"f:spec": {"f:replicas": {}}})


def test_a_dry_run_keeps_nothing(api: Api) -> None:
    dry, before = WriteOptions("me", dry_run=True), api.store.revision
    made = api.create("deployments.apps", "shop", deployment(), dry)
    assert made["metadata"]["uid"]
    assert "resourceVersion" not in made["metadata"]
    assert api.store.revision == before
    live = api.create("configmaps", "shop", configmap(), ME)
    patched = api.patch("configmaps", "shop", "a", {"data": {"x": "2"}}, "merge", dry)
    assert patched["data"] == {"x": "2"}
    assert patched["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
    api.delete("configmaps", "shop", "a", DeleteOptions(dry_run=True))
    assert api.get("configmaps", "shop", "a") == live


def test_server_side_apply_owns_conflicts_and_forces(api: Api) -> None:
    def applied(value: str) -> dict:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"a": value}}

    first = api.patch("configmaps", "shop", "s", applied("1"), "apply", WriteOptions("one"))
    assert api.patch("configmaps", "shop", "s", applied("1"), "apply", WriteOptions("one")) == first
    refused = refusal(api.patch, "configmaps", "shop", "s", applied("2"), "apply", WriteOptions("two"))
    assert str(refused) == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    forced = api.patch("configmaps", "shop", "s", applied("2"), "apply", WriteOptions("two", force=True))
    assert [m["manager"] for m in forced["metadata"]["managedFields"]] == ["two"]
    nobody = refusal(api.patch, "configmaps", "shop", "s", applied("1"), "apply", WriteOptions(""))
    assert nobody.code == 422
    wrong = {**applied("1"), "apiVersion": "v2"}
    assert "invalid object type: v2" in str(refusal(api.patch, "configmaps", "shop", "s", wrong, "apply", ME))
    managed = applied("1") | {"metadata": {"name": "s", "managedFields": []}}
    assert "must be nil" in str(refusal(api.patch, "configmaps", "shop", "s", managed, "apply", ME))


def test_managers_are_forgotten_on_request(api: Api) -> None:
    made = api.create("configmaps", "shop", configmap(), ME)
    bare = {**made, "metadata": {**made["metadata"], "managedFields": []}}
    cleared = api.update("configmaps", "shop", "a", bare, ME)
    assert "managedFields" not in cleared["metadata"]
    changed = api.patch("configmaps", "shop", "a", {"data": {"x": "2"}}, "merge", ME)
    assert "managedFields" not in changed["metadata"]


def test_unknown_fields_by_how_strict_one_is(api: Api) -> None:
    odd = {**configmap(), "dataa": {}}
    warned = WriteOptions("me", validation="Warn")
    assert "dataa" not in api.create("configmaps", "shop", odd, warned)
    assert warned.warnings == ['unknown field "dataa"']
    strict = WriteOptions("me", validation="Strict")
    assert refusal(api.create, "configmaps", "shop", odd, strict).code == 400
    refused = refusal(api.patch, "configmaps", "shop", "a", {"dataa": {"b": "c"}}, "merge", strict)
    assert (refused.code, 'strict decoding error: unknown field "dataa"' in str(refused)) == (422, True)


def test_finalizers_hold_an_object(api: Api) -> None:
    api.create("configmaps", "shop", configmap(finalizers=["ex.io/wait"]), ME)
    held = api.delete("configmaps", "shop", "a", NOW)
    assert held["metadata"]["deletionTimestamp"] == "2026-01-31T03:00:00Z"
    assert api.delete("configmaps", "shop", "a", NOW) == held
    api.patch("configmaps", "shop", "a", {"metadata": {"finalizers": None}}, "merge", ME)
    assert refusal(api.get, "configmaps", "shop", "a").code == 404


def test_foreground_and_orphan_wait_for_the_collector(api: Api) -> None:
    api.create("deployments.apps", "shop", deployment(), ME)
    held = api.delete("deployments.apps", "shop", "d", DeleteOptions("Foreground"))
    assert (held["metadata"]["finalizers"], held["metadata"]["generation"]) == (["foregroundDeletion"], 2)
    api.create("deployments.apps", "shop", deployment("e"), ME)
    assert api.delete("deployments.apps", "shop", "e", DeleteOptions("Orphan"))["metadata"]["finalizers"] == [
        "orphan"
    ]


def test_a_pod_that_runs_has_its_grace(api: Api) -> None:
    api.create("pods", "shop", pod(terminationGracePeriodSeconds=20), ME)
    api.bind("shop", "p", "practice")
    ending = api.delete("pods", "shop", "p", NOW)["metadata"]
    assert (ending["deletionTimestamp"], ending["deletionGracePeriodSeconds"]) == ("2026-01-31T03:00:20Z", 20)
    shorter = api.delete("pods", "shop", "p", DeleteOptions(grace_s=5))["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert api.delete("pods", "shop", "p", DeleteOptions(grace_s=9))["metadata"] == shorter
    api.delete("pods", "shop", "p", DeleteOptions(grace_s=0))
    assert refusal(api.get, "pods", "shop", "p").code == 404
    api.create("pods", "shop", pod("unbound"), ME)
    api.delete("pods", "shop", "unbound", NOW)
    assert api.list("pods", "shop") == []


def test_a_pod_gets_token_tolerations_and_class(api: Api) -> None:
    made = api.create("pods", "shop", pod(), ME)
    spec = made["spec"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert spec["volumes"][0]["name"] == mount["name"]
    assert (spec["serviceAccountName"], len(spec["tolerations"])) == ("default", 2)
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    limits = {"limits": {"cpu": "1", "memory": "1Mi"}}
    full = pod("q", automountServiceAccountToken=False)
    full["spec"]["containers"][0]["resources"] = limits
    guaranteed = api.create("pods", "shop", full, ME)
    assert (guaranteed["status"]["qosClass"], guaranteed["spec"].get("volumes")) == ("Guaranteed", None)
    nobody = refusal(api.create, "pods", "shop", pod("r", serviceAccountName="nobody"), ME)
    assert 'serviceaccount "nobody" not found' in str(nobody)


def test_services_have_addresses_of_their_own(api: Api) -> None:
    ports = [{"port": 80}]
    one = api.create("services", "shop", {"metadata": {"name": "one"}, "spec": {"ports": ports}}, ME)
    two = api.create("services", "shop", {"metadata": {"name": "two"}, "spec": {"ports": ports}}, ME)
    address = one["spec"]["clusterIP"]
    assert one["spec"]["clusterIPs"] == [address] != two["spec"]["clusterIPs"]
    again = {"metadata": {"name": "one"}, "spec": {"ports": [{"port": 81}]}}
    assert api.update("services", "shop", "one", again, ME)["spec"]["clusterIP"] == address
    taken = {"metadata": {"name": "three"}, "spec": {"ports": ports, "clusterIP": address}}
    assert refusal(api.create, "services", "shop", taken, ME).code == 422
    api.delete("services", "shop", "one", NOW)
    assert api.create("services", "shop", taken, ME)["spec"]["clusterIP"] == address
    headless = {"metadata": {"name": "h"}, "spec": {"ports": ports, "clusterIP": "None"}}
    assert api.create("services", "shop", headless, ME)["spec"]["clusterIP"] == "None"


def test_namespaces_are_needed_and_end_last(api: Api) -> None:
    assert str(refusal(api.create, "configmaps", "none", configmap(), ME)) == 'namespaces "none" not found'
    elsewhere = refusal(api.create, "configmaps", "shop", configmap(namespace="x"), ME)
    assert "does not match the namespace sent on the request" in str(elsewhere)
    made = api.get("namespaces", "", "shop")
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert (made["spec"], made["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    ending = api.delete("namespaces", "", "shop", NOW)
    assert ending["status"]["phase"] == "Terminating"
    late = refusal(api.create, "configmaps", "shop", configmap(), ME)
    assert (late.code, late.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    api.update("namespaces", "", "shop", {**ending, "spec": {"finalizers": []}}, ME, subresource="finalize")
    assert refusal(api.get, "namespaces", "", "shop").code == 404


def crd(**version) -> dict:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    v1 = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    v2 = {**v1, "name": "v2", "storage": False}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": "ex.io", "scope": "Namespaced", "names": names, "versions": [v1, v2]}
    return {"metadata": {"name": "widgets.ex.io"}, "spec": spec}


def test_definitions_add_resources_and_take_their_objects_along(api: Api, clock: ManualClock) -> None:
    told = []
    api.subscribe(told.append)
    defined = api.create(CRDS, "", crd(), ME)
    assert [e.object.get("status", {}).get("conditions") is None for e in told] == [True, False]
    assert {c["type"] for c in defined["status"]["conditions"]} == {"NamesAccepted", "Established"}
    widget = {"apiVersion": "ex.io/v2", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
    made = api.create("widgets.ex.io", "shop", widget, ME)
    assert (made["apiVersion"], made["metadata"]["generation"]) == ("ex.io/v1", 1)
    assert (
        refusal(api.patch, "widgets.ex.io", "shop", "w", {"spec": {"size": 2}}, "strategic", ME).code == 415
    )
    assert Api(api.store, clock).get("widgets.ex.io", "shop", "w") == made

    api.delete(CRDS, "", "widgets.ex.io", NOW)
    assert api.store.scan("widgets.ex.io") == []
    assert refusal(api.get, CRDS, "", "widgets.ex.io").code == 404
    assert refusal(api.list, "widgets.ex.io").code == 404


def test_a_definition_waits_for_objects_that_wait(api: Api) -> None:
    api.create(CRDS, "", crd(), ME)
    api.create("widgets.ex.io", "shop", {"metadata": {"name": "w", "finalizers": ["ex.io/wait"]}}, ME)
    ending = api.delete(CRDS, "", "widgets.ex.io", NOW)
    assert any(c["type"] == "Terminating" for c in ending["status"]["conditions"])
    api.patch("widgets.ex.io", "shop", "w", {"metadata": {"finalizers": []}}, "merge", ME)
    assert refusal(api.get, CRDS, "", "widgets.ex.io").code == 404


def test_lists_are_selected(api: Api) -> None:
    api.create("configmaps", "shop", configmap("a", labels={"l": "1"}), ME)
    api.create("configmaps", "shop", configmap("b", labels={"l": "2"}), ME)
    assert [o["metadata"]["name"] for o in api.list("configmaps", labels="l in (2,3)")] == ["b"]
    assert [o["metadata"]["name"] for o in api.list("configmaps", fields="metadata.name=a")] == ["a"]
    gone = api.delete_collection("configmaps", "shop", NOW, labels="l=1")
    assert [o["metadata"]["name"] for o in gone] == ["a"]
    assert refusal(api.list, "nonsense").code == 404
