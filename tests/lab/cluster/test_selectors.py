"""Selectors select as Kubernetes does, and complain in its words; any text is either read or a 400."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.selectors import match_label_selector, of_object, parse_fields, parse_labels
from opslib.lab.cluster.statuses import StatusError

RESOURCES = Resources()
LABELS = {"app": "shop", "tier": "front", "n": "5"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=shop", True),
        ("app==shop,tier=front", True),
        ("app=shop,tier=back", False),
        ("app!=shop", False),
        ("gone!=x", True),
        ("tier in (back, front)", True),
        ("tier notin (back,front)", False),
        ("gone notin (a)", True),
        ("app", True),
        ("gone", False),
        ("!gone", True),
        ("!app", False),
        ("gone in (,a)", False),
        (" app = shop ,  tier in ( front )", True),
        ("in in (in)", False),
        ("gone=", False),
    ],
)
def test_labels_match(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) is matches


def test_an_empty_value_is_a_value() -> None:
    selector = parse_labels("x in (foo,,baz)")

    assert selector.matches({"x": ""})
    assert not selector.matches({"x": "bar"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a>1", "unable to parse requirement: found '>', expected: in, notin, =, ==, !=, gt, lt"),
        (
            "a=b_",
            (
                'unable to parse requirement: values[0][a]: Invalid value: "b_": a valid label must be an empty string '
                "or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
                "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ),
        ),
    ],
)
def test_what_is_no_label_selector_is_a_400(text: str, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_labels(text)

    assert refused.value.code == 400
    assert refused.value.body["message"] == message


@given(st.text(alphabet="ab=!(),<> \\in", max_size=20) | st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_labels, lambda t: parse_fields(t, RESOURCES.find("pods"))):
        assert outcome(parse, text) in (True, False, 400)


def outcome(parse, text: str) -> bool | int:
    try:
        return parse(text).matches({})
    except StatusError as refused:
        return refused.code


@given(st.text(max_size=10))
def test_an_escaped_value_is_the_value(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    selector = parse_fields(f"status.phase=x,spec.nodeName={escaped}", RESOURCES.find("pods"))

    assert selector.matches({"status": {"phase": "x"}, "spec": {"nodeName": value}})


def test_objects_say_what_they_select() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["front"]},
        {"key": "gone", "operator": "DoesNotExist"},
        {"key": "app", "operator": "Exists"},
    ]
    selector = {"matchLabels": {"app": "shop"}, "matchExpressions": expressions}

    assert match_label_selector(selector, LABELS)
    assert not match_label_selector(selector, {**LABELS, "gone": "no"})
    assert not match_label_selector(None, LABELS)
    assert of_object({}).matches(None)


POD = {
    "metadata": {"name": "p", "namespace": "shop"},
    "spec": {"nodeName": "node1"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("resource", "text", "obj", "matches"),
    [
        ("pods", "spec.nodeName=node1,status.phase!=Succeeded,status.phase!=Failed", POD, True),
        ("pods", "metadata.name==p,metadata.namespace=shop", POD, True),
        ("pods", "spec.nodeName=", {"spec": {}}, True),
        ("pods", "spec.hostNetwork=false", POD, True),
        ("events", "involvedObject.name=p,source=kubelet", {"involvedObject": {"name": "p"}}, False),
        ("events", "source=kubelet", {"source": {"component": "kubelet"}}, True),
        ("nodes", "spec.unschedulable=true", {"spec": {"unschedulable": True}}, True),
        ("jobs.batch", "status.successful=2", {"status": {"succeeded": 2}}, True),
        ("jobs.batch", "status.successful=0", {}, True),
        ("secrets", "type=Opaque", {"type": "Opaque"}, True),
    ],
)
def test_fields_match(resource: str, text: str, obj: dict, matches: bool) -> None:
    assert parse_fields(text, RESOURCES.find(resource)).matches(obj) is matches


@pytest.mark.parametrize(
    ("resource", "text", "message"),
    [
        (
            "configmaps",
            "data.a=x",
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("pods", "spec.foo=x", "field label not supported: spec.foo"),
        ("jobs.batch", "spec.foo=x", 'field label "spec.foo" not supported for Job'),
        ("nodes", "metadata.namespace=x", "field label not supported: metadata.namespace"),
        ("pods", "abc", "invalid selector: 'abc'; can't understand 'abc'"),
        ("pods", "spec.nodeName=a\\b", "invalid field selector: invalid escape sequence: \\b"),
    ],
)
def test_what_is_no_field_selector_is_a_400(resource: str, text: str, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_fields(text, RESOURCES.find(resource))

    assert refused.value.body["message"] == message
