"""The runbook keeps its order and calls the library with what it declares; on a lab it comes to a verdict."""

import inspect
import json
from pathlib import Path

import nbformat
import pytest

import opslib
from opslib.run.declared import declared_parameters, parameters_cell

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "investigate_slow_payment.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


def test_it_is_a_valid_notebook_without_outputs(notebook):
    nbformat.validate(notebook)

    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(
        not cell.outputs and cell.execution_count is None
        for cell in notebook.cells
        if cell.cell_type == "code"
    )
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_sections_stand_in_their_order(notebook):
    heads = [c.source.splitlines()[0] for c in notebook.cells if c.cell_type == "markdown"]

    assert heads[0].startswith("# ")
    assert [head.split()[1].rstrip(":").lower() for head in heads[1:]] == [
        "parameters", "preflight", "look", "decide", "evidence", "conclusion",
    ]  # fmt: skip
    for word in ("Purpose", "Needs", "Permissions", "Blast radius"):
        assert word in notebook.cells[0].source


def test_parameters_are_typed_helped_and_all_used(notebook):
    source = parameters_cell(notebook.cells)
    rest = "\n".join(c.source for c in notebook.cells if c.cell_type == "code" and c.source != source)

    for parameter in declared_parameters(source):
        assert parameter.help
        assert parameter.name in rest


def test_every_call_is_a_public_name_that_takes_what_it_is_given(notebook):
    import ast

    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                function = getattr(opslib, node.func.attr)
                named = {word.arg: None for word in node.keywords}
                inspect.signature(function).bind(*([None] * len(node.args)), **named)


def test_it_is_small(notebook):
    assert len(json.dumps(notebook)) < 20_000
    assert all(len(c.source.splitlines()) <= 12 for c in notebook.cells if c.cell_type == "code")
