"""Colour carries one meaning in the whole kit (Okabe-Ito, told apart by the colour-blind), and never alone.

Text is a grey of 4.3:1 or better on white and on JupyterLab's dark ground; where the style sheet of `STYLE` is loaded it
becomes the reader's own text colour. A figure's texts are found by their font family, since nothing else marks them.
"""

from __future__ import annotations

NORMAL = "#999999"  # baseline, typical
INCIDENT = "#E69F00"  # orange: the incident window, slow calls, canary
GUILTY = "#CC79A7"  # red-purple: what is charged with the cause
STABLE = "#56B4E9"  # blue: the stable version
GOOD = "#009E73"  # green: verdict badges only
BAD = "#D55E00"  # vermilion: verdict badges, and log records that tell of errors
HOLD = "#F0E442"  # yellow: verdict badges, and log records that warn

TEXT = "#777777"
GRID = "rgba(128,128,128,0.22)"
FAINT = "rgba(128,128,128,0.45)"
CLEAR = "rgba(0,0,0,0)"
FONT = "opslib-text, system-ui, sans-serif"

# Text in a badge is black: on each of these it has 5:1 or better.
BADGES = {
    "pass": GOOD,
    "no anomaly": GOOD,
    "fail": BAD,
    "error": BAD,
    "refused": BAD,
    "hold": HOLD,
    "no data": HOLD,
    "undetermined": HOLD,
    "cause found": BAD,
    "planned": STABLE,
    "create": STABLE,
    "change": STABLE,
    "prune": HOLD,
    "conflict": BAD,
    "warning": HOLD,
    "rolled back": HOLD,
    "rollback failed": BAD,
    "timed out": BAD,
    "suspended": HOLD,
    "warn": HOLD,
    "info": NORMAL,
    "debug": NORMAL,
}


def faded(colour: str, alpha: float) -> str:
    """Return `#RRGGBB` as `rgba(...)` with this opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


STYLE = """<style>
.js-plotly-plot text[style*="opslib-text"]{fill:currentColor!important}
.opslib{line-height:1.45;margin:2px 0 12px}
.opslib p,.opslib li,.opslib code{overflow-wrap:anywhere}
.opslib td code{display:inline-block;min-width:14em;max-width:30em}
.opslib table{border-collapse:collapse;margin:6px 0;font-size:13px;border:0}
.opslib th,.opslib td{text-align:left!important;padding:4px 14px 4px 0!important;vertical-align:top!important;
 border:0;border-bottom:1px solid rgba(128,128,128,.3);max-width:46em;overflow-wrap:break-word;white-space:normal!important}
.opslib tr{background:none!important}
.opslib .num{text-align:right!important;white-space:nowrap!important;font-variant-numeric:tabular-nums}
.opslib caption{text-align:left;caption-side:top;padding:0 0 4px;font-weight:600;color:inherit}
.opslib summary{cursor:pointer;padding:2px 0}
.opslib .scroll{overflow-x:auto}
.opslib .badge{display:inline-block;padding:1px 9px;border-radius:9px;color:#000;font-weight:600;font-size:12px;
 white-space:nowrap}
.opslib .bar{display:inline-block;height:.7em;min-width:1px;margin-right:6px;vertical-align:baseline}
.opslib .box{border:1px solid rgba(128,128,128,.5);border-left-width:5px;border-radius:3px;padding:8px 14px;max-width:60em}
.opslib .hint{margin-top:4px}
.opslib code{background:rgba(128,128,128,.15);padding:1px 4px;border-radius:3px;color:inherit;white-space:pre-wrap}
.opslib .cut{font-size:0}
.opslib .dots{user-select:none}
.opslib h4{margin:10px 0 2px;font-size:14px;font-weight:600}
.opslib ul{margin:2px 0 4px;padding-left:22px}
</style>"""
