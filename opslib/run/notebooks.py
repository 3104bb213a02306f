"""The runbooks in a folder as cards: what each is for and what it can be given. Nothing is executed."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslib.core.errors import OpslibError, UsageError
from opslib.run.cells import headings_of, source_of
from opslib.run.declared import Parameter, declared_parameters, parameters_cell

MAX_NOTEBOOK_BYTES = 50_000_000
_HINT = "`opslib notebooks list` shows what there is"


@dataclass(frozen=True, slots=True)
class NotebookCard:
    """One runbook: its title, its purpose in the title card's own words, its typed parameters.

    `problem` says why a file cannot be used; its other fields are then empty.
    """

    path: Path
    title: str
    purpose: str = ""
    parameters: tuple[Parameter, ...] = ()
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "title": self.title,
            "purpose": self.purpose,
            "parameters": [parameter.to_dict() for parameter in self.parameters],
            "problem": self.problem,
        }


def read_bounded(notebook: Path) -> str:
    """Return the text of a notebook file. Raises UsageError."""
    try:
        status = notebook.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise UsageError(f"{notebook} is no regular file", hint=_HINT)
        if status.st_size > MAX_NOTEBOOK_BYTES:
            raise UsageError(f"{notebook} is larger than {MAX_NOTEBOOK_BYTES // 1_000_000} MB", hint=_HINT)
        return notebook.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {notebook}: {error.strerror}", hint=_HINT) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{notebook} is no notebook: it is not UTF-8", hint=_HINT) from error


def read_cells(notebook: Path) -> Sequence[Mapping[str, Any]]:
    """Return the cells of a notebook as plain dicts, without the cost of nbformat. Raises UsageError."""
    try:
        content = json.loads(read_bounded(notebook))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{notebook} is no notebook: it is not JSON", hint=_HINT) from error
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or not all(_is_cell(cell) for cell in cells):
        raise UsageError(f"{notebook} is no notebook: it has no list of cells", hint=_HINT)
    return cells


def _is_cell(cell: Any) -> bool:
    return isinstance(cell, dict) and isinstance(cell.get("metadata", {}), dict) and "cell_type" in cell


def shipped_notebooks() -> Path:
    """Return the folder of the notebooks that come with opslib, in an installed package or a source tree."""
    package = Path(__file__).parents[1]
    packed = package / "_notebooks"
    return packed if packed.is_dir() else package.parent / "notebooks"


def list_notebooks(folder: Path) -> list[NotebookCard]:
    """Return a card for each notebook in a folder, by name; one that cannot be read says why."""
    return [card(path) for path in sorted(folder.glob("*.ipynb"))]


def card(path: Path) -> NotebookCard:
    """Return the card of one notebook."""
    try:
        cells = read_cells(path)
        title, purpose = title_and_purpose(cells)
        return NotebookCard(path, title or path.stem, purpose, declared_parameters(parameters_cell(cells)))
    except OpslibError as error:
        return NotebookCard(path, path.stem, problem=str(error))


def title_and_purpose(cells: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the first heading of level one and the first paragraph after it."""
    for cell in cells:
        if cell.get("cell_type") != "markdown":
            continue
        title = next((text for level, text in headings_of(cell) if level == 1), "")
        if title:
            after = source_of(cell).partition(title)[2]
            paragraphs = (" ".join(part.split()) for part in after.split("\n\n"))
            return title, next((part for part in paragraphs if part and not part.startswith("#")), "")
    return "", ""
