"""What people and files say of windows and environments: whatever it is, it is read or refused with a hint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opslib.core.errors import UsageError, WindowError
from opslib.core.settings import Settings, load_environment
from opslib.core.windows import Window, parse_duration_s, parse_window

NOW = 1_700_000_000 * 10**9
FUZZ = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)  # fmt: skip
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,12})?(Z|[+-]\d\d:\d\d)"
WORDS = (
    st.text(st.sampled_from("0123456789smhdwlastnow /-:TZ+.\u0663\u4e5d"), max_size=40)
    | st.from_regex(r"(last )?\d{1,400}(ms|s|m|h|d|w)", fullmatch=True)
    | st.from_regex(rf"{INSTANT}(/{INSTANT})?", fullmatch=True)
    | st.from_regex(r"\d{15,20}/\d{15,20}", fullmatch=True)
)


def answer(parse: Callable[..., Any], *given_: Any) -> Any:
    """Return what a parser makes of it, None where it refuses and says what to write instead."""
    hint = None
    try:
        return parse(*given_)
    except UsageError as error:
        hint = error.hint
    assert hint
    return None


@given(WORDS)
@FUZZ
def test_a_window_fits_64_bits_or_is_refused(text: str) -> None:
    window = answer(parse_window, text, NOW)
    for one in [window, window.before()] if window else []:
        assert -(2**63) <= one.start_ns < one.end_ns < 2**63
        assert "/" in str(one)


@given(WORDS)
@FUZZ
def test_a_duration_is_finite_or_refused(text: str) -> None:
    seconds = answer(parse_duration_s, text)

    assert seconds is None or 0 <= seconds < 1e10


@pytest.mark.parametrize("ends", [(-(2**63) - 1, 0), (0, 2**63), (5, 5), (6, 5)])
def test_a_window_that_cannot_be(ends: tuple[int, int]) -> None:
    with pytest.raises(WindowError) as refused:
        Window(*ends)
    assert refused.value.hint


KEYS = st.sampled_from(
    [
        "traces",
        "logs",
        "metrics",
        "changes",
        "kind",
        "url",
        "path",
        "live",
        "links",
        "services",
        "protected",
        "namespace",
        "registry",
        "kube_context",
        "e",
    ]
)
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("capture"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else str(value)


def load(folder: Path, content: bytes) -> Any:
    (folder / "opslib.toml").write_bytes(content)
    return answer(load_environment, "e", Settings(folder))


@given(
    st.fixed_dictionaries({"environments": VALUES})
    | st.fixed_dictionaries({"environments": st.fixed_dictionaries({"e": VALUES})})
    | st.fixed_dictionaries({"environments": st.fixed_dictionaries({"e": st.dictionaries(KEYS, VALUES)})})
)
@FUZZ
def test_an_environment_has_the_types_it_says(tmp_path: Path, content: dict[str, Any]) -> None:
    found = load(tmp_path, "\n".join(f"{k} = {toml(v)}" for k, v in content.items()).encode())
    if found is not None:
        assert type(found.protected) is bool
        assert all(isinstance(url, str) for url in found.links.values())
        assert all(isinstance(names, dict) for names in found.services.values())
        assert {type(found.namespace), type(found.registry), type(found.kube_context)} == {str}


@given(st.binary(max_size=80))
@FUZZ
def test_a_settings_file_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    load(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    ["a = " + "[" * 20_000, "a = " + "{a=" * 5_000, "a = " + "9" * 5_000, "environments.e" + ".a" * 3_000 + " = 1",
     '[environments.e]\ntraces = {kind = "capture", path = "a\\u0000b"}'],
    ids=["deep list", "deep table", "long number", "long key", "a null in a path"],
)  # fmt: skip
def test_settings_without_measure_are_refused(tmp_path: Path, content: str) -> None:
    assert load(tmp_path, content.encode()) is None
