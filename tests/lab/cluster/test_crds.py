"""Custom kinds: pruned, completed and checked as their schemas say, refused as recorded."""

import copy

import pytest

from opslib.lab.cluster import statuses
from opslib.lab.cluster.apply import Writer, server_side_apply, track_update
from opslib.lab.cluster.crds import definition_causes, resource_and_schema, schema_causes
from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.resources import Column, Resources
from opslib.lab.cluster.schema import schema_of

SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
        "port": {"x-kubernetes-int-or-string": True},
        "maybe": {"type": "string", "nullable": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "tags": {
            "type": "array",
            "items": {"type": "string"},
            "x-kubernetes-list-type": "set",
            "maxItems": 3,
        },
        "plain": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["number"],
            "items": {
                "type": "object",
                "required": ["number"],
                "properties": {
                    "number": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                },
            },
        },
        "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "multipleOf": 0.25},
    },
}
VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": SPEC,
                "status": {"type": "object", "properties": {"ok": {"type": "boolean"}}},
            },
        }
    },
    "subresources": {"status": {}},
    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
}
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.ex.io"},
    "spec": {
        "group": "ex.io",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [VERSION],
    },
}
RESOURCE, SCHEMAS = resource_and_schema(WIDGETS)
SCHEMA = SCHEMAS["v1"]


def widget(**spec):
    return {"apiVersion": "ex.io/v1", "kind": "Widget", "metadata": {"name": "w2"}, "spec": spec}


def read(**spec):
    return decode(SCHEMA, RESOURCE, widget(**spec))


def test_a_definition_makes_a_resource() -> None:
    assert RESOURCE.name == "widgets.ex.io"
    assert RESOURCE.api_version == "ex.io/v1"
    assert (RESOURCE.kind, RESOURCE.singular, RESOURCE.short_names) == ("Widget", "widget", ("wd",))
    assert RESOURCE.custom
    assert RESOURCE.generation
    assert RESOURCE.namespaced
    assert RESOURCE.subresources == ("status",)
    assert RESOURCE.columns == (Column("Size", ".spec.size", "integer"),)


def test_the_preferred_version_comes_first() -> None:
    definition = copy.deepcopy(WIDGETS)
    names = ["v1alpha1", "v2", "v1beta2", "v1"]
    definition["spec"]["versions"] = [{**VERSION, "name": name, "storage": name == "v1"} for name in names]
    resource, schemas = resource_and_schema(definition)

    assert resource.served == ("v2", "v1", "v1beta2", "v1alpha1")
    assert resource.version == "v1"
    assert set(schemas) == set(names)


def test_objects_are_pruned_and_completed() -> None:
    obj, unknown = read(sise=3, free={"any": {"thing": 1}}, labels={"a": "b"}, ports=[{"number": 1, "x": 1}])

    assert unknown == ["spec.sise", "spec.ports[0].x"]
    assert obj["spec"] == {
        "size": 2,
        "color": "red",
        "free": {"any": {"thing": 1}},
        "labels": {"a": "b"},
        "ports": [{"number": 1, "protocol": "TCP"}],
    }


def test_null_is_the_default_unless_it_is_a_value() -> None:
    obj, _ = read(color=None, maybe=None)

    assert obj["spec"]["color"] == "red"
    assert obj["spec"]["maybe"] is None
    assert list(schema_causes(SCHEMA, obj)) == []


def test_metadata_is_typed_as_everywhere() -> None:
    obj = {**widget(), "metadata": {"name": "w", "labels": {"a": 1}}}
    with pytest.raises(
        statuses.StatusError,
        match=r"json: cannot unmarshal number into Go struct field ObjectMeta\.labels of type string",
    ):
        decode(SCHEMA, RESOURCE, obj)


def body(obj):
    found = list(schema_causes(SCHEMA, obj))
    return statuses.invalid(RESOURCE, "w2", found).body["message"] if found else ""


@pytest.mark.parametrize(
    ("spec", "complaints"),
    [
        (
            {"size": 0},
            ["spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"],
        ),
        ({"size": 10}, ["spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"]),
        (
            {"size": "a"},
            ['spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'],
        ),
        (
            {"size": None},
            ['spec.size: Invalid value: "null": spec.size in body must be of type integer: "null"'],
        ),
        ({}, ["spec.size: Required value"]),
        ({"size": 1, "color": "x"}, ['spec.color: Unsupported value: "x": supported values: "red", "blue"']),
        (
            {"size": 1, "name": "Ab"},
            ["spec.name: Invalid value: \"Ab\": spec.name in body should match '^[a-z]+$'"],
        ),
        ({"size": 1, "name": "abcdef"}, ["spec.name: Too long: may not be more than 5 bytes"]),
        (
            {"size": 1, "name": "a"},
            ['spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long'],
        ),
        ({"size": 1, "tags": ["a", "a"]}, ['spec.tags[1]: Duplicate value: "a"']),
        ({"size": 1, "tags": list("abcd")}, ["spec.tags: Too many: 4: must have at most 3 items"]),
        (
            {"size": 1, "plain": []},
            ["spec.plain: Invalid value: 0: spec.plain in body should have at least 1 items"],
        ),
        (
            {"size": 1, "ports": [{"number": 1}, {"number": 1}]},
            ['spec.ports[1]: Duplicate value: {"number":1}'],
        ),
        ({"size": 1, "ports": [{}]}, ["spec.ports[0].number: Required value"]),
        (
            {"size": 1, "port": True},
            [
                'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"'
            ],
        ),
        (
            {"size": 1, "ratio": 0},
            ["spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0"],
        ),
        (
            {"size": 1, "labels": {"a": 1}},
            [
                'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"'
            ],
        ),
        (
            {"size": 1, "ratio": 0.3},
            ["spec.ratio: Invalid value: 0.3: spec.ratio in body should be a multiple of 0.25"],
        ),
        ({"size": 1, "port": "http", "ratio": 1}, []),
        ({"size": 1, "port": 80, "name": "abc"}, []),
    ],
)
def test_constraints_are_checked_in_the_recorded_words(spec, complaints) -> None:
    prefix = 'Widget.ex.io "w2" is invalid: '

    assert body(widget(**spec)) == (prefix + complaints[0] if complaints else "")


