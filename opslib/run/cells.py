"""What a cell is called, which section it belongs to, and what its tags ask of the runner."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from opslib.core.words import printable

# The fixed order of a runbook. The title card comes first and is the cell with the `#` heading.
SECTIONS = ("parameters", "preflight", "look", "decide", "evidence", "change", "verify", "conclusion")
OPTIONAL_SECTIONS = frozenset({"evidence", "change", "verify"})

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
SKIP_TAG = "skip-execution"
RAISES_TAG = "raises-exception"
_TIMEOUT_TAG = re.compile(r"timeout-s-(\d{1,6})")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")

Cell = Mapping[str, Any]


def source_of(cell: Cell) -> str:
    """Return a cell's source, which the format allows to be a text or a list of lines."""
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(map(str, source))
    return source if isinstance(source, str) else ""


def tags_of(cell: Cell) -> tuple[str, ...]:
    tags = cell.get("metadata", {}).get("tags", [])
    return tuple(str(tag) for tag in tags) if isinstance(tags, list) else ()


def is_run(cell: Cell) -> bool:
    """Tell whether the runner executes this cell: code, not empty, not tagged to be skipped."""
    return cell.get("cell_type") == "code" and bool(source_of(cell).strip()) and SKIP_TAG not in tags_of(cell)


def timeout_of(cell: Cell, default_s: float) -> float:
    """Return the cell's time-out in seconds: its tag `timeout-s-N`, else the default."""
    matches = (_TIMEOUT_TAG.fullmatch(tag) for tag in tags_of(cell))
    return next((float(match[1]) for match in matches if match), default_s)


def headings_of(cell: Cell) -> list[tuple[int, str]]:
    """Return (level, text) of a markdown cell's headings outside of code fences."""
    found: list[tuple[int, str]] = []
    fenced = False
    for line in source_of(cell).splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        match = None if fenced else _HEADING.match(line)
        if match:
            found.append((len(match[1]), match[2]))
    return found


def section_of(heading: str) -> str:
    """Return the section that a heading opens (`Look: latency over time` opens look), or an empty text."""
    words = re.findall(r"[a-z]+", heading.lower())
    return words[0] if words and words[0] in SECTIONS else ""


def titles(cells: Sequence[Cell]) -> list[str]:
    """Return a short name of each cell: `look: latency over time`, from headings and the cell's first comment."""
    section, subject, names = "", "", []
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            for level, text in headings_of(cell):
                if level == 1:
                    continue
                opened = section_of(text)
                section = opened or section
                subject = _after_word(text, opened) if opened else text
        name = _own_name(cell)
        words = ("parameters" if PARAMETERS_TAG in tags_of(cell) else section, name or subject)
        names.append(printable(": ".join(word for word in words if word) or _first_line(cell), 72))
    return names


def _own_name(cell: Cell) -> str:
    tags = tags_of(cell)
    if INJECTED_TAG in tags or PARAMETERS_TAG in tags:
        return "as given" if INJECTED_TAG in tags else "defaults"
    first = source_of(cell).strip().partition("\n")[0]
    return first.lstrip("#%").strip() if cell.get("cell_type") == "code" and first.startswith("#") else ""


def _after_word(text: str, word: str) -> str:
    rest = re.sub(rf"^\W*{word}\b[\s:,.–—-]*", "", text, count=1, flags=re.IGNORECASE)
    return rest.strip()


def _first_line(cell: Cell) -> str:
    return source_of(cell).strip().partition("\n")[0]
