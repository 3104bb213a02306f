"""Markdown cells as HTML: headings, paragraphs, lists, tables, code, emphasis and http(s) links; the rest stays text.

Everything is escaped first and marked up after, so a cell cannot bring markup of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

_CODE = re.compile(r"(`+)(.+?)\1")
_INLINE: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"\[([^\]]{1,300})\]\((https?://[^\s()<>\"']{1,2000})\)"),
        r'<a href="\2" rel="noreferrer noopener">\1</a>',
    ),
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w*])[*_](?=\S)([^*_]+?)(?<=\S)[*_](?![\w*])"), r"<em>\1</em>"),
)
_ITEM = re.compile(r"\s*(?:[-*+]|(\d+)[.)])\s+(.*)")
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_Block = Callable[[list[str]], str]


def prose(source: str) -> str:
    """Return a markdown cell as HTML; its headings are one level lower than written, the report has the first."""
    lines = source.splitlines()
    parts: list[str] = []
    while lines:
        if not lines[0].strip():
            lines.pop(0)
            continue
        block = next(block for starts, block in _BLOCKS if starts(lines))
        parts.append(block(lines))
    return "\n".join(parts)


def _inline(text: str) -> str:
    parts: list[str] = []
    end = 0
    for match in _CODE.finditer(text):
        parts += [_marked(text[end : match.start()]), f"<code>{escape(match[2].strip())}</code>"]
        end = match.end()
    return "".join([*parts, _marked(text[end:])])


def _marked(text: str) -> str:
    html = escape(text, quote=False)
    for pattern, replacement in _INLINE:
        html = pattern.sub(replacement, html)
    return html


def _take(lines: list[str], while_: Callable[[str], bool]) -> list[str]:
    taken = []
    while lines and while_(lines[0]):
        taken.append(lines.pop(0))
    return taken


def _is_fence(line: str) -> bool:
    return line.lstrip().startswith(("```", "~~~"))


def _fence(lines: list[str]) -> str:
    lines.pop(0)
    inside = _take(lines, lambda line: not _is_fence(line))
    if lines:
        lines.pop(0)
    return f"<pre><code>{escape(chr(10).join(inside))}</code></pre>"


def _heading(lines: list[str]) -> str:
    match = _HEADING.match(lines.pop(0))
    level = min(6, len(match[1]) + 1) if match else 2
    return f"<h{level}>{_inline(match[2] if match else '')}</h{level}>"


def _list(lines: list[str]) -> str:
    ordered = bool((first := _ITEM.match(lines[0])) and first[1])
    items: list[str] = []
    for line in _take(lines, lambda line: bool(line.strip()) and not _HEADING.match(line)):
        match = _ITEM.match(line)
        if match:
            items.append(match[2])
        else:
            items[-1] += " " + line.strip()
    tag = "ol" if ordered else "ul"
    return f"<{tag}>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</{tag}>"


def _is_table(lines: list[str]) -> bool:
    return (
        len(lines) > 1 and all("|" in line for line in lines[:2]) and bool(_RULE.fullmatch(lines[1].strip()))
    )


def _table(lines: list[str]) -> str:
    head, _, *rows = _take(lines, lambda line: "|" in line)
    body = "".join(f"<tr>{_row(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{_row(head, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(line: str, tag: str) -> str:
    cells = line.strip().removeprefix("|").removesuffix("|").split("|")
    return "".join(f"<{tag}>{_inline(cell.strip())}</{tag}>" for cell in cells)


def _quote(lines: list[str]) -> str:
    inside = _take(lines, lambda line: line.startswith(">"))
    return f"<blockquote>{_inline(' '.join(line.lstrip('> ') for line in inside))}</blockquote>"


def _paragraph(lines: list[str]) -> str:
    text = [lines.pop(0).strip()]
    text += [line.strip() for line in _take(lines, lambda line: bool(line.strip()) and not _opens(line))]
    return f"<p>{_inline(' '.join(text))}</p>"


def _opens(line: str) -> bool:
    return _is_fence(line) or bool(_HEADING.match(line)) or bool(_ITEM.match(line)) or line.startswith(">")


_BLOCKS: tuple[tuple[Callable[[list[str]], bool], _Block], ...] = (
    (lambda lines: _is_fence(lines[0]), _fence),
    (lambda lines: bool(_HEADING.match(lines[0])), _heading),
    (_is_table, _table),
    (lambda lines: bool(_ITEM.match(lines[0])), _list),
    (lambda lines: lines[0].startswith(">"), _quote),
    (lambda _lines: True, _paragraph),
)
