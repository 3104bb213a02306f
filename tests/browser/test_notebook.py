"""What a person sees: the runbook in JupyterLab on a broken lab, and its figures in a page without a network."""

import json
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "investigate_slow_payment.ipynb"


@pytest.fixture(scope="module")
def broken_lab(opslib, tmp_path_factory):
    state = tmp_path_factory.mktemp("shop") / "lab"
    try:
        opslib(state, "lab", "up")
        opslib(state, "lab", "inject", "edge-delay")
        yield state
    finally:
        opslib(state, "lab", "down")


@pytest.fixture(scope="module")
def captured(opslib, broken_lab, tmp_path_factory):
    """The evidence of a fault that has just begun, so that both tests see the same however slow the machine is."""
    folder = tmp_path_factory.mktemp("captured") / "incident"
    opslib(broken_lab, "capture", "export", "--service", "payment", "--out", str(folder))
    return folder


def control(name):
    """A widget of the panel, by its label."""
    boxes = "[...document.querySelectorAll('.widget-inline-hbox')]"
    return f"{boxes}.find(box => box.querySelector('label')?.textContent === '{name}').querySelector('select,input')"


def choose(browser, name, text):
    browser.evaluate(
        f"(() => {{ const c = {control(name)}; c.scrollIntoView({{block: 'center'}});"
        f"c.value = c.options ? [...c.options].find(o => o.textContent.includes({text!r})).value : {text!r};"
        "c.dispatchEvent(new Event('input', {bubbles: true})); c.dispatchEvent(new Event('change', {bubbles: true})) })()"
    )


def shown(browser):
    return browser.evaluate("document.querySelector('.jp-Notebook').innerText")


@pytest.fixture
def opened(open_notebook, broken_lab, captured, tmp_path):
    shutil.copy(NOTEBOOK, tmp_path / "live.ipynb")
    return lambda name="live.ipynb": ready(open_notebook(tmp_path, name, OPSLIB_LAB_STATE=str(broken_lab)))


@pytest.fixture
def opened_capture(opened, captured, tmp_path):
    text = NOTEBOOK.read_text(encoding="utf-8").replace(
        r"capture: str = \"\"", rf"capture: str = \"{captured}\""
    )
    assert str(captured) in text
    (tmp_path / "captured.ipynb").write_text(text, encoding="utf-8")
    return opened("captured.ipynb")


def ready(notebook):
    """Run all, and wait for six figures of cells, two in the panel, and the one to click."""
    notebook.run_all(150)
    assert not [o for cell in notebook.outputs() for o in cell if o["output_type"] == "error"]
    notebook.browser.wait("document.querySelectorAll('.js-plotly-plot').length === 9")
    return notebook


def test_run_all_draws_every_figure_in_both_themes_and_the_panel_works(opened, chromium, tmp_path):
    notebook = opened()
    outputs = [output for cell in notebook.outputs() for output in cell]

    assert sum("application/vnd.plotly.v1+json" in o.get("data", {}) for o in outputs) == 6
    assert len(str(outputs)) < 3_000_000
    texts = "document.querySelectorAll('.js-plotly-plot .gtitle, .js-plotly-plot .annotation-text')"
    fills = f"[...new Set([...{texts}].map(t => getComputedStyle(t).fill))]"
    light = chromium.evaluate(fills)
    heights = "[...document.querySelectorAll('.js-plotly-plot')].map(p => p.clientHeight)"
    tall = chromium.evaluate(heights)
    notebook.theme("JupyterLab Dark")
    chromium.wait(f"JSON.stringify({fills}) !== '{str(light).replace(chr(39), chr(34))}'")

    # JupyterLab hides everything while it loads the theme's style; then each figure is as tall as it was.
    chromium.wait(f"JSON.stringify({heights}) === '{json.dumps(tall, separators=(',', ':'))}'")
    assert min(tall) > 100

    choose(chromium, "window", "yesterday")
    chromium.wait("document.querySelector('.opslib [role=alert]')")
    assert "What to do: write `last 15m`" in shown(chromium)

    choose(chromium, "window", "last 20s")
    chromium.wait("!document.querySelector('.opslib [role=alert]')")
    notebook.idle()
    notebook.photograph(tmp_path, "dark")
    assert len(list(tmp_path.glob("dark-*.png"))) >= 3
    assert chromium.complaints == []


def test_a_click_on_a_candidate_opens_its_evidence(opened_capture, chromium):
    bars = "[...document.querySelectorAll('.js-plotly-plot')].at(-1)"
    count = chromium.evaluate(f"{bars}.querySelectorAll('.bars .point path').length")
    chromium.evaluate(f"{bars}.scrollIntoView({{block: 'center'}})")
    chromium.settled()
    x, y = chromium.evaluate(
        f"(() => {{ const r = [...{bars}.querySelectorAll('.bars .point path')].at(-1).getBoundingClientRect();"
        "return [r.x + Math.min(4, r.width / 2), r.y + r.height / 2] })()"
    )
    chromium.click(x, y)

    chromium.wait(f"document.querySelector('.jp-Notebook').innerText.includes('rank {count}, confidence')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_of_a_page_draw_without_a_network(chromium, tmp_path, scheme, made_page):
    page = tmp_path / "page.html"
    page.write_text(made_page, encoding="utf-8")
    chromium.scheme(scheme)
    chromium.open(page.as_uri())
    chromium.wait("document.querySelectorAll('.js-plotly-plot').length === 2")

    chromium.resize(500, 900)
    heights = "[...document.querySelectorAll('.js-plotly-plot')].map(p => p.clientHeight)"
    widths = "[...document.querySelectorAll('.js-plotly-plot .main-svg')].map(p => p.clientWidth)"
    chromium.wait(f"Math.max(...{widths}) <= 500")
    assert min(chromium.evaluate(heights)) > 100
    assert chromium.complaints == []
    assert [url for url in chromium.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert chromium.evaluate("window.stolen === undefined && !document.querySelector('a[href^=javascript]')")
    assert "<script>" in chromium.evaluate("document.body.textContent")


@pytest.fixture
def made_page():
    """A page of two figures with hostile names in every place that takes one."""
    from opslib.core.model import Budget, Segment
    from opslib.ui.drawing import figure
    from opslib.ui.report import figure_html, plotly_js
    from opslib.ui.text import label
    from opslib.ui.waterfall import finding, steps

    evil = "<script>window.stolen=1</script><a href='javascript:window.stolen=1'>x</a>"
    budget = Budget(30, 30, Segment("total", 10**7, 10**8), (Segment(f"service {evil}", 10**7, 10**8),))
    title = finding(evil, budget, steps(budget))
    bars = {
        "type": "bar",
        "x": [1, 2],
        "y": [label(evil, 90), "b"],
        "orientation": "h",
        "hovertext": label(evil, 90),
    }
    drawn = figure_html(figure(title, title, [bars], 200))
    return f"<!doctype html><meta charset=utf-8><script>{plotly_js()}</script>{drawn}{drawn}"
