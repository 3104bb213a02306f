"""Figures as pieces of an offline page: nothing from outside, nothing that ends the script, words where none runs."""

import json
import re

import pytest

from opslib import ui
from opslib.ui.report import figure_html


def test_a_piece_carries_its_figure_and_its_words(edge):
    drawn = ui.budget_waterfall(edge)
    piece = figure_html(drawn.figure)
    content = json.loads(re.search(r'<script type="application/json">(.*?)</script>', piece, re.DOTALL)[1])

    assert content["data"] == drawn.figure["data"]
    assert content["layout"] == drawn.figure["layout"]
    assert piece.count("<script") == 2
    assert "http" not in piece
    assert 'role="img"' in piece
    assert "edge payment → risk" in piece.partition("<script")[0]


@pytest.mark.parametrize("evil", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028", "&quot;>"])
def test_no_text_of_a_figure_can_end_its_script(evil):
    figure = {"data": [{"type": "bar", "text": evil}], "layout": {"title": {"text": evil}, "height": "x"}}
    piece = figure_html(figure)
    head, _, rest = piece.partition('<script type="application/json">')
    text, _, _ = rest.partition("</script>")

    assert json.loads(text)["data"][0]["text"] == evil
    assert "\u2028" not in text
    assert "<script>" not in head
    assert piece.count("</script>") == 2


def test_the_figure_of_another_library_is_drawn_too():
    piece = figure_html(
        {"data": [], "layout": {"title": "plain", "height": 1e9}, "config": {"plotlyServerURL": "http://x"}}
    )

    assert 'aria-label="plain"' in piece
    assert "http://x" not in piece
    assert "min-height" not in piece
    assert "a figure without a title" in figure_html({})


def test_plotly_js_is_whole_and_cannot_end_its_element():
    script = ui.plotly_js()

    assert len(script) > 3_000_000
    assert "</script" not in script
