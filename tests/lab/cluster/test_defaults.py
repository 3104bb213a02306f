"""Defaults are those of Kubernetes 1.34, complete what is missing, and change nothing the second time."""

import copy

import pytest

from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.defaults import apply_defaults, generated
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.schema import schema_of

RESOURCES = Resources()
META = {"name": "x", "uid": "u1"}


def completed(kind: str, **fields):
    resource = next(r for r in RESOURCES if r.kind == kind)
    given = {"apiVersion": resource.api_version, "kind": kind, "metadata": META, **fields}
    obj, unknown = decode(schema_of(resource), resource, given)
    assert not unknown
    before = copy.deepcopy(obj)
    complete = apply_defaults(resource, obj)
    assert obj == before, "the argument is left alone"
    assert apply_defaults(resource, complete) == complete
    return complete


def pod_spec(**container):
    return {"containers": [{"name": "c", "image": "demo:v1", **container}]}


FILLED_POD = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
}
FILLED_CONTAINER = {
    "name": "c",
    "image": "demo:v1",
    "imagePullPolicy": "IfNotPresent",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def test_deployment_is_as_recorded() -> None:
    probe = {"httpGet": {"port": 8080}, "timeoutSeconds": 0}
    container = {"ports": [{"containerPort": 8080}], "readinessProbe": probe}
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(**container)}
    obj = completed("Deployment", spec={"selector": {"matchLabels": labels}, "template": template})

    filled_probe = {
        "httpGet": {"path": "/", "port": 8080, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    filled = {
        **FILLED_CONTAINER,
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": filled_probe,
    }
    assert obj["spec"] == {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {**FILLED_POD, "containers": [filled]}},
    }
    assert obj["status"] == {}


def test_what_is_said_stays() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}}
    obj = completed(
        "Deployment", spec={"replicas": 0, "strategy": strategy, "template": {"spec": pod_spec()}}
    )

    assert obj["spec"]["replicas"] == 0
    assert obj["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": "25%"}
    assert completed("Deployment", spec={"strategy": {"type": "Recreate"}})["spec"]["strategy"] == {
        "type": "Recreate"
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("demo", "Always"),
        ("demo:latest", "Always"),
        ("demo:v1", "IfNotPresent"),
        ("localhost:5000/demo", "Always"),
        ("localhost:5000/demo:v1", "IfNotPresent"),
        ("demo@sha256:abc", "IfNotPresent"),
    ],
)
def test_a_moving_tag_is_always_pulled(image: str, policy: str) -> None:
    (container,) = completed("Pod", spec=pod_spec(image=image))["spec"]["containers"]

    assert container["imagePullPolicy"] == policy


def test_a_pod_asks_for_its_limits() -> None:
    limits = {"cpu": "150m", "memory": "64Mi"}
    spec = pod_spec(resources={"limits": limits, "requests": {"cpu": "50m"}})
    obj = completed("Pod", spec={**spec, "serviceAccountName": "shop"})

    assert obj["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "50m", "memory": "64Mi"}
    assert obj["spec"]["serviceAccount"] == "shop"
    assert obj["spec"]["enableServiceLinks"] is True


def test_service_is_as_recorded() -> None:
    obj = completed("Service", spec={"selector": {"app": "x"}, "ports": [{"port": 80}]})

    assert generated(RESOURCES.find("services"), obj)["spec"] == {
        "type": "ClusterIP",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "selector": {"app": "x"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
    }
    assert obj["status"] == {"loadBalancer": {}}


def test_string_data_of_a_secret_is_folded_in() -> None:
    obj = completed("Secret", stringData={"a": "é"}, data={"b": "Yg=="})

    assert obj["data"] == {"a": "w6k=", "b": "Yg=="}
    assert obj["type"] == "Opaque"
    assert "stringData" not in obj


def test_a_job_selects_its_own_pods() -> None:
    spec = {"template": {"spec": {**pod_spec(), "restartPolicy": "Never"}}}
    obj = generated(RESOURCES.find("jobs.batch"), completed("Job", spec=spec))

    spec = obj["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 6)
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}
    labels = {"controller-uid": "u1", "job-name": "x"}
    labels |= {"batch.kubernetes.io/controller-uid": "u1", "batch.kubernetes.io/job-name": "x"}
    assert spec["template"]["metadata"]["labels"] == labels
    assert obj["metadata"]["labels"] == labels


def test_a_parallel_job_has_no_number_of_completions() -> None:
    assert (
        "completions"
        not in completed("Job", spec={"parallelism": 2, "template": {"spec": pod_spec()}})["spec"]
    )


def test_an_autoscaler_watches_cpu() -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 30}}
    obj = completed(
        "HorizontalPodAutoscaler", spec={"scaleTargetRef": target, "maxReplicas": 3, "behavior": behavior}
    )

    assert obj["spec"]["minReplicas"] == 1
    assert obj["spec"]["metrics"][0]["resource"]["target"] == {
        "type": "Utilization",
        "averageUtilization": 80,
    }
    assert obj["spec"]["behavior"]["scaleDown"] == {
        "stabilizationWindowSeconds": 30,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
    assert obj["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_volumes_have_modes_and_fields_versions() -> None:
    sources = [{"serviceAccountToken": {"path": "token"}}]
    volumes = [
        {"name": "a", "configMap": {"name": "m"}},
        {"name": "b", "secret": {"secretName": "s"}},
        {"name": "c", "projected": {"sources": sources}},
        {"name": "d", "emptyDir": {}},
    ]
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    spec = completed("Pod", spec={**pod_spec(env=env), "volumes": volumes})["spec"]

    assert [
        v.get("configMap", v.get("secret", v.get("projected", {}))).get("defaultMode")
        for v in spec["volumes"]
    ] == [
        420,
        420,
        420,
        None,
    ]
    assert spec["volumes"][2]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert spec["volumes"][3] == {"name": "d", "emptyDir": {}}
    assert spec["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


def test_a_definition_names_its_lists() -> None:
    names = {"plural": "widgets", "kind": "Widget"}
    spec = completed("CustomResourceDefinition", spec={"group": "ex.io", "names": names, "versions": []})[
        "spec"
    ]

    assert spec["names"] == {**names, "singular": "widget", "listKind": "WidgetList"}
    assert spec["conversion"] == {"strategy": "None"}


def test_users_and_groups_of_a_binding_have_a_group() -> None:
    subjects = [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]
    obj = completed("RoleBinding", roleRef={"kind": "Role", "name": "r"}, subjects=subjects)

    assert obj["roleRef"]["apiGroup"] == obj["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    assert "apiGroup" not in obj["subjects"][1]
