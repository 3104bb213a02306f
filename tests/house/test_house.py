"""The house keeps its own rules: names, sizes, layers, quick imports, both environment files alike."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import opslib

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "opslib").rglob("*.py"))


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_public_names_are_sorted_few_and_there() -> None:
    assert sorted(opslib.__all__) == opslib.__all__
    assert len(opslib.__all__) < 60
    assert set(opslib.__all__) == {name for names in opslib._MODULES.values() for name in names}
    for name in opslib.__all__:
        assert getattr(opslib, name).__doc__, f"{name} has no docstring"


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = opslib.nonsense


def test_import_loads_nothing_heavy() -> None:
    loaded = json.loads(python("import sys, json, opslib; print(json.dumps(sorted(sys.modules)))"))

    assert not {"pandas", "numpy", "duckdb", "plotly", "click", "papermill"} & set(loaded)


def test_help_loads_no_room() -> None:
    code = (
        "import sys, json, opslib.cli as c\n"
        "try: c.main(['diagnose', '--help'])\n"
        "except SystemExit: print('@' + json.dumps(sorted(sys.modules)))"
    )
    loaded = set(json.loads(python(code).rpartition("@")[2]))

    assert not {"pandas", "numpy", "duckdb", "plotly", "papermill"} & loaded


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_is_one_concept_with_short_functions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert len(text.splitlines()) <= 300
    long = {f.name: length(f) for f in functions if length(f) > 30}
    assert not long, "lines of code without signature and docstring"
    if path.name != "__main__.py":
        assert ast.get_docstring(tree), "a module's docstring says its invariant"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, without its signature, decorators and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_environment_yml_names_what_pyproject_names() -> None:
    written = subprocess.run(
        [sys.executable, str(ROOT / "scripts/environment_yml.py")], check=True, capture_output=True, text=True
    ).stdout

    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == written


def proven(path: Path) -> str:
    """Return a row of the conformance table: what a module is about, and its tests that ask a cluster, as sentences."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tests = [
        node.name.removeprefix("test_").replace("_", " ")
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.args.args
    ]
    return f"| {(ast.get_docstring(tree) or '').partition(':')[0]} | {' · '.join(tests)} |"


def test_the_page_lists_what_is_proven_equal_and_few_differences() -> None:
    page = (ROOT / "docs/practice-cluster.md").read_text(encoding="utf-8")
    equal, _, different = page.partition("## What is equal")[2].partition("## What is different")
    rows = [line for line in equal.splitlines() if line.startswith("| ")]

    assert rows == [proven(path) for path in sorted((ROOT / "tests/conformance").glob("test_*.py"))]
    assert 0 < different.partition("\n## ")[0].count("\n- ") <= 10


def test_every_dependency_says_why_it_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(r for k, g in project["optional-dependencies"].items() if k != "all" for r in g),
    ]
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for requirement in wanted:
        if not requirement.startswith("opslib-notebooks"):
            (line,) = [line for line in lines if f'"{requirement}"' in line and "{" not in line]
            assert "#" in line, f"{requirement} has no comment"


def test_repository_names_no_machine_of_ours() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split("\n")
    texts = {
        f: (ROOT / f).read_text(encoding="utf-8", errors="ignore")
        for f in files
        if f and (ROOT / f).is_file()
    }
    mine = Path(__file__).relative_to(ROOT).as_posix()
    bad = [
        f
        for f, text in texts.items()
        if f != mine and any(word in text for word in ("/work/", "/root/", "/home/"))
    ]
    assert not bad
