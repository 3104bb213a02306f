"""A cell's outputs as HTML for the report, by an allow-list of types; every other type shows as its plain text.

| type | what becomes of it |
|---|---|
| plotly figure | drawn by ui's own function from the JSON |
| text/html | through `sanitise` |
| image/png, image/jpeg | embedded, when it is base64 and nothing else |
| text, streams, tracebacks | escaped, without terminal colours, bounded |
| the run's result, an error's hint | not shown here: the report's head tells them |
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from opslib.core.outcome import RESULT_MIME
from opslib.run.kernel import ERROR_MIME
from opslib.run.sanitise import CONTROL, sanitise

PLOTLY_MIME = "application/vnd.plotly.v1+json"
MAX_LINES = 200
MAX_CHARS = 40_000
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")

FigureHtml = Callable[[dict[str, Any]], str]


def plain_text(text: str) -> str:
    """Return text without terminal colours, control and reordering characters, at most 200 lines, middle left out."""
    clean = CONTROL.sub("\ufffd", _ANSI.sub("", text.replace("\r\n", "\n")))
    lines = clean.split("\n")
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        lines = [*lines[:half], f"[{len(lines) - 2 * half:,} lines left out]", *lines[-half:]]
    short = "\n".join(lines)
    if len(short) > MAX_CHARS:
        half = MAX_CHARS // 2
        short = f"{short[:half]}\n[{len(short) - 2 * half:,} characters left out]\n{short[-half:]}"
    return short


def output_html(output: Mapping[str, Any], figure_html: FigureHtml) -> str:
    """Return one output as HTML, an empty text where it shows nothing."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return f'<pre class="{name}">{escape(plain_text(_joined(output.get("text"))))}</pre>'
    if kind == "error":
        trace = (
            "\n".join(map(str, output.get("traceback") or []))
            or f"{output.get('ename')}: {output.get('evalue')}"
        )
        return f'<pre class="error">{escape(plain_text(trace))}</pre>'
    data = output.get("data")
    return _bundle(data, figure_html) if isinstance(data, Mapping) else ""


def _bundle(data: Mapping[str, Any], figure_html: FigureHtml) -> str:
    if ERROR_MIME in data or (RESULT_MIME in data and "text/html" not in data):
        return ""
    figure = data.get(PLOTLY_MIME)
    if isinstance(figure, dict):
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):  # JSON that is no figure
            return f'<div class="figure">{figure_html(figure)}</div>'
    for image in ("image/png", "image/jpeg"):
        picture = _joined(data.get(image))
        if picture and _BASE64.fullmatch(picture):
            return f'<img alt="a picture made by the notebook" src="data:{image};base64,{"".join(picture.split())}">'
    if "text/html" in data:
        return f'<div class="html">{sanitise(_joined(data["text/html"]))}</div>'
    text = _joined(data.get("text/plain"))
    return f"<pre>{escape(plain_text(text))}</pre>" if text else ""


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(map(str, value))
    return value if isinstance(value, str) else ""
