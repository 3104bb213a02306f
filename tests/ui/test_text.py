"""Foreign text reaches a reader as text: escaped, bounded, printable; identifiers are copied whole."""

import re
from html.parser import HTMLParser

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from opslib.ui.palette import BADGES, faded
from opslib.ui.tables import MAX_ROWS, badge, bar, frame_table, plain, table
from opslib.ui.text import html, identifier, label, wrapped


class Reader(HTMLParser):
    """What a browser would show and copy: tags met, text left."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.text, self.titles, self._hidden = [], "", [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if "title" in given:
            self.titles.append(given["title"])
        self._hidden.append("dots" in (given.get("class") or ""))

    def handle_endtag(self, _tag):
        self._hidden.pop()

    def handle_data(self, data):
        if not any(self._hidden):
            self.text += data


@given(st.text(max_size=120))
def test_any_text_is_shown_and_copied_as_itself(text):
    shown = Reader(identifier(text, 20))

    assert set(shown.tags) <= {"span"}
    assert shown.titles == [shown.text]
    clean = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    assert shown.text == clean
    assert Reader(html(text)).text == clean


@given(st.text(max_size=300))
def test_labels_hold_no_markup_and_no_tex(text):
    for written in (label(text, 40), wrapped(text).replace("<br>", "")):
        assert "<" not in written
        assert ">" not in written
        assert "$" not in written
        assert not re.search(r"&(?!(amp|lt|gt|#36);)", written)


@given(st.lists(st.text("abc<&", min_size=1, max_size=20), min_size=1, max_size=40))
def test_titles_break_at_blanks_and_are_bounded(words):
    lines = wrapped(" ".join(words), 30, 3).split("<br>")

    assert len(lines) <= 3


def test_a_table_opens_ten_rows_and_folds_the_rest():
    rows = [[html(f"row {i}"), html("<b>")] for i in range(25)]
    drawn = table(["name", "what"], rows, caption=html("twenty-five"), numbers=frozenset({1}))
    opened, _, folded = drawn.partition("<details>")

    assert opened.count("<tr>") == 11
    assert folded.count("<tr>") == 16
    assert "15 more" in folded
    assert opened.count('scope="col"') == 2
    assert opened.count('scope="row"') == 10
    assert "<b>" not in drawn
    assert "<caption>twenty-five</caption>" in drawn


def test_a_long_frame_says_what_it_leaves_out():
    frame = pd.DataFrame({"a": range(MAX_ROWS + 7), "b": [None] * (MAX_ROWS + 7), "c": 1.23456})
    drawn = frame_table(frame)

    assert "7 more rows are not shown" in drawn
    assert "<td>–</td>" in drawn
    assert "1.235" in drawn
    assert plain(frame).endswith(f"({MAX_ROWS - 3} more)")


def test_badges_have_black_text_on_known_colours():
    assert all(re.fullmatch(r"#[0-9A-F]{6}", colour) for colour in BADGES.values())
    for colour in BADGES.values():
        assert contrast(colour, "#000000") >= 4.5
    assert ">no data<" in badge("no_data")
    assert faded("#E69F00", 0.5) == "rgba(230,159,0,0.5)"


def test_bars_stay_in_their_cell():
    assert "width:4.00em" in bar(7)
    assert "width:0.00em" in bar(-1)


def contrast(one, other):
    """The contrast ratio of WCAG 2."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_neutral_text_is_readable_on_both_grounds():
    from opslib.ui.palette import TEXT

    assert contrast(TEXT, "#FFFFFF") >= 4.2
    assert contrast(TEXT, "#111111") >= 4.2
