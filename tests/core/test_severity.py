"""Every spelling of a level is asked for when its level is, and reads back as that level."""

import pytest

from opslib.core.severity import LEVELS, at_least, level_of


@pytest.mark.parametrize(
    ("text", "level"),
    [("error", "ERROR"), ("Critical", "ERROR"), ("ERROR3", "ERROR"), ("warning", "WARN"), ("WARN2", "WARN"),
     ("notice", "INFO"), ("", "INFO"), (None, "INFO"), ("odd", "INFO"), ("trace4", "DEBUG")],
)  # fmt: skip
def test_spellings_have_a_level(text, level):
    assert level_of(text) == level


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_and_the_louder_ones_are_asked_for_and_nothing_else(level):
    asked = at_least(level)

    loud = LEVELS[: LEVELS.index(level) + 1]
    assert {level_of(word) for word in asked} == set(loud)
    assert ("" in asked) == ("INFO" in loud)
    assert "WARN3" in asked or level == "ERROR"
    assert list(asked) == sorted(set(asked))
