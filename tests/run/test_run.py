"""A headless run from parameters to exit code and folder; each test runs a kernel, or reads the one rich run."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import junitparser
import pytest

from opslib.core.errors import ParameterError, RefusedError, UsageError
from opslib.core.outcome import RESULT_MIME

pytestmark = pytest.mark.kernel

SECRET = "correct-horse-battery"
PARAMETERS = """
service: str = "payment"  # which service
apply: bool = True
environment: str = "lab"
api_token: str = ""  # a secret
hosts: list[str] = []
"""
FIGURE = """
from IPython.display import display
figure = {"data": [{"type": "scatter", "x": [1, 2], "y": [3, 4]}], "layout": {"title": {"text": "a </script> title"}}}
display({"application/vnd.plotly.v1+json": figure, "text/plain": "a figure"}, raw=True)
"""
WIDGET = """
import ipywidgets
field = ipywidgets.Password(value=api_token)
display(field)
"""


def result_cell(outcome: str, verdict: object = None) -> str:
    content = {RESULT_MIME: {"outcome": outcome, "verdict": verdict}}
    return f"from IPython.display import display\ndisplay({content!r}, raw=True)"


@pytest.fixture(scope="module")
def rich(tmp_path_factory, kit):
    """One run with a bit of everything, in a folder whose name would be a format string to papermill."""
    folder = tmp_path_factory.mktemp("rich")
    notebook = kit.write_notebook(
        folder,
        kit.markdown("# A sample\n\nFor tests."),
        kit.code(PARAMETERS, "parameters"),
        kit.markdown("## Look: at everything"),
        "# what was given\nimport os\nprint([service, apply, environment, hosts, os.getcwd(), os.environ['OPSLIB_RUN_DIR']])",
        "print('the token is', api_token)\nf'postgres://user:{api_token}@db/x'",
        FIGURE,
        WIDGET,
        kit.code("raise ValueError(f'not with {api_token}')", "raises-exception"),
        kit.code("never_run", "skip-execution"),
        "from IPython.display import HTML\nHTML('<b onclick=x>bold</b><script>alert(1)</script>')",
        kit.markdown("## Conclusion"),
        result_cell("pass", {"summary": "an early word"}),
        result_cell("fail", {"summary": "risk is slow", "note": SECRET}),
    )
    file = folder / "p.yaml"
    file.write_text(
        f"service: from-file\napply: true\napi_token: {SECRET}\nhosts: [a, b]\nenvironment: from-file\n"
    )
    return kit.run_in(
        folder,
        notebook,
        parameters=[("service", 'pay\'s "ment"'), ("apply", "false")],
        parameters_file=file,
        environment="prod",
        out=folder / "runs {pm[run_uuid]}" / "deep",
    )


def test_the_last_result_decides(rich):
    assert rich.exit_code == 1
    assert rich.record["outcome"] == "fail"
    assert rich.record["verdict"]["summary"] == "risk is slow"


def test_run_json_holds_the_contracts_keys(rich):
    written = json.loads(rich.text("run.json"))
    assert written == rich.record
    assert list(written) == [
        "schema",
        "id",
        "notebook",
        "parameters",
        "environment",
        "started",
        "ended",
        "status",
        "exit_code",
        "verdict",
        "outcome",
        "versions",
    ]
    assert written["status"] == "completed"
    assert written["environment"] == "prod"
    assert written["started"] < written["ended"]
    assert written["versions"]["python"] == sys.version.split()[0]
    assert {"opslib", "papermill", "ipykernel"} <= set(written["versions"])
    assert written["id"] == rich.result.folder.id


def test_parameters_reach_the_cells_typed_with_later_sources_winning(rich):
    printed = rich.notebook["cells"][4]["outputs"][0]["text"]
    assert printed.startswith("""['pay\\'s "ment"', False, 'prod', ['a', 'b'], """)
    assert rich.record["parameters"] == {
        "service": 'pay\'s "ment"',
        "apply": False,
        "environment": "prod",
        "api_token": "[redacted]",
        "hosts": ["a", "b"],
    }


def test_the_kernel_works_where_the_runner_does_and_knows_its_folder(rich):
    printed = rich.notebook["cells"][4]["outputs"][0]["text"]
    assert os.getcwd() in printed  # noqa: PTH109 - compared with what os.getcwd gave in the kernel
    assert str(rich.result.folder.path) in printed


def test_no_file_of_the_run_holds_the_secret(rich):
    for path in rich.result.folder.path.iterdir():
        assert SECRET not in path.read_text(), path.name
    given = next(c for c in rich.notebook["cells"] if "injected-parameters" in c["metadata"]["tags"])
    assert "api_token = '[redacted]'" in given["source"]
    assert "Password" in json.dumps(rich.notebook["metadata"]["widgets"])


def test_papermills_statuses_are_not_kept(rich):
    assert "papermill" not in rich.text("notebook.ipynb")


def test_events_name_cells_as_in_the_source_notebook(rich):
    ended = [(e.get("cell"), e["status"]) for e in rich.events if e["event"] == "cell_finished"]
    assert ended == [
        (1, "ok"),
        (None, "ok"),  # the cell with the given parameters is in no source notebook
        (3, "ok"),
        (4, "ok"),
        (5, "ok"),
        (6, "ok"),
        (7, "allowed_error"),
        (8, "skipped"),
        (9, "ok"),
        (11, "ok"),
        (12, "ok"),
    ]
    assert {e["pid"] for e in rich.events} == {os.getpid()}
    times = [e["time_unix_nano"] for e in rich.events]
    assert times == sorted(times)
    assert [e["event"] for e in rich.events][:2] == ["run_started", "kernel_started"]
    assert rich.events[-1] | {"event": "run_finished", "exit_code": 1} == rich.events[-1]


def test_the_live_line_counts_the_cells_that_run(rich):
    started = [told for told in rich.live.told if told[0] == "started"]
    assert started[0] == ("started", 1, 10, "parameters: defaults")
    assert started[1] == ("started", 2, 10, "parameters: as given")
    assert started[2] == ("started", 3, 10, "look: what was given")
    assert started[-1][1:3] == (10, 10)


def test_junit_has_a_case_per_code_cell_and_one_for_the_verdict(rich):
    suite = next(iter(junitparser.JUnitXml.fromstring(rich.text("junit.xml"))))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (12, 1, 0, 1)
    *_, verdict = suite
    assert verdict.name == "verdict"
    assert "risk is slow" in verdict.result[0].message


def test_the_report_draws_every_figure_and_loads_nothing(rich):
    report = rich.text("report.html")
    assert report.count('class="opslib-figure"') == 1
    assert "Plotly.newPlot" in report
    assert not re.findall(r"(?:src|href)\s*=\s*\\?[\"']?(?:https?:)?//", report)
    own = report.replace(report.partition("<script nonce")[2].partition("</script>")[0], "")
    assert "a </script> title" not in report
    assert "default-src 'none'" in own
    assert "<b>bold</b>" in own
    assert "<script>alert(1)" not in own
    assert "risk is slow" in own


def test_the_summary_says_it_in_a_few_lines(rich):
    assert rich.text("summary.md").startswith("### FAIL: risk is slow\n")


def test_a_run_without_a_result_passes_and_an_empty_notebook_too(write, run):
    ran = run(write("1 + 1"))
    assert (ran.exit_code, ran.record["outcome"], ran.record["verdict"]) == (0, "pass", None)


def test_a_result_that_cannot_be_read_is_no_success(write, run):
    ran = run(write(result_cell("splendid")))
    assert (ran.exit_code, ran.record["status"], ran.record["outcome"]) == (4, "broken", "error")


def test_an_exception_ends_the_run_with_4_and_the_rest_does_not_run(write, run):
    ran = run(write("1", "1 / 0", "2"))
    assert (ran.exit_code, ran.record["status"], ran.record["outcome"]) == (4, "failed", "error")
    assert ran.cell_statuses() == ["ok", "error"]
    assert "ZeroDivisionError: division by zero" in ran.text("summary.md")
    suite = next(iter(junitparser.JUnitXml.fromstring(ran.text("junit.xml"))))
    assert (suite.tests, suite.errors, suite.skipped) == (4, 2, 1)


@pytest.mark.parametrize(
    ("raised", "code", "outcome"),
    [("RefusedError", 3, "refused"), ("CaptureError", 2, "error"), ("SourceError", 4, "error")],
)
def test_an_error_of_ours_brings_its_exit_code_and_hint(write, run, raised, code, outcome):
    source = (
        f"from opslib.core import errors\nclass Mine(errors.{raised}): pass\nraise Mine('no', hint='ask')"
    )
    ran = run(write(source))
    assert (ran.exit_code, ran.record["outcome"]) == (code, outcome)
    assert "**Next**: ask" in ran.text("summary.md")


@pytest.mark.parametrize("call", ["import sys; sys.exit(0)", "raise SystemExit", "exit()"])
def test_leaving_a_notebook_early_is_no_success(write, run, call):
    ran = run(write(call, "2"))
    assert (ran.exit_code, ran.record["status"]) == (4, "failed")
    assert ran.cell_statuses() == ["error"]


def test_a_secret_in_the_error_that_ends_a_run_is_in_no_file(write, run, kit):
    cell = f"# about {SECRET}\nraise RuntimeError(f'cannot log in with {{api_token}}')"
    ran = run(write(kit.code(PARAMETERS, "parameters"), cell), parameters=[("api_token", SECRET)])
    assert ran.exit_code == 4
    assert "cannot log in with [redacted]" in ran.text("junit.xml")
    for path in ran.result.folder.path.iterdir():
        assert SECRET not in path.read_text(), path.name
    assert SECRET not in str(ran.live.told)


def test_a_question_to_nobody_fails_instead_of_waiting(write, run):
    ran = run(write("input('sure?')"))
    assert (ran.exit_code, ran.record["status"]) == (4, "failed")


def test_an_output_notebook_can_be_run_again_with_other_parameters(write, run, kit):
    first = run(write(kit.code("a: int = 1", "parameters"), "print(a)"), parameters=[("a", "2")])
    again = run(first.result.folder.path / "notebook.ipynb", parameters=[("a", "3")])
    assert again.exit_code == 0
    assert [c["outputs"] for c in again.notebook["cells"]][2][0]["text"] == "3\n"
    assert len(again.notebook["cells"]) == 3


def test_a_kernel_name_of_another_machine_does_not_matter(write, run):
    metadata = {"kernelspec": {"name": "somebodys-venv", "language": "python", "display_name": "x"}}
    assert run(write("1", metadata=metadata)).exit_code == 0


def test_many_lines_of_output_are_one_output(write, run):
    ran = run(write("for i in range(20_000):\n    print(i)"))
    assert ran.exit_code == 0
    (output,) = ran.notebook["cells"][0]["outputs"]
    assert output["text"].endswith("19999\n")
    assert len(ran.text("report.html")) < 100_000


def test_what_the_kernel_itself_writes_reaches_no_stream_of_the_runner(write, drive):
    driver = drive(write("import os, sys\nos.write(1, b'raw one')\nos.write(2, b'raw two')\nprint('cell')"))
    out, err = driver.process.communicate(timeout=60)
    assert driver.process.returncode == 0
    assert out == ""
    assert re.fullmatch(r"\[1/1\] import os, sys … [\d.]+ m?s\n", err)


# Before a kernel starts


@pytest.fixture
def no_kernel(monkeypatch):
    from opslib.run import runner

    monkeypatch.setattr(runner, "started_kernel", lambda *_: pytest.fail("a kernel was started"))


@pytest.mark.parametrize(
    "pair", [("y=1;import os;z", "1"), ("apply", "maybe"), ("unknown", "1"), ("service", "a\0b")]
)
@pytest.mark.usefixtures("no_kernel")
def test_a_wrong_parameter_starts_nothing_and_leaves_nothing(write, run, tmp_path, kit, pair):
    with pytest.raises(ParameterError):
        run(write(kit.code(PARAMETERS, "parameters")), parameters=[pair])
    assert not (tmp_path / "runs").exists()


def test_approval_of_a_notebook_that_changes_nothing_is_refused(write, run, kit, no_kernel):
    with pytest.raises(UsageError, match="changes nothing"):
        run(write(kit.code(PARAMETERS, "parameters")), approve="any")


def test_approval_reaches_the_parameter_confirm(write, run, tmp_path, kit):
    source = "import json, os, pathlib\nfolder = pathlib.Path(os.environ['OPSLIB_RUN_DIR'])\n"
    source += "print(confirm, *json.loads((folder / 'approved-plan.json').read_text()).values(), (folder / 'plan.json').exists())"
    notebook = write(kit.code("confirm: str = ''\nenvironment: str = ''", "parameters"), source)
    for run_id in ("one", "two"):
        (tmp_path / "runs" / run_id).mkdir(parents=True)
        (tmp_path / "runs" / run_id / "plan.json").write_text('{"token": "deploy/x@1"}')
    (tmp_path / "runs" / "one" / "plan.json").write_text('{"token": "deploy/x@2"}')
    ran = run(notebook, approve="deploy/x@1")
    said = ran.notebook["cells"][2]["outputs"][0]["text"]
    assert said == "deploy/x@1 deploy/x@1 False\n", "so that no second plan has its token"


def test_a_token_that_no_plan_or_two_plans_have_is_refused(write, run, tmp_path, kit, no_kernel):
    notebook = write(kit.code("confirm: str = ''", "parameters"))
    for run_id, content in (
        ("one", '{"token": "t"}'),
        ("two", '{"token": "t"}'),
        ("three", "{"),
        ("four", "[]"),
    ):
        (tmp_path / "runs" / run_id).mkdir(parents=True)
        (tmp_path / "runs" / run_id / "plan.json").write_text(content)
    with pytest.raises(UsageError, match="2 plans"):
        run(notebook, approve="t")
    with pytest.raises(UsageError, match="no plan"):
        run(notebook, approve="other")


def test_a_protected_environment_takes_no_approval_of_anything(write, run, tmp_path, kit, no_kernel):
    (tmp_path / "opslib.toml").write_text("[environments.prod]\nprotected = true\n")
    notebook = write(kit.code("confirm: str = ''\nenvironment: str = 'prod'", "parameters"))
    with pytest.raises(RefusedError, match="protected"):
        run(notebook, approve="any")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not json", "no notebook"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"cells": 1}', "no notebook"),
        (
            b'{"cells": [], "metadata": {"kernelspec": {"language": "R"}}, "nbformat": 4, "nbformat_minor": 5}',
            "in R",
        ),
    ],
)
def test_what_is_no_python_notebook_is_refused(run, tmp_path, no_kernel, content, words):
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        run(path)


