"""The runbooks that change something, in JupyterLab on a lab: Run All plans, shows what it would do, and changes nothing."""

import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="module")
def lab(opslib, tmp_path_factory):
    state = tmp_path_factory.mktemp("shop") / "lab"
    try:
        opslib(state, "lab", "up")
        yield state
    finally:
        opslib(state, "lab", "down")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("apply_manifests", ("9 findings, 0 of them errors", "change", "its token is", "--approve")),
        (
            "roll_out_update",
            ("localhost:5000/shop/payment:1.4.0", "restart Deployment shop/payment", "its token is"),
        ),
    ],
)
def test_run_all_plans_and_changes_nothing(opslib, open_notebook, lab, tmp_path, name, words):
    shutil.copy(NOTEBOOKS / f"{name}.ipynb", tmp_path)
    before = opslib(lab, "lab", "status", "--json").stdout.count('"ready"')
    notebook = open_notebook(tmp_path, f"{name}.ipynb", OPSLIB_LAB_STATE=str(lab))
    notebook.run_all(120)

    assert not [o for cell in notebook.outputs() for o in cell if o["output_type"] == "error"]
    text = notebook.browser.evaluate("document.querySelector('.jp-Notebook').innerText")
    for word in words:
        assert word in text
    assert not notebook.browser.complaints
    assert opslib(lab, "lab", "status", "--json").stdout.count('"ready"') == before
    notebook.photograph(tmp_path, name)
    assert list(tmp_path.glob(f"{name}-*.png"))
