"""Evidence full of scripts, styles and endless names, as a person sees it: nothing runs, nothing leaves, nothing breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.hostile import EVIL_NAMES, write_evil_capture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "investigate_slow_payment.ipynb"
DRAWN = "document.querySelectorAll('.js-plotly-plot').length >= 5"
# elements that reach beyond the window, but for what lies in a box that scrolls or cuts
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  if (!box.width || box.right <= innerWidth + 1) return false;
  for (let p = e.parentElement; p; p = p.parentElement)
    if (getComputedStyle(p).overflowX !== 'visible') return false;
  return true;
}).map(e => `${e.tagName} ${e.className} ${e.textContent.slice(0, 80)}`)"""
# words that run out of the box they stand in, where that box does not scroll
SPILT = """[...document.querySelectorAll('p, li, h1, h2, h3, h4, dd, th, td, figcaption, summary')].filter(e =>
  e.clientWidth && e.scrollWidth > e.clientWidth + 2).map(e => `${e.tagName} ${e.textContent.slice(0, 80)}`)"""
DANGEROUS = """[...document.querySelectorAll('main *, .jp-OutputArea-output *')].filter(e =>
  ['IFRAME', 'OBJECT', 'EMBED', 'META', 'BASE', 'FORM'].includes(e.tagName) || e.hasAttribute('onerror') || e.hasAttribute('onload')
  || /^\\s*javascript:/i.test(e.getAttribute('href') || '')).map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evil_capture(tmp_path_factory.mktemp("evil") / "capture")


@pytest.fixture(scope="module")
def report(capture: Path) -> Path:
    out = capture.parent / "runs"
    command = [sys.executable, "-m", "opslib", "run", str(NOTEBOOK), "--out", str(out), "--json"]
    command += ["-p", f"capture={capture}", "-p", f"service={EVIL_NAMES['payment']}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr[-2000:]
    assert json.loads(done.stdout)["verdict"]["verdict"] == "edge"
    return next(out.glob("*/report.html"))


def unharmed(browser) -> None:
    assert browser.evaluate("window.owned === undefined")
    assert browser.evaluate("document.title !== 'owned'")
    assert browser.dialogs == []
    assert browser.evaluate(DANGEROUS) == []
    assert not {"\u202e", "\u2066", "\x1b"} & set(browser.evaluate("document.body.innerText"))


@pytest.mark.parametrize("size", [(1400, 1000), (400, 800)], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_of_hostile_evidence(chromium, report: Path, tmp_path: Path, size, scheme: str) -> None:
    chromium.scheme(scheme)
    chromium.resize(*size)
    chromium.open(report.as_uri())
    chromium.wait(DRAWN)
    chromium.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    chromium.settled()

    unharmed(chromium)
    assert chromium.evaluate("document.title").startswith("FAIL")
    assert chromium.evaluate("getComputedStyle(document.body).display") == "block"
    assert "<script>window.owned" in chromium.evaluate("document.body.innerText")
    assert chromium.complaints == []
    assert [url for url in chromium.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert chromium.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert chromium.evaluate(TOO_WIDE) == []
    assert chromium.evaluate(SPILT) == []
    chromium.photograph(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_a_notebook_on_hostile_evidence(open_notebook, chromium, capture: Path, tmp_path: Path) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        source = source.replace('capture: str = ""', f"capture: str = {str(capture)!r}")
        cell["source"] = source.replace(
            'service: str = "payment"', f"service: str = {EVIL_NAMES['payment']!r}"
        )
    (tmp_path / "evil.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    opened = open_notebook(tmp_path, "evil.ipynb")
    opened.run_all(150)
    assert not [o for cell in opened.outputs() for o in cell if o["output_type"] == "error"]
    chromium.wait("document.querySelectorAll('.js-plotly-plot').length === 9")
    chromium.settled()

    unharmed(chromium)
    assert chromium.complaints == []
    assert [url for url in chromium.requests if "evil.example" in url] == []
    assert "<script>window.owned" in chromium.evaluate("document.querySelector('.jp-Notebook').innerText")
    opened.photograph(tmp_path, "evil")
