"""How calls of the incident are distributed against the baseline's: the share of calls that took at most so long.

Every call counts, failed ones too; the curves end at the greatest duration seen and keep it when thinned. Where a
release is blamed, its calls and those of the other versions are drawn apart, at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opslib.core.words import duration, figures, share
from opslib.ui.drawing import Drawing, axis, empty, figure, note
from opslib.ui.facts import sample
from opslib.ui.palette import INCIDENT, NORMAL, STABLE, TEXT
from opslib.ui.sampling import FEW, Sample, quantiles, thin
from opslib.ui.scale import duration_axis, position
from opslib.ui.text import label, short

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "distribution"
_NEW = (
    INCIDENT,
    "solid",
    "━",
)  # colour, dash, and the same for the axis: the incident, or the version blamed
_LOOK = {"baseline": (NORMAL, "dash", "╍"), "other versions": (STABLE, "dot", "┅")}
_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def distribution(inv: Investigation, percentile: float = 95.0) -> Drawing:
    """Draw the two distributions; slow are the calls above the baseline's percentile."""
    before, during = sample(inv, "baseline"), sample(inv, "incident")
    service = short(inv.verdict.service)
    if not len(before) and not len(during):
        return empty(_NAME, f"No calls of {service} in these windows", "There is nothing to compare.")
    threshold = quantiles(before.durations_ns, [percentile / 100])[0] if len(before) else None
    drawn = [(name, calls) for name, calls in (("baseline", before), *_incident(inv, during)) if len(calls)]
    title = finding(service, during, percentile, threshold) + _by_version(drawn, threshold)
    words = f"{title}. {_numbers(drawn)}"
    return Drawing(
        _NAME,
        title,
        words,
        figure(
            title,
            words,
            [_curve(name, calls) for name, calls in drawn],
            300,
            **_layout(drawn, percentile, threshold),
        ),
        pd.DataFrame(
            {"share of calls, %": [100 * s for s in _SHARES]}
            | {
                f"{name}, ms": [q / 1e6 for q in quantiles(calls.durations_ns, _SHARES)]
                for name, calls in drawn
            }
        ),
    )


def _incident(inv: Investigation, during: Sample) -> list[tuple[str, Sample]]:
    """Return the incident's calls, by version where a release is blamed and both kinds of calls are there."""
    verdict = inv.verdict
    if verdict.verdict != "release" or not verdict.scope or verdict.scope[0].attribute != "version":
        return [("incident", during)]
    met = _traces_of(inv, verdict.candidates[0].service, verdict.scope[0].value)
    rows = inv.diagnosis.calls
    rows = rows[(rows["window"] == "incident").to_numpy()]
    new = rows["trace_id"].isin(met).to_numpy()
    sides = [Sample.of(rows[new]), Sample.of(rows[~new])]
    if not all(len(side) for side in sides):
        return [("incident", during)]
    return [("other versions", sides[1]), (f"version {short(verdict.scope[0].value, 20)}", sides[0])]


def _by_version(drawn: list[tuple[str, Sample]], threshold: float | None) -> str:
    """Say how many calls of each kind of version are slow, where they are drawn apart."""
    if threshold is None or len(drawn) != 3:
        return ""
    slow = [
        (name, share(int((calls.durations_ns > threshold).sum()), len(calls))) for name, calls in drawn[:0:-1]
    ]
    return ": " + ", ".join(f"{part} of {name}" for name, part in slow)


def _traces_of(inv: Investigation, service: str, version: str) -> set[str]:
    """Return the traces in which a version of a service did anything."""
    met: set[str] = set()
    for block in inv.evidence.spans:
        own = (block.service.codes == block.service.code(service)) & (
            block.version.codes == block.version.code(version)
        )
        met.update(block.trace_ids[row] for row in np.unique(block.trace[own]).tolist())
    return met


def finding(service: str, during: Sample, percentile: float, threshold: float | None) -> str:
    """Say which share of the incident's calls is slower than the baseline's percentile."""
    if threshold is None:
        (median,) = quantiles(during.durations_ns, [0.5])
        return f"Half of the {service} calls took {duration(median)} or more; there is no baseline to compare with"
    name = f"the baseline's p{figures(percentile, 4)} of {duration(threshold)}"
    if not len(during):
        return f"No {service} calls in the incident window; {name} stands alone"
    slow = int((during.durations_ns > threshold).sum())
    expected = max(1 - percentile / 100, 0.001)
    said = f"{share(slow, len(during))} of the {service} calls took longer than {name}"
    return said if slow > 1.5 * expected * len(during) else f"{said}, about as many as before"


def _numbers(drawn: list[tuple[str, Sample]]) -> str:
    parts = []
    for name, calls in drawn:
        p50, p95, p99, greatest = quantiles(calls.durations_ns, (0.5, 0.95, 0.99, 1.0))
        parts.append(
            f"{name}: {len(calls):,} calls, p50 {duration(p50)}, p95 {duration(p95)}, p99 {duration(p99)}, "
            f"longest {duration(greatest)}"
        )
    return "; ".join(parts) + "."


def _curve(name: str, calls: Sample) -> dict[str, Any]:
    values = np.sort(calls.durations_ns)
    heights = np.arange(1, len(values) + 1) / len(values)
    rows = thin(values.astype(np.float64))
    colour, dash, _ = _LOOK.get(name, _NEW)
    few = len(values) < FEW
    return {
        "type": "scatter",
        "mode": "lines+markers" if few else "lines",
        "name": name,
        "x": [round(float(v) / 1e6, 4) for v in values[rows]],
        "y": [round(100 * float(h), 3) for h in heights[rows]],
        # a template, since every word in it is ours and a text for each point would be most of the figure
        "hovertemplate": f"%{{y:.3~r}} % of {len(values):,} calls took %{{x:.3~r}} ms or less<extra>{label(name)}</extra>",
        "line": {
            "color": colour,
            "width": 3,
            "shape": "hv",
            "dash": dash,
        },
        "marker": {"symbol": "circle-open", "size": 7, "color": colour},
    }


def _layout(drawn: list[tuple[str, Sample]], percentile: float, threshold: float | None) -> dict[str, Any]:
    values = [float(v) for _, calls in drawn for v in quantiles(calls.durations_ns, (0.001, 0.5, 1.0))]
    # the curves are named under the axis, where no curve can run through their names
    across = duration_axis(values, "duration of a call: " + ", ".join(_curve_name(*curve) for curve in drawn))
    layout: dict[str, Any] = {
        "xaxis": across,
        "yaxis": axis("calls, % (cumulative)", range=[0, 103]),
    }
    if threshold is None:
        return layout
    at = round(threshold / 1e6, 4)
    look = {"color": TEXT, "dash": "dot", "width": 1.5}
    line = {"type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": look}
    text, where = f"baseline p{figures(percentile, 4)}", position(across, threshold)
    named = note(text, where, 1, yref="paper", xanchor="center", yanchor="bottom")
    return layout | {"shapes": [line], "annotations": [named]}


def _curve_name(name: str, calls: Sample) -> str:
    few = " (few: hollow)" if len(calls) < FEW else ""
    return f"{_LOOK.get(name, _NEW)[2]} {label(name)} ({len(calls):,} calls){few}"
