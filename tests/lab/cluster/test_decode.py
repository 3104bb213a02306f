"""Objects are read as a typed server reads them: what has no meaning is named, what has the wrong type is refused."""

import pytest

from opslib.lab.cluster.bodies import parse
from opslib.lab.cluster.decode import decode, strict, strict_patch, warnings
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.schema import schema_of, schema_of_kind
from opslib.lab.cluster.statuses import StatusError

RESOURCES = Resources()


def read(kind: str, **fields):
    resource = next(r for r in RESOURCES if r.kind == kind)
    return decode(schema_of(resource), resource, {"apiVersion": resource.api_version, "kind": kind, **fields})


def deployment(**spec):
    return read("Deployment", spec=spec)


def container(**fields):
    return deployment(template={"spec": {"containers": [{"name": "c", **fields}]}})


WRONG_TYPES = [
    (
        lambda: deployment(replicas="a"),
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        lambda: deployment(replicas=1.5),
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        lambda: deployment(replicas=3_000_000_000),
        "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
    ),
    (
        lambda: deployment(paused=1),
        "json: cannot unmarshal number into Go struct field DeploymentSpec.spec.paused of type bool",
    ),
    (
        lambda: deployment(template=[]),
        "json: cannot unmarshal array into Go struct field DeploymentSpec.spec.template of type v1.PodTemplateSpec",
    ),
    (
        lambda: deployment(selector={"matchLabels": {"a": 1}}),
        "json: cannot unmarshal number into Go struct field LabelSelector.spec.selector.matchLabels of type string",
    ),
    (
        lambda: deployment(selector={"matchLabels": ["a"]}),
        (
            "json: cannot unmarshal array into Go struct field LabelSelector.spec.selector.matchLabels "
            "of type map[string]string"
        ),
    ),
    (
        lambda: deployment(template={"spec": {"containers": {}}}),
        (
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers "
            "of type []v1.Container"
        ),
    ),
    (
        lambda: container(args=[1]),
        (
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.args "
            "of type string"
        ),
    ),
    (
        lambda: deployment(strategy={"rollingUpdate": {"maxSurge": True}}),
        (
            "json: cannot unmarshal bool into Go struct field "
            "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32"
        ),
    ),
    (
        lambda: container(resources={"limits": {"cpu": "abc"}}),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ),
    (
        lambda: read("Deployment", metadata={"creationTimestamp": "yesterday"}),
        'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
    ),
    (
        lambda: read("Deployment", metadata="x"),
        "json: cannot unmarshal string into Go struct field Deployment.metadata of type v1.ObjectMeta",
    ),
    (lambda: read("Secret", data={"a": "!!"}), "illegal base64 data at input byte 0"),
    (
        lambda: read("Secret", data={"a": 5}),
        "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
    ),
]


@pytest.mark.parametrize(("reading", "message"), WRONG_TYPES)
def test_a_wrong_type_is_a_400(reading, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        reading()

    assert refused.value.code == 400
    assert (
        refused.value.body["message"].partition(" cannot be handled as a ")[2].partition(": ")[2] == message
    )


def test_unknown_fields_are_dropped_and_named_in_order() -> None:
    template = {"spec": {"containers": [{"imag": "i", "name": "c"}], "volumes": [{"configMap": {"x": 1}}]}}
    obj, unknown = read("Deployment", spec={"template": template, "replicaz": 1}, Spec={})

    assert unknown == [
        "spec.template.spec.containers[0].imag",
        "spec.template.spec.volumes[0].configMap.x",
        "spec.replicaz",
        "Spec",
    ]
    assert "replicaz" not in obj["spec"]
    assert warnings(unknown[2:3], ["data.a"]) == ['duplicate field "data.a"', 'unknown field "spec.replicaz"']


def test_the_strict_answers_are_those_recorded() -> None:
    resource = RESOURCES.find("deployments.apps")

    assert strict(resource, ["spec.template.spec.containers[0].imag", "spec.replicaz"]).body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.template.spec.containers[0].imag", unknown field "spec.replicaz"',
        "reason": "BadRequest",
        "code": 400,
    }
    refused = strict_patch({"spec": {"replicaz": 1}}, ["spec.replicaz"])
    text = 'Invalid value: "map[spec:map[replicaz:1]]": strict decoding error: unknown field "spec.replicaz"'
    assert refused.body["message"] == f' "" is invalid: patch: {text}'
    assert refused.body["details"]["causes"] == [
        {"reason": "FieldValueInvalid", "message": text, "field": "patch"}
    ]
    assert refused.code == 422


def test_quantities_become_canonical_and_nulls_vanish() -> None:
    obj, _ = container(resources={"limits": {"cpu": 1.5, "memory": "1024Mi"}}, image=None, args=[])

    (read_container,) = obj["spec"]["template"]["spec"]["containers"]
    assert read_container == {"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}}


def test_what_go_always_writes_is_there() -> None:
    obj, unknown = deployment(replicas=0)

    assert obj["spec"] == {"replicas": 0, "strategy": {}, "template": {"metadata": {}, "spec": {}}}
    assert obj["status"] == {}
    assert unknown == []
    assert read("ConfigMap", data={"a": None})[0]["data"] == {"a": ""}


def test_an_object_read_twice_is_the_same() -> None:
    once, _ = container(resources={"limits": {"cpu": "0.5"}}, ports=[{"containerPort": 80}], env=[])
    again, unknown = decode(
        schema_of(RESOURCES.find("deployments.apps")), RESOURCES.find("deployments.apps"), once
    )

    assert again == once
    assert unknown == []


def test_schemas_know_list_keys_and_patches() -> None:
    spec = schema_of_kind("apps/v1", "Deployment").at("spec")
    containers = spec.at("template").at("spec").at("containers")

    assert (containers.list_type, containers.keys, containers.merge_key) == ("map", ("name",), "name")
    assert containers.items.at("ports").keys == ("containerPort", "protocol")
    assert containers.items.at("ports").items.at("protocol").default == "TCP"
    assert containers.items.at("args").list_type == "atomic"
    assert spec.at("selector").atomic
    assert spec.at("strategy").strategy == {"retainKeys"}
    assert schema_of_kind("batch/v1", "Job").at("status").at("conditions").list_type == "atomic"
    assert schema_of_kind("v1", "Pod").at("metadata").at("finalizers").list_type == "set"
    assert schema_of_kind("v1", "Pod").at("spec").at("nodeSelector").atomic


def test_keys_written_twice_are_named() -> None:
    assert parse(b'{"a": {"b": 1, "b": 2}, "c": [{"d": 1, "d": 1}]}') == (
        {"a": {"b": 2}, "c": [{"d": 1}]},
        ["a.b", "c[0].d"],
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'"\\ud800"',
        b'{"a": 1e999',
        b"[" * 500 + b"]" * 500,
        b"[" * 50_000,
        b'{"a": ' * 200 + b"1" + b"}" * 200,
        b"a: 1",
    ],
)
def test_hostile_bodies_are_a_400(body: bytes) -> None:
    with pytest.raises(StatusError) as refused:
        parse(body)

    assert refused.value.code == 400


def test_a_patch_that_leads_to_a_wrong_type_is_a_422() -> None:
    resource = RESOURCES.find("deployments.apps")
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": "x"}}
    with pytest.raises(StatusError) as refused:
        decode(schema_of(resource), resource, obj, patch={"spec": {"replicas": "x"}})

    assert refused.value.code == 422
    assert refused.value.body["message"] == (
        ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": json: cannot unmarshal string '
        "into Go struct field DeploymentSpec.spec.replicas of type int32"
    )
