"""The parameters file: flat, bounded, and read by the annotation like the command line."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.errors import ParameterError
from opslib.run.declared import declared_parameters
from opslib.run.params_file import MAX_BYTES, parse_parameters, read_parameters
from opslib.run.values import Plain, Quoted, resolve

DECLARED = declared_parameters(
    "when: str = ''\nversion: str = ''\nflag: bool = True\nn: int = 0\nx: float = 0.0\nt: list[str] = []\np: str | None = 'x'"
)


def values_of(text: str) -> dict:
    return resolve(DECLARED, parse_parameters(text))[0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("when: 2026-01-31", {"when": "2026-01-31"}),
        ("when: 1:30", {"when": "1:30"}),
        ("version: 1.10", {"version": "1.10"}),
        ("version: no", {"version": "no"}),
        ("flag: no", {"flag": False}),
        ("flag: false", {"flag": False}),
        ("n: 12\nx: 1e3", {"n": 12, "x": 1000.0}),
        ("t: [a, 'b, c']", {"t": ["a", "b, c"]}),
        ("t:\n  - a\n  - b", {"t": ["a", "b"]}),
        ("t: a,b", {"t": ["a", "b"]}),
        ("p: null", {"p": None}),
        ("p: ~", {"p": None}),
        ("p:", {"p": None}),
        ("p: 'null'", {"p": "null"}),
        ("", {}),
        ("# nothing\n", {}),
    ],
)
def test_a_bare_word_means_what_the_annotation_says(text, values):
    assert values_of(text) == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flag: 'false'", "quoted"),
        ('n: "1"', "quoted"),
        ("n: nan", "wanted int"),
        ("x: .inf", "finite"),
        ("x: .nan", "finite"),
        ("n: [1, 2]", "got a list"),
    ],
)
def test_a_wrong_type_is_refused(text, words):
    with pytest.raises(ParameterError, match=words):
        values_of(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n: 1\nn: 2", "line 2: 'n' stands there twice"),
        ("n: !!python/object/apply:os.system [true]", "tag"),
        ("n: !!int 5", "tag"),
        ("a: &a [x]\nb: *a", "anchors"),
        ("- 1", "no mapping"),
        ("just text", "no mapping"),
        ("n: {a: 1}", "a word, a text or a list"),
        ("t: [[a]]", "a word, a text or a list"),
        ("[a]: 1", "a name is a word"),
        ("n: 1\n---\nn: 2", "second document"),
        ("n: [1", "no YAML"),
    ],
)
def test_what_a_parameters_file_has_no_use_for_is_refused(text, words):
    with pytest.raises(ParameterError, match=words) as raised:
        parse_parameters(text)
    assert raised.value.exit_code == 2


def test_the_file_is_named_and_bounded(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("n: 1\n")
    assert read_parameters(path) == [("n", Plain("1"))]
    path.write_text("n: 1\nn: 2")
    with pytest.raises(ParameterError, match=r"p\.yaml: line 2"):
        read_parameters(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ParameterError, match="larger than 256 kB"):
        read_parameters(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ParameterError, match="no UTF-8"):
        read_parameters(path)
    with pytest.raises(ParameterError, match="No such file"):
        read_parameters(tmp_path / "absent.yaml")


@settings(deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    )
)
def test_quoted_texts_come_back_as_they_were_written(values):
    text = yaml.safe_dump(values, default_style='"', allow_unicode=True)
    assert dict(parse_parameters(text)) == {name: Quoted(value) for name, value in values.items()}


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused_with_our_error(text):
    with contextlib.suppress(ParameterError):
        parse_parameters(text)
