"""HTML outputs of a notebook, let into the report through an allow-list of harmless tags, attributes and styles.

An output can hold span names and log lines that nobody escaped, so its HTML is hostile: what is not listed here is
dropped, text is kept and escaped anew, and no link but http(s) stays. Nothing listed can load, run or cover anything.
"""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

_TAGS = frozenset(
    {
        "a",
        "b",
        "br",
        "caption",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "hr",
        "i",
        "kbd",
        "li",
        "ol",
        "p",
    }
    | {
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "pre",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "ul",
        "u",
    }
    | {"table", "tbody", "td", "tfoot", "th", "thead", "tr"}
)
_VOID = frozenset({"br", "hr"})
_HIDDEN = frozenset(
    {"script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math", "textarea"}
)
# The classes that ui's and pandas' own tables use; any other could dress an output up as the report's verdict.
_CLASSES = frozenset({"opslib", "num", "badge", "bar", "box", "hint", "cut", "dots", "scroll", "dataframe"})
_PLAIN = frozenset({"title", "scope", "colspan", "rowspan", "aria-hidden", "aria-label", "open"})
_STYLES = frozenset(
    {"background", "background-color", "color", "width", "font-weight", "font-style", "text-align"}
)
_STYLE_VALUE = re.compile(r"#[0-9a-fA-F]{3,8}|[a-z-]{1,30}|[0-9.]{1,12}(?:em|px|%|)|rgba?\([0-9., %]{1,40}\)")
_LINK = re.compile(r"https?://[^\s\"'<>]{1,2000}")
# Characters that move a cursor or turn the reading order round; a tab and a line feed are none.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MAX_CHARS = 500_000
MAX_DEPTH = 60


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._open: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        if self._hidden or tag not in _TAGS or len(self._open) >= MAX_DEPTH:
            return
        self.parts.append(f"<{tag}{_attributes(tag, attrs)}>")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif not self._hidden and tag in self._open:
            while (closing := self._open.pop()) != tag:
                self.parts.append(f"</{closing}>")
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(escape(CONTROL.sub("\ufffd", data)))

    def finish(self) -> str:
        self.close()
        return "".join(self.parts) + "".join(f"</{tag}>" for tag in reversed(self._open))


def _attributes(tag: str, attrs: list[tuple[str, str | None]]) -> str:
    kept: dict[str, str] = {}
    for name, value in attrs:
        text = value or ""
        if name in _PLAIN and len(text) <= 2000:
            kept.setdefault(name, text)
        elif name == "class":
            kept.setdefault(name, " ".join(word for word in text.split() if word in _CLASSES))
        elif name == "style":
            kept.setdefault(name, _style(text))
        elif tag == "a" and name == "href" and _LINK.fullmatch(text):
            kept |= {"href": text, "rel": "noreferrer noopener"}
    return "".join(f' {name}="{escape(text)}"' for name, text in kept.items() if text or name == "open")


def _style(text: str) -> str:
    kept = []
    for rule in text.split(";"):
        name, _, value = rule.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in _STYLES and _STYLE_VALUE.fullmatch(value):
            kept.append(f"{name}:{value}")
    return ";".join(kept)


def sanitise(html: str) -> str:
    """Return what of an output's HTML is harmless; it closes every tag that it opens."""
    cleaner = _Cleaner()
    cleaner.feed(html[:MAX_CHARS])
    return cleaner.finish()
