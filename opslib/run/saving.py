"""The notebook as it is kept: after each cell, atomically, and without secrets.

The given parameters stand in the copy masked; papermill's own metadata are left out, since they hold the parameters
once more and statuses that are not true (a timed-out cell reads `completed`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opslib.core.journal import write_atomic
from opslib.core.redact import Redactor
from opslib.run.cells import INJECTED_TAG, tags_of
from opslib.run.values import literal

# An output larger than this is cut: a cell that prints without end must not fill the disk or the report.
MAX_OUTPUT_CHARS = 2_000_000


def parameters_source(values: Mapping[str, Any]) -> str:
    """Return the source of the cell that sets parameters; values are plain literals and cannot be code."""
    return "# Parameters\n" + "".join(f"{name} = {literal(value)}\n" for name, value in values.items())


class Saver:
    """Writes a redacted copy of a running notebook; cells that did not change since the last time are not redone."""

    def __init__(self, path: Path, redactor: Redactor, shown_parameters: Mapping[str, Any]) -> None:
        self._path, self._redactor = path, redactor
        self._parameters_source = parameters_source(shown_parameters)
        self._kept: dict[int, tuple[list[Any], dict[str, Any]]] = {}

    def save(self, nb: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Write the notebook as it is now and return the redacted copy; `metadata` is added under `opslib`."""
        copied = {
            "cells": [self._cell(index, cell) for index, cell in enumerate(nb["cells"])],
            "metadata": {**self._metadata(nb["metadata"]), "opslib": dict(metadata)},
            "nbformat": nb["nbformat"],
            "nbformat_minor": nb["nbformat_minor"],
        }
        write_atomic(self._path, json.dumps(copied, indent=1, ensure_ascii=False) + "\n")
        return copied

    def _cell(self, index: int, cell: Mapping[str, Any]) -> dict[str, Any]:
        # Outputs are replaced, never edited in place, so the same objects mean the same content. They are held here,
        # so that no other object can take their place.
        marks = [cell.get("execution_count")]
        for output in cell.get("outputs", []):
            marks += [output, output.get("data"), output.get("text")]
        before = self._kept.get(index)
        if before is not None and list(map(id, before[0])) == list(map(id, marks)):
            return before[1]
        kept = self._redacted(cell)
        self._kept[index] = (marks, kept)
        return kept

    def _redacted(self, cell: Mapping[str, Any]) -> dict[str, Any]:
        kept = self._redactor.data({k: v for k, v in cell.items() if k != "outputs"})
        if INJECTED_TAG in tags_of(cell):
            kept["source"] = self._parameters_source
        kept["metadata"] = {k: v for k, v in kept["metadata"].items() if k not in {"papermill", "execution"}}
        if cell["cell_type"] == "code":
            kept["outputs"] = [self._output(output) for output in cell.get("outputs", [])]
            kept.setdefault("execution_count", None)
        return dict(kept)

    def _output(self, output: Mapping[str, Any]) -> Any:
        if output["output_type"] == "stream" and len(text := output["text"]) > MAX_OUTPUT_CHARS:
            cut = f"\n[{len(text) - MAX_OUTPUT_CHARS:,} characters left out]\n"
            output = {**output, "text": text[:MAX_OUTPUT_CHARS] + cut}
        return self._redactor.data(copy.copy(dict(output)))

    def _metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {k: self._redactor.data(v, k) for k, v in metadata.items() if k not in {"papermill", "opslib"}}