def test_several_complaints_are_one_answer() -> None:
    assert body(widget(size=0, color="x")) == (
        'Widget.ex.io "w2" is invalid: [spec.size: Invalid value: 0: spec.size in body should be greater than or '
        'equal to 1, spec.color: Unsupported value: "x": supported values: "red", "blue"]'
    )


def test_a_pattern_that_only_go_reads_is_not_checked() -> None:
    definition = copy.deepcopy(WIDGETS)
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "name"
    ] = {
        "type": "string",
        "pattern": "^[[:alpha:]\\z(",
    }
    _, schemas = resource_and_schema(definition)

    assert list(schema_causes(schemas["v1"], widget(size=1, name="a"))) == []


def test_lists_are_atomic_unless_the_definition_says_more() -> None:
    obj = widget(size=1, plain=["a"], tags=["b"], ports=[{"number": 1}], labels={"l": "1"})
    new = server_side_apply(SCHEMA, None, obj, Writer("m1", RESOURCE, ""), force=False)

    (entry,) = new["metadata"]["managedFields"]
    assert entry["apiVersion"] == "ex.io/v1"
    assert entry["fieldsV1"] == {
        "f:spec": {
            "f:size": {},
            "f:plain": {},
            "f:tags": {'v:"b"': {}},
            "f:ports": {'k:{"number":1}': {".": {}, "f:number": {}}},
            "f:labels": {"f:l": {}},
        }
    }


def test_an_unknown_field_in_an_apply_is_a_500() -> None:
    with pytest.raises(statuses.StatusError) as refused:
        server_side_apply(SCHEMA, None, widget(sise=1), Writer("m1", RESOURCE, ""), force=False)

    assert refused.value.code == 500
    assert refused.value.body["message"] == (
        "failed to create typed patch object (/w2; ex.io/v1, Kind=Widget): .spec.sise: field not declared in schema"
    )


def test_defaults_are_owned_by_who_creates() -> None:
    obj, _ = read()
    (entry,) = track_update(SCHEMA, None, obj, Writer("kubectl-create", RESOURCE, ""))

    assert entry["fieldsV1"] == {"f:spec": {".": {}, "f:color": {}, "f:size": {}}}


def changed(**spec):
    return {**WIDGETS, "spec": {**WIDGETS["spec"], **spec}}


UNTYPED = {**VERSION, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}}}


@pytest.mark.parametrize(
    ("definition", "fields"),
    [
        (WIDGETS, []),
        (changed(group=""), ["metadata.name", "spec.group"]),
        (changed(scope="Everywhere"), ["spec.scope"]),
        (changed(versions=[]), ["spec.versions"]),
        (changed(versions=[{**VERSION, "storage": False}]), ["spec.versions"]),
        (changed(versions=[{**VERSION, "schema": {}}]), ["spec.versions[0].schema.openAPIV3Schema"]),
        (changed(versions=[UNTYPED]), ["spec.validation.openAPIV3Schema.properties[spec].type"]),
        ({**WIDGETS, "metadata": {"name": "gadgets.ex.io"}}, ["metadata.name"]),
    ],
)
def test_a_definition_is_checked(definition, fields) -> None:
    assert [cause.field for cause in definition_causes(definition)] == fields


DEFINITIONS = Resources().find("customresourcedefinitions.apiextensions.k8s.io")


@pytest.mark.parametrize(
    "node",
    [
        {"type": "object", "minLength": "x"},
        {"type": "array", "items": {"type": "string", "minLength": "x"}},
        {"type": "array", "items": "x"},
        {"type": "object", "additionalProperties": {"type": "string", "pattern": 1}},
        {"type": "object", "properties": {"a": []}},
    ],
)
def test_schemas_inside_schemas_are_typed(node: dict) -> None:
    definition = changed(versions=[{**VERSION, "schema": {"openAPIV3Schema": node}}])
    with pytest.raises(statuses.StatusError, match="json: cannot unmarshal"):
        decode(schema_of(DEFINITIONS), DEFINITIONS, definition)


def test_a_definition_is_read_as_it_is_written() -> None:
    obj, unknown = decode(schema_of(DEFINITIONS), DEFINITIONS, WIDGETS)

    assert unknown == []
    assert obj["spec"]["versions"][0]["schema"] == VERSION["schema"]
