"""Typed parameters: declared by annotation, parsed by it, refused all at once, and never code."""

from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.errors import ParameterError
from opslib.run.declared import Parameter, ParameterType, declared_parameters, parameters_cell
from opslib.run.values import Plain, Quoted, ValueRefused, literal, parse, resolve

SOURCE = """
from typing import Literal
service: str = "payment"  # the service whose calls are slow
percentile: int = 95  # which quantile
ratio: float = 1  # an int is a float here
dry: bool = True
names: list[str] = []  # several
ports: list[int] = [1, 2]
shares: list[float] = [0.5]
mode: Literal["fast", "slow", 3] = "fast"  # how
pod: str | None = None  # one pod
limit: int | None = 10
LIMIT = 5
"""


def of(kind: str, **more: object) -> ParameterType:
    return ParameterType(kind, **more)  # type: ignore[arg-type]


def test_every_type_is_read_with_default_and_help():
    found = {p.name: p for p in declared_parameters(SOURCE)}

    assert found["service"] == Parameter("service", of("str"), "payment", "the service whose calls are slow")
    assert found["ratio"].default == 1.0
    assert found["dry"] == Parameter("dry", of("bool"), default=True)
    assert found["mode"].type.choices == ("fast", "slow", 3)
    assert found["pod"].type == of("str", optional=True)
    assert [str(p.type) for p in found.values()] == [
        "str",
        "int",
        "float",
        "bool",
        "list[str]",
        "list[int]",
        "list[float]",
        "Literal['fast', 'slow', 3]",
        "str | None",
        "int | None",
    ]
    assert "LIMIT" not in found
    assert found["service"].to_dict() == {
        "name": "service",
        "type": "str",
        "default": "payment",
        "help": "the service whose calls are slow",
    }


def test_help_is_a_comment_at_the_end_of_the_declaration_only():
    source = (
        "# above\na: str = 'x # no comment'  # help\nb: list[int] = [\n  1,  # inside\n]  # after\nc: int = 1"
    )
    assert [p.help for p in declared_parameters(source)] == ["help", "after", ""]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a: dict = {}", "type dict"),
        ("a: list[bool] = []", "list[bool]"),
        ("a: int", "no default"),
        ("a: int = 'x'", "not of its type int"),
        ("a: bool = 1", "not of its type bool"),
        ("a: int = True", "not of its type int"),
        ("a: float = float('nan')", "no literal"),
        ("a: float = 1e999", "not of its type float"),
        ("a: str = __import__('os').getcwd()", "no literal"),
        ("a: Literal[f()] = 1", "choices"),
        ("a: int = 1\na: int = 2", "twice"),
        ("a: int = ", "no Python"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused(line, words):
    with pytest.raises(ParameterError, match=r".") as raised:
        declared_parameters(line)
    assert words in str(raised.value)
    assert raised.value.exit_code == 2


def test_reading_executes_nothing(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(ParameterError):
        declared_parameters(f"a: str = open({str(mark)!r}, 'w').name")
    assert not mark.exists()


def test_the_tagged_cell_is_found_whatever_way_its_source_is_stored():
    cells = [
        {"metadata": {}},
        {"metadata": {"tags": ["parameters"]}, "source": ["a: int = 1\n", "b: int = 2"]},
    ]
    assert parameters_cell(cells) == "a: int = 1\nb: int = 2"
    assert parameters_cell([]) == ""


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("false", of("bool"), False),
        ("False", of("bool"), False),
        ("yes", of("bool"), True),
        ("1", of("bool"), True),
        ("false", of("str"), "false"),
        ("1.10", of("str"), "1.10"),
        ("None", of("str"), "None"),
        ("", of("str"), ""),
        ("-7", of("int"), -7),
        (" 7 ", of("int"), 7),
        ("1e3", of("float"), 1000.0),
        ("5", of("float"), 5.0),
        (".5", of("float"), 0.5),
        ("1,2, 3", of("list", item="int"), [1, 2, 3]),
        ("", of("list", item="str"), []),
        ("a, b", of("list", item="str"), ["a", "b"]),
        ("slow", of("Literal", choices=("fast", "slow")), "slow"),
        ("3", of("Literal", choices=("fast", 3)), 3),
        ("true", of("Literal", choices=(True, 3)), True),
        ("null", of("int", optional=True), None),
        ("", of("str", optional=True), None),
        ("none", of("str", optional=True), None),
        ("5", of("int", optional=True), 5),
    ],
)
def test_a_word_means_what_the_annotation_says(text, kind, value):
    parsed = parse(Plain(text), kind)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2m", of("int")),
        ("1.5", of("int")),
        ("0x10", of("int")),
        ("1_000", of("int")),
        ("nan", of("float")),
        ("inf", of("float")),
        ("1e999", of("float")),
        ("-Infinity", of("float")),
        ("maybe", of("bool")),
        ("", of("bool")),
        ("1,x", of("list", item="int")),
        ("medium", of("Literal", choices=("fast", "slow"))),
        ("null", of("int")),
        ("a\0b", of("str")),
        ("x" * 100_001, of("str")),
    ],
)
def test_what_is_no_value_of_the_type_is_refused(text, kind):
    with pytest.raises(ValueRefused):
        parse(Plain(text), kind)


