"""Titles, sections, tags and time-outs of cells."""

from __future__ import annotations

import pytest

from opslib.run.cells import headings_of, is_run, section_of, timeout_of, titles


def test_a_cell_is_named_by_its_section_and_its_first_comment_or_heading(kit):
    cells = [
        kit.markdown("# Why is it slow?\n\nwords"),
        kit.code("service: str = 'a'", "parameters"),
        kit.markdown("## Look: latency over time"),
        kit.code("draw()"),
        kit.code("# the distribution\ndraw()"),
        kit.markdown("### Close up"),
        kit.code("draw()"),
        kit.markdown("## Decide\n```\n## no heading\n```"),
        kit.code("rank(everything)\nmore()"),
    ]
    assert titles(cells) == [
        "# Why is it slow?",
        "parameters: defaults",
        "look: latency over time",
        "look: latency over time",
        "look: the distribution",
        "look: Close up",
        "look: Close up",
        "decide",
        "decide",
    ]


def test_a_title_is_safe_on_a_terminal(kit):
    (title,) = titles([kit.code("# \x1b[31mred\u202e" + "x" * 200)])
    assert "\x1b" not in title
    assert "\u202e" not in title
    assert len(title) <= 72


def test_a_notebook_without_headings_is_named_by_its_code(kit):
    assert titles([kit.code("import os\nprint(1)"), kit.code("")]) == ["import os", ""]


@pytest.mark.parametrize(
    ("tags", "seconds"),
    [((), 600), (("timeout-s-5",), 5), (("x", "timeout-s-90"), 90), (("timeout-s-x",), 600)],
)
def test_a_tag_sets_the_cells_timeout(kit, tags, seconds):
    assert timeout_of(kit.code("1", *tags), 600) == seconds


def test_only_code_with_a_source_and_without_the_skip_tag_is_run(kit):
    assert is_run(kit.code("1"))
    assert not is_run(kit.code("  \n"))
    assert not is_run(kit.code("1", "skip-execution"))
    assert not is_run(kit.markdown("1"))


def test_headings_in_fences_are_none():
    cell = {"source": ["# One\n", "~~~\n", "# two\n", "~~~\n", "## Three ##\n"]}
    assert headings_of(cell) == [(1, "One"), (2, "Three")]


@pytest.mark.parametrize(
    ("text", "section"), [("Look: x", "look"), ("4. Decide", "decide"), ("Looking", ""), ("", "")]
)
def test_a_heading_opens_a_section_by_its_first_word(text, section):
    assert section_of(text) == section
