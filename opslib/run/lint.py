"""What makes a notebook a runbook that can be trusted at night: a fixed order, no logic, no shell, nothing left in it.

A rule is a function from a notebook's cells to what it finds wrong; every rule that finds nothing passes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from opslib.core.checks import Check
from opslib.core.errors import OpslibError
from opslib.core.outcome import Outcome
from opslib.run.cells import (
    OPTIONAL_SECTIONS,
    PARAMETERS_TAG,
    SECTIONS,
    headings_of,
    section_of,
    source_of,
    tags_of,
    titles,
)
from opslib.run.declared import NO_PYTHON, declared_parameters, parameters_cell
from opslib.run.notebooks import read_cells, title_and_purpose

MAX_LINES = 12
CARD_WORDS = ("purpose", "needs", "permissions", "blast radius")
_KEPT_METADATA = frozenset({"tags", "editable", "slideshow", "jp-MarkdownHeadingCollapsed"})
Cells = Sequence[Mapping[str, Any]]
Rule = Callable[[Cells], Iterator[str]]


def lint_notebook(path: Path) -> tuple[Check, ...]:
    """Return one check per rule. Raises UsageError where the file is no notebook."""
    cells = read_cells(path)
    return tuple(_check(name, rule, hint, cells) for name, (rule, hint) in RULES.items())


def _check(name: str, rule: Rule, hint: str, cells: Cells) -> Check:
    try:
        found = list(rule(cells))
    except RecursionError:
        found = ["a cell is nested too deeply"]
    if not found:
        return Check(name, Outcome.PASS, "as it should be")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return Check(name, Outcome.FAIL, "; ".join(found[:3]) + more, hint)


def _code(cells: Cells) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return ((number, cell) for number, cell in enumerate(cells) if cell.get("cell_type") == "code")


def title_card(cells: Cells) -> Iterator[str]:
    title, _ = title_and_purpose(cells[:1])
    if not title:
        yield "the first cell is no title card with a `#` heading"
        return
    text = source_of(cells[0]).lower()
    yield from (f"the title card does not tell its {word}" for word in CARD_WORDS if word not in text)


def order(cells: Cells) -> Iterator[str]:
    """The sections stand in their order, each once."""
    opened = [
        section
        for cell in cells
        if cell.get("cell_type") == "markdown"
        for level, text in headings_of(cell)
        if level == 2 and (section := section_of(text))
    ]
    for section in SECTIONS:
        if section not in opened and section not in OPTIONAL_SECTIONS:
            yield f"there is no section {section}"
        if opened.count(section) > 1:
            yield f"the section {section} is there {opened.count(section)} times"
    wanted = [section for section in SECTIONS if section in opened]
    if sorted(opened, key=SECTIONS.index) != opened:
        yield f"the sections come as {', '.join(opened)}, and not as {', '.join(wanted)}"


def parameters(cells: Cells) -> Iterator[str]:
    """One cell tagged `parameters`, every parameter typed, with help; no constant without a type."""
    tagged = [cell for cell in cells if PARAMETERS_TAG in tags_of(cell)]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged `{PARAMETERS_TAG}`"
        return
    source = parameters_cell(cells)
    try:
        declared = declared_parameters(source)
    except OpslibError as error:
        yield str(error)
        return
    yield from (f"`{p.name}` has no help" for p in declared if not p.help)
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign | ast.ImportFrom):
            yield f"`{ast.unparse(node)[:40]}` is no declaration"


def guarded_change(cells: Cells) -> Iterator[str]:
    """A section that changes something needs `confirm`, empty by default, so that Run All only plans."""
    names = titles(cells)
    changes = [cell for cell, name in zip(cells, names, strict=True) if name.partition(":")[0] == "change"]
    if not any(cell.get("cell_type") == "code" for cell in changes):
        return
    try:
        declared = {p.name: p.default for p in declared_parameters(parameters_cell(cells))}
    except OpslibError:
        return
    if declared.get("confirm") != "":
        yield "there is a change but no parameter `confirm: str = ''`"


def no_shell(cells: Cells) -> Iterator[str]:
    """A failing `!command` does not fail its cell; and magics run only in a notebook."""
    for number, cell in _code(cells):
        for line in source_of(cell).splitlines():
            if re.match(r"\s*(?:[\w, ]+=\s*)?[!%]", line):
                yield f"cell {number}: `{line.strip()[:40]}`"


def no_relative_paths(cells: Cells) -> Iterator[str]:
    """A front end starts in the notebook's folder, a runner in its own."""
    opens = {"open", "Path", "read_csv", "read_parquet", "read_json", "chdir"}
    for number, tree in _trees(cells):
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            value = node.args[0].value
            if name in opens and isinstance(value, str) and not value.startswith(("/", "~", "http")):
                yield f"cell {number}: {name}({value!r:.40})"


def no_logic(cells: Cells) -> Iterator[str]:
    """Cells call the library; they are short and define nothing."""
    for number, cell in _code(cells):
        lines = [
            line for line in source_of(cell).splitlines() if line.strip() and not line.strip().startswith("#")
        ]
        if PARAMETERS_TAG not in tags_of(cell) and len(lines) > MAX_LINES:
            yield f"cell {number} has {len(lines)} lines"
    for number, tree in _trees(cells):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield f"cell {number} defines `{node.name}`"


def _trees(cells: Cells) -> Iterator[tuple[int, ast.AST]]:
    for number, cell in _code(cells):
        try:
            yield number, ast.parse(source_of(cell))
        except NO_PYTHON:
            continue


def is_python(cells: Cells) -> Iterator[str]:
    for number, cell in _code(cells):
        source = "\n".join("pass" if re.match(r"\s*[!%]", x) else x for x in source_of(cell).splitlines())
        try:
            compile(source, f"cell {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except NO_PYTHON as error:
            yield f"cell {number}: {error}"


def stripped(cells: Cells) -> Iterator[str]:
    """Outputs can hold what nobody may see, and make every change unreadable."""
    for number, cell in _code(cells):
        if cell.get("outputs") or cell.get("execution_count") is not None:
            yield f"cell {number} has outputs or an execution count"
        kept = set(cell.get("metadata", {})) - _KEPT_METADATA
        if kept:
            yield f"cell {number} has the metadata {', '.join(sorted(kept))}"


RULES: dict[str, tuple[Rule, str]] = {
    "title card": (title_card, f"begin with `# Title` and tell {', '.join(CARD_WORDS)}"),
    "order": (order, f"use `## ` headings in this order: {', '.join(SECTIONS)}"),
    "parameters": (parameters, "one tagged cell, each line `name: type = default  # help`"),
    "guarded change": (guarded_change, "declare `confirm: str = ''  # the plan's token` and pass it on"),
    "python": (is_python, "the cell does not compile"),
    "no shell": (no_shell, "call a function of the library instead"),
    "no relative paths": (no_relative_paths, "let opslib resolve paths, or take one as a parameter"),
    "no logic": (no_logic, "move it into the library; a cell calls it"),
    "stripped": (stripped, "run nbstripout on it"),
}