@pytest.mark.parametrize("kind", [of("bool"), of("int"), of("float"), of("list", item="str")])
def test_a_quoted_text_is_a_text_and_nothing_else(kind):
    with pytest.raises(ValueRefused, match="quoted"):
        parse(Quoted("1"), kind)
    assert parse(Quoted("null"), of("str", optional=True)) == "null"


def test_all_that_is_wrong_is_told_at_once():
    declared = declared_parameters(SOURCE)
    with pytest.raises(ParameterError) as raised:
        resolve(
            declared,
            [("servce", Plain("x")), ("percentile", Plain("2m"))],
            [("y=1;import os;z", Plain("1")), ("class", Plain("1")), ("LIMIT", Plain("9"))],
        )
    text = str(raised.value)
    assert "did you mean service" in text
    assert "percentile: wanted int, got '2m'" in text
    assert "'y=1;import os;z' is no parameter's name" in text
    assert "'class' is no parameter's name" in text
    assert "unknown parameter 'LIMIT'" in text
    assert "service: str" in raised.value.hint


def test_later_sources_win_and_the_rest_are_defaults():
    given_, values = resolve(
        declared_parameters("a: int = 1\nb: int = 2\nc: int = 3"),
        [("a", Plain("10")), ("b", Plain("10"))],
        [("b", Plain("20")), ("b", Plain("21"))],
    )
    assert given_ == {"a": 10, "b": 21}
    assert values == {"a": 10, "b": 21, "c": 3}


def test_a_notebook_without_parameters_says_so():
    with pytest.raises(ParameterError) as raised:
        resolve((), [("a", Plain("1"))])
    assert raised.value.hint == "the notebook declares no parameters"


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False, allow_infinity=False)
)


@settings(deadline=None)
@given(st.one_of(PLAIN, st.lists(st.one_of(st.text(), st.integers()))))
def test_a_literal_reads_back_as_the_same_value(value):
    assert ast.literal_eval(literal(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, {}, object(), (1,), b"x", [math.nan]])
def test_only_plain_values_have_a_literal(value):
    with pytest.raises(TypeError):
        literal(value)


@settings(deadline=None)
@given(st.text())
def test_any_text_reaches_a_str_parameter_unchanged_or_is_refused(text):
    try:
        assert parse(Plain(text), of("str")) == text
    except ValueRefused:
        assert "\0" in text


@settings(deadline=None)
@given(st.text(), st.sampled_from([of("int"), of("float"), of("bool"), of("list", item="float")]))
def test_whatever_is_accepted_is_of_the_type(text, kind):
    try:
        value = parse(Plain(text), kind)
    except ValueRefused:
        return
    assert kind.accepts(value)