def test_a_file_that_is_absent_or_too_large_is_refused(run, tmp_path, no_kernel):
    with pytest.raises(UsageError, match="No such file"):
        run(tmp_path / "absent.ipynb")
    huge = tmp_path / "huge.ipynb"
    with huge.open("wb") as file:
        file.truncate(60_000_000)
    with pytest.raises(UsageError, match="larger than 50 MB"):
        run(huge)


def test_a_folder_that_cannot_be_made_is_a_usage_error(write, run, tmp_path, no_kernel):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot create"):
        run(write("1"), out=tmp_path / "file")


def test_a_kernel_that_cannot_load_opslib_is_told(write, run, tmp_path, monkeypatch):
    """Without the extension a `finally` would not be safe, so such a kernel runs nothing."""
    broken = tmp_path / "path" / "opslib"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('half an installation')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    ran = run(write(f"open({str(tmp_path / 'ran')!r}, 'w')"))
    assert (ran.exit_code, ran.record["status"]) == (4, "broken")
    assert "half an installation" in ran.text("summary.md")
    assert not (tmp_path / "ran").exists()


def test_a_report_that_cannot_be_written_does_not_hide_the_verdict(write, run, monkeypatch):
    from opslib.run import runner

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(runner, "report_html", broken)
    ran = run(write(result_cell("fail", {"summary": "x"})))
    assert (ran.exit_code, ran.record["outcome"]) == (1, "fail")
    assert not (Path(ran.result.folder.path) / "report.html").exists()
    assert any(told[0] == "note" and "disk full" in told[1] for told in ran.live.told)
