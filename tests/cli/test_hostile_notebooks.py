"""Notebooks and parameters from anywhere: refused with a hint, or run; nothing in them is executed unasked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opslib.core.errors import ParameterError
from opslib.run.declared import declared_parameters
from tests.cli.hostile import Ask

EMPTY: dict[str, Any] = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def cell(source: Any, **metadata: Any) -> dict[str, Any]:
    return {"cell_type": "code", "id": "a", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}  # fmt: skip


def parameters(source: str) -> str:
    return json.dumps(EMPTY | {"cells": [cell(source, tags=["parameters"])]})


NOTEBOOKS = {
    "deep": '{"cells": ' + "[" * 20_000 + "]" * 20_000 + "}",
    "cut": json.dumps(EMPTY)[:20],
    "a number": "5",
    "no text": b"\xff\xfe\x00",
    "cells that are a text": json.dumps(EMPTY | {"cells": "x"}),
    "cells that are numbers": json.dumps(EMPTY | {"cells": [5]}),
    "tags that are a number": json.dumps(EMPTY | {"cells": [cell("1", tags=5)]}),
    "a source that is an object": json.dumps(EMPTY | {"cells": [cell({"a": 1})]}),
    "metadata that is a list": json.dumps(EMPTY | {"metadata": []}),
    "a format of the future": json.dumps(EMPTY | {"nbformat": 9}),
    "a later key that differs": json.dumps(EMPTY)[:-1] + ', "cells": 5}',
    "a parameter without end": parameters("x: int = " + "-" * 100_000 + "1"),
    "a parameter of 6,000 digits": parameters("x: int = 0x" + "f" * 6_000),
    "a parameter that calls": parameters("x: int = __import__('os').system('touch owned')"),
    "a null": parameters("x: int = 1\0"),
}


@pytest.mark.parametrize("kind", NOTEBOOKS)
def test_what_is_no_notebook_is_refused(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content = NOTEBOOKS[kind]
    Path("evil.ipynb").write_bytes(content if isinstance(content, bytes) else content.encode())
    said = ask("run", "evil.ipynb", "--json")

    assert said.code == 2
    assert said.record["error"]["hint"]
    assert ask("notebooks", "lint", "evil.ipynb").code in {1, 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.ipynb"]


def test_a_pipe_is_not_waited_for(ask: Ask, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ipynb")

    assert ask("notebooks", "lint", tmp_path / "pipe.ipynb").code == 2


@pytest.mark.parametrize(
    "given_",
    ["percentile=nan", "percentile=1e999", "percentile=" + "9" * 5_000, "service", "=x", "a b=1", "__import__=1",
     "percentile=__import__('os')", "unknown\u202e=1"],
)  # fmt: skip
def test_parameters_that_cannot_be_are_refused(ask: Ask, tmp_path: Path, given_: str) -> None:
    said = ask("run", "investigate_slow_payment", "-p", given_, "--out", tmp_path / "runs", "--json")

    assert said.code == 2
    assert said.record["error"]["hint"]
    assert "\u202e" not in said.err
    assert not (tmp_path / "runs").exists()


SOURCES = st.text(
    st.sampled_from("ab: =[]{}()'\"\\,|None strintfloatboollistLiteral0123456789e.+-_#\n\t\0\r\x0c\ud800é"), max_size=60
)  # fmt: skip
ODD = [
    "x: int = " + "(" * 500 + "1" + ")" * 500,
    "x: int = " + "[" * 5_000,
    "x: int = 1" + "+1" * 5_000,
    "x: int | None" + "| None" * 3_000 + " = 1",
    "x: Literal[0x" + "f" * 5_000 + "] = 1",
    "x: list[int] = [0x" + "f" * 5_000 + "]",
    "x: float = 1e999",
    "if 1:\n\tx: int=1\n        y: int=2",
    "x: int = 1 \\",
]


@given(SOURCES | st.sampled_from(ODD))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_parameters_cell_of_any_text(source: str) -> None:
    found, hint = (), ""
    try:
        found = declared_parameters(source)
    except ParameterError as error:
        hint = error.hint
    assert hint or isinstance(found, tuple)
    for parameter in found:
        json.dumps(parameter.to_dict())
