"""What a person sees of logs and traces: every figure is drawn in both themes, and no text lies over another."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

TESTS = Path(__file__).resolve().parents[1]
NOTEBOOK = TESTS.parent / "notebooks" / "query_logs_and_traces.ipynb"
SPEC = importlib.util.spec_from_file_location("made_traffic", TESTS / "ui" / "conftest.py")
MADE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MADE)
captured = MADE.captured

# Pairs of texts of one figure whose boxes share more than a few pixels.
OVERLAPS = """[...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
  const texts = [...plot.querySelectorAll('.gtitle, .annotation-text, .textpoint text, .xtick text, .ytick text')]
    .map(t => [t.textContent, t.getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
  return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([, q]) =>
    Math.min(p.right, q.right) - Math.max(p.left, q.left) > 3 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3
  ).map(([b]) => [a, b]))})"""


def test_figures_draw_in_both_themes_and_texts_keep_apart(open_notebook, chromium, captured, tmp_path):
    folder = captured(MADE.make("errors", seconds=30, seed=3))
    text = NOTEBOOK.read_text(encoding="utf-8").replace(
        r"capture: str = \"\"", rf"capture: str = \"{folder}\""
    )
    (tmp_path / NOTEBOOK.name).write_text(text, encoding="utf-8")
    assert str(folder) in text
    notebook = open_notebook(tmp_path, NOTEBOOK.name)
    notebook.run_all(150)
    outputs = [output for cell in notebook.outputs() for output in cell]

    assert not [output for output in outputs if output["output_type"] == "error"]
    chromium.wait("document.querySelectorAll('.js-plotly-plot').length === 3")
    assert len(str(outputs)) < 3_000_000
    assert chromium.evaluate(OVERLAPS) == []
    fill = "getComputedStyle(document.querySelector('.js-plotly-plot .gtitle')).fill"
    light = chromium.evaluate(fill)
    notebook.theme("JupyterLab Dark")
    chromium.wait(f"{fill} !== '{light}'")
    chromium.wait(
        "document.querySelector('.js-plotly-plot .textpoint text')?.getBoundingClientRect().height > 5"
    )
    assert chromium.evaluate(OVERLAPS) == []
    notebook.photograph(tmp_path, "dark")
    assert chromium.complaints == []
    assert list(tmp_path.glob("dark-*.png"))
