"""The runbook keeps its order and calls the library with what it declares; headless on a capture it shows and reports."""

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import opslib
from opslib.core.checks import worst
from opslib.core.outcome import Outcome
from opslib.run import lint_notebook
from opslib.run.declared import declared_parameters, parameters_cell

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "query_logs_and_traces.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


def test_it_keeps_every_rule_of_a_runbook(notebook):
    nbformat.validate(notebook)

    assert worst(lint_notebook(PATH)) is Outcome.PASS
    assert len(json.dumps(notebook)) < 20_000


def test_parameters_are_those_of_the_question_and_all_used(notebook):
    source = parameters_cell(notebook.cells)
    rest = "\n".join(c.source for c in notebook.cells if c.cell_type == "code" and c.source != source)
    declared = {parameter.name: parameter for parameter in declared_parameters(source)}

    assert all(name in rest for name in declared)
    assert set(declared) - {"metric"} == set(inspect.signature(opslib.query_logs).parameters) - {
        "settings",
        "clock",
    }
    assert declared["level"].type_text == "Literal['', 'ERROR', 'WARN', 'INFO', 'DEBUG']"


def test_every_call_is_a_public_name_that_takes_what_it_is_given(notebook):
    (narrowed,) = [
        node.value
        for cell in notebook.cells if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "narrowed"
    ]  # fmt: skip
    more = {key.value: None for key in narrowed.keys}

    for cell in notebook.cells:
        for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                named = {word.arg: None for word in node.keywords if word.arg}
                named |= more if any(word.arg is None for word in node.keywords) else {}
                inspect.signature(getattr(opslib, node.func.attr)).bind(*([None] * len(node.args)), **named)


@pytest.mark.kernel
def test_headless_on_a_capture_it_shows_what_was_asked_and_reports(incident, tmp_path):
    given = {"capture": str(incident), "level": "ERROR", "limit": "5"}
    words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    command = [sys.executable, "-m", "opslib", "run", str(PATH), *words, "--out", str(tmp_path), "--json"]
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=240, env=dict(os.environ)
    )
    record = json.loads(ran.stdout)

    assert (ran.returncode, record["status"], record["verdict"]) == (0, "completed", None), ran.stderr
    report = (tmp_path / record["id"] / "report.html").read_text(encoding="utf-8")
    assert "errors a minute, before none" in report
    assert report.count('class="opslib-figure"') == 3
    assert "The first 5 records of payment with level ERROR" in report
    assert "charged card in &lt;n&gt; ms is new" in report
