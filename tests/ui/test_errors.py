"""An error of the kit shows as a few lines with what to do; the cell fails with the error's own name."""

import nbformat
import pytest

from opslib.core.errors import OpslibError, ServiceNotFoundError
from opslib.core.settings import Settings
from opslib.ui import errors
from opslib.ui.boxes import error_box


@pytest.fixture(autouse=True)
def as_before():
    had = vars(OpslibError).get("_render_traceback_")
    yield
    if had is None and "_render_traceback_" in vars(OpslibError):
        del OpslibError._render_traceback_
    elif had is not None:
        OpslibError._render_traceback_ = had


def test_message_hint_and_kind_are_told_without_control_characters(tmp_path):
    assert errors.install(Settings(tmp_path))
    lines = ServiceNotFoundError("no \x1b[31mservice", hint="known:\npayment")._render_traceback_()

    assert lines == [
        "\x1b[1mno \ufffd[31mservice\x1b[0m",
        "What to do: known: payment",
        "(ServiceNotFoundError)",
    ]
    assert errors.box_lines(OpslibError("odd")) == ["\x1b[1modd\x1b[0m", "(OpslibError)"]


def test_debug_keeps_tracebacks(tmp_path):
    errors.install(Settings(tmp_path))

    assert not errors.install(Settings(tmp_path, debug=True))
    assert not hasattr(OpslibError("odd"), "_render_traceback_")
    assert not errors.install(Settings(tmp_path, debug=True))


def test_boxes_escape_and_name_what_was_not_foreseen():
    assert "<b>&lt;x&gt;</b>" in error_box(OpslibError("<x>"))
    assert "hint" not in error_box(OpslibError("<x>"))
    assert "ValueError: odd" in error_box(ValueError("odd"))


@pytest.mark.kernel
def test_in_a_kernel_the_cell_fails_with_the_errors_name_and_no_traceback(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    cells = [
        "import opslib\nfrom opslib.core.errors import ServiceNotFoundError",
        "raise ServiceNotFoundError('no service paymnt', hint='did you mean payment?')",
        "1 / 0",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    with client.setup_kernel(cwd=str(tmp_path)):
        for i, cell in enumerate(notebook.cells):
            client.execute_cell(cell, i)
    ours, theirs = (cell.outputs[-1] for cell in notebook.cells[1:])

    assert (ours.ename, ours.evalue) == ("ServiceNotFoundError", "no service paymnt")
    assert ours.traceback[1] == "What to do: did you mean payment?"
    assert len(ours.traceback) == 3
    assert theirs.ename == "ZeroDivisionError"
    assert any("1 / 0" in line or "1" in line for line in theirs.traceback[1:])
