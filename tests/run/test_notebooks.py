"""The list of runbooks and the rules that make one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opslib.core.checks import worst
from opslib.core.errors import UsageError
from opslib.core.outcome import Outcome
from opslib.run import lint_notebook, list_notebooks, shipped_notebooks

CARD = "# Why is it slow?\n\nNames the\nguilty element.\n\n**Purpose** x **Needs** x **Permissions** x **Blast radius** x"
PARAMETERS = 'service: str = "payment"  # the slow one\nconfirm: str = ""  # the plan\'s token'


@pytest.fixture
def good(kit):
    return [
        kit.markdown(CARD),
        kit.markdown("## Parameters"),
        kit.code(PARAMETERS, "parameters"),
        kit.markdown("## Preflight"),
        kit.code("import opslib\nopslib.preflight_table(service)"),
        kit.markdown("## Look: latency"),
        kit.code("inv = opslib.find_cause(service)"),
        kit.markdown("## Decide"),
        kit.code("opslib.candidates(inv)"),
        kit.markdown("## Change"),
        kit.code("plan.apply(confirm)"),
        kit.markdown("## Conclusion"),
        kit.code("opslib.conclude(inv)"),
    ]


def wrong(path: Path) -> dict[str, str]:
    return {c.name: c.statement for c in lint_notebook(path) if c.outcome is not Outcome.PASS}


def test_a_runbook_as_it_should_be_passes_every_rule(write, good):
    checks = lint_notebook(write(*good))
    assert worst(checks) is Outcome.PASS
    assert len(checks) == 9


def change(index, cell):
    return lambda cells, kit: cells.__setitem__(index, cell(kit))


@pytest.mark.parametrize(
    "case",
    [
        (change(0, lambda kit: kit.markdown("words")), "title card", "no title card"),
        (
            change(0, lambda kit: kit.markdown("# T\nPurpose, needs, permissions")),
            "title card",
            "blast radius",
        ),
        (change(7, lambda kit: kit.markdown("## Conclusion")), "order", "no section decide"),
        (change(3, lambda kit: kit.markdown("## Look")), "order", "there 2 times"),
        (lambda cells, _: cells.insert(2, cells.pop(7)), "order", "come as parameters, decide"),
        (change(2, lambda kit: kit.code(PARAMETERS)), "parameters", "0 cells are tagged"),
        (
            change(2, lambda kit: kit.code("confirm: str = ''", "parameters")),
            "parameters",
            "`confirm` has no help",
        ),
        (
            change(2, lambda kit: kit.code("confirm: str = ''  # x\nLIMIT = 5", "parameters")),
            "parameters",
            "LIMIT",
        ),
        (
            change(2, lambda kit: kit.code("a: dict = {}", "parameters")),
            "parameters",
            "no parameter can have",
        ),
        (
            change(2, lambda kit: kit.code("a: str = ''  # x", "parameters")),
            "guarded change",
            "no parameter `confirm",
        ),
        (
            change(2, lambda kit: kit.code("confirm: str = 'yes'  # x", "parameters")),
            "guarded change",
            "confirm",
        ),
        (change(4, lambda kit: kit.code("!kubectl apply -f missing.yaml")), "no shell", "!kubectl"),
        (change(4, lambda kit: kit.code("%%bash\nexit 4")), "no shell", "%%bash"),
        (change(4, lambda kit: kit.code("out = !ls")), "no shell", "out = !ls"),
        (change(4, lambda kit: kit.code("pd.read_csv('data.csv')")), "no relative paths", "read_csv"),
        (change(4, lambda kit: kit.code("open('../x')")), "no relative paths", "open"),
        (change(4, lambda kit: kit.code("def f(): pass")), "no logic", "defines `f`"),
        (change(4, lambda kit: kit.code("x = 1\n" * 13)), "no logic", "13 lines"),
        (change(4, lambda kit: kit.code("1 +")), "python", "cell 4"),
        (change(4, lambda kit: kit.code("1") | {"execution_count": 3}), "stripped", "execution count"),
        (change(4, lambda kit: kit.code("1") | {"metadata": {"papermill": {}}}), "stripped", "papermill"),
    ],
)
def test_each_rule_finds_its_fault(write, good, kit, case):
    edit, rule, words = case
    edit(good, kit)
    found = wrong(write(*good))
    assert words in found[rule]


def test_what_the_rules_let_pass(write, good, kit):
    good[4] = kit.code("x = 5 % 3\nopen('/etc/hosts')\nlog = opslib.preflight('!x')\nawait go()")
    assert wrong(write(*good)) == {}


def test_at_most_three_faults_of_a_kind_are_told(write, good, kit):
    good[4] = kit.code("!a\n!b\n!c\n!d\n!e")
    assert wrong(write(*good))["no shell"].endswith("and 2 more")


@pytest.mark.parametrize("content", ["x", "[]", '{"cells": [1]}', '{"cells": 1}', "[" * 100_000])
def test_what_is_no_notebook_cannot_be_linted(tmp_path, content):
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(UsageError, match="no notebook"):
        lint_notebook(path)


def test_cards_tell_title_purpose_and_typed_parameters(write, good, tmp_path):
    write(*good, name="b")
    (tmp_path / "a.ipynb").write_text("broken")
    (tmp_path / "c.ipynb").write_text(json.dumps({"cells": []}))
    broken, card, empty = list_notebooks(tmp_path)
    assert "no notebook" in broken.problem
    assert (card.title, card.purpose) == ("Why is it slow?", "Names the guilty element.")
    assert [p.name for p in card.parameters] == ["service", "confirm"]
    assert card.to_dict()["parameters"][0] == {
        "name": "service",
        "type": "str",
        "default": "payment",
        "help": "the slow one",
    }
    assert (empty.title, empty.parameters) == ("c", ())
    json.dumps([c.to_dict() for c in (broken, card, empty)])


def test_the_shipped_notebooks_are_found_in_the_source_tree():
    assert shipped_notebooks().name in {"notebooks", "_notebooks"}
    assert shipped_notebooks().is_dir()


@pytest.mark.parametrize("path", sorted(shipped_notebooks().glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_shipped_notebook_keeps_the_rules(path):
    assert wrong(path) == {}
