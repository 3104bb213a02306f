"""JSON from outside: whatever it is, it is read or refused, and what was read can be written again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.foreign import json_object, read_json

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "text", [None, "", "{", "[1]", '"x"', 3, DEEP, f'{{"a": {DEEP}}}', f'{{"a": {"9" * 6000}}}']
)
def test_what_is_no_json_object_is_an_empty_one(text):
    assert json_object(text) == {}


def test_an_object_is_read_and_of_equal_keys_the_last_counts():
    assert json_object('{"peer.service": "x", "peer.service": "risk"}') == {"peer.service": "risk"}


@pytest.mark.parametrize("text", [DEEP, "", "{", b"\xff", "9" * 6000])
def test_what_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


@given(
    st.recursive(st.text(st.characters()), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner))
)
def test_what_was_read_can_be_written(value):
    for form in (json.dumps(value), json.dumps(value).encode()):
        json.dumps(read_json(form), ensure_ascii=False).encode()


def test_half_a_character_costs_only_itself():
    assert json_object(r'{"a": "x\ud800y", "b": "\ud83d\ude00"}') == {"a": "x?y", "b": "\U0001f600"}
