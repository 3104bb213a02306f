"""YAML reads as kubectl reads it, or is refused with file and line; nothing in it costs more than it weighs."""

import contextlib
import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from opslib.core.errors import ManifestError
from opslib.manifests.documents import MAX_DEPTH, MAX_WEIGHT, read_documents, scalar

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def read(text: str) -> list:
    return [value for _, value in read_documents(text, "web.yaml")]


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=3))
def test_what_is_written_as_json_reads_back(values) -> None:
    text = "\n---\n".join(json.dumps(value) for value in values)

    assert read(text) == values


@given(VALUES, st.sampled_from([None, "'", '"', "|", ">"]), st.booleans())
def test_texts_that_yaml_quotes_read_back(value, style, flow) -> None:
    texts = {"a": [str(value)], str(value): str(value)}

    assert read(yaml.safe_dump(texts, default_style=style or '"', default_flow_style=flow)) == [texts]


@given(st.text(max_size=200) | st.text("{}[]:,-&*!|>'\"#%@ \n\tab<~0", max_size=60))
@example("&a [*a]")
@example("? {a: b}\n: c")
@example("a: *b")
@example("- !!python/object/apply:os.system [id]")
@example("\0")
def test_any_text_is_read_or_refused_with_its_place(text) -> None:
    with contextlib.suppress(ManifestError):
        json.dumps(read(text), allow_nan=False)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("yes", True), ("Off", False), ("y", "y"), ("~", None), ("0644", 420), ("0o17", 15), ("0x1F", 31), ("-12", -12),
        ("1_000", 1000), ("08", 8.0), ("1e3", 1000.0), ("1.10", 1.1), (".5", 0.5), ("1:30", "1:30"), ("500m", "500m"),
        ("2024-01-01", "2024-01-01"), (".inf", ".inf"), ("1.2.3", "1.2.3"), ("9" * 50, "9" * 50), ("1e999", "1e999"),
        ("-", "-"), ("١", "١"), ("0b", "0b"), ("0x_", "0x_"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_kubectl_takes_them_for(word, value) -> None:
    found = scalar(word)

    assert (type(found), found) == (type(value), value)


def test_quotes_make_texts_and_keys_are_texts() -> None:
    assert read("a: 'yes'\nb: \"1\"\nc: |\n  2\nd: !!str 3\n1: x\ntrue: y") == [
        {"a": "yes", "b": "1", "c": "2\n", "d": "3", "1": "x", "true": "y"}
    ]


def test_documents_keep_their_lines_and_empty_ones_are_none() -> None:
    text = "# first\n\na: 1\n---\n# nothing\n---\n\n\nb: 2\n...\n"

    assert list(read_documents(text, "f")) == [(3, {"a": 1}), (9, {"b": 2})]


def test_a_quoted_merge_is_a_key_like_others() -> None:
    assert read("'<<': 1\na: {\"<<\": {b: 2}}") == [{"<<": 1, "a": {"<<": {"b": 2}}}]


def test_anchors_and_merges_are_written_out() -> None:
    text = "base: &b {cpu: 1, mem: 2}\none: *b\ntwo: {<<: *b, cpu: 3}\nthree: {x: 1, <<: [*b, {y: 2}]}"

    assert read(text) == [
        {
            "base": {"cpu": 1, "mem": 2},
            "one": {"cpu": 1, "mem": 2},
            "two": {"cpu": 3, "mem": 2},
            "three": {"x": 1, "cpu": 1, "mem": 2, "y": 2},
        }
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' stands there twice"),
        ("a:\n  b: 1\n  'b': 2", 3, "'b' stands there twice"),
        ("a: 1\nb: !!binary aGk=", 2, "tag"),
        ("a: !include x", 1, "tag"),
        ("a: *nobody", 1, "no anchor"),
        ("a: &x [*x]", 1, "no anchor"),
        ("a: 1\n<<: 3", 2, "merges mappings"),
        ("? [a]\n: 1", 1, "a key is a word"),
        ("~: 1", 1, "a key is missing"),
        ("a: [1", 2, "no YAML"),
        ("a: b: c", 1, "no YAML"),
        ("[" * (MAX_DEPTH + 1), 1, "levels deep"),
        ("[" * 100_000, 1, "nesting depth"),
    ],
)
def test_what_is_refused_names_its_line(text, line, words) -> None:
    with pytest.raises(ManifestError, match=rf"^web\.yaml:{line}: .*{words}") as error:
        read(text)
    assert len(str(error.value)) < 300


def test_a_bomb_of_aliases_ends_at_its_weight() -> None:
    lines = ["a0: &a0 [lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    with pytest.raises(ManifestError, match="with its aliases"):
        read("\n".join(lines))


def test_a_large_text_is_not_multiplied_by_its_aliases() -> None:
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * (MAX_WEIGHT // 100_000))}]"

    with pytest.raises(ManifestError, match="with its aliases"):
        read(text)
