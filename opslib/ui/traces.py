"""One slow call beside a normal one: a row per span, the critical path solid, the rest pale, waiting on an edge hatched.

Both share one scale of time, so lengths compare; where the slow one is more than eight times as long each has its own,
and the axis says so. Log lines stand on the row of their span as ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.words import duration
from opslib.ui.drawing import Drawing, axis, empty, figure, note, rows_axis
from opslib.ui.facts import culprit, segment_name, segment_of, utc
from opslib.ui.palette import INCIDENT, NORMAL
from opslib.ui.scale import even_ticks
from opslib.ui.spans import ROW_PX, Trace, charges, row_names, span_rows, table_rows
from opslib.ui.text import Html

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "trace_comparison"
_FAR = 8
_LEGEND = Html(
    "<p>Solid: the critical path. Pale: the rest. Hatched: waiting on an edge. Red-purple: what the verdict charges. "
    "Upright ticks: log lines, their text on hover.</p>"
)


def trace_comparison(inv: Investigation) -> Drawing:
    """Draw one slow call of the incident over a typical one of the baseline."""
    slow_id, normal_id = inv.slow_and_normal()
    named = [("slow", slow_id), ("normal", normal_id)]
    traces = [trace for name, trace_id in named if trace_id and (trace := _read(inv, name, trace_id))]
    if not traces:
        return empty(_NAME, "No trace to show", "Neither window holds a call whose spans can be read.")
    guilty = culprit(inv.verdict)
    charged = segment_of(guilty) if guilty else ""
    title = finding(traces, charged)
    words = f"{title}. " + " ".join(_words(trace) for trace in traces)
    shared = len(traces) < 2 or traces[0].length_ns <= _FAR * traces[1].length_ns
    data = [
        piece
        for i, trace in enumerate(traces, start=1)
        for piece in span_rows(
            trace, INCIDENT if trace.name == "slow" else NORMAL, charged, xaxis=f"x{i}", yaxis=f"y{i}"
        )
    ]
    rows = [len(trace.spans) for trace in traces]
    drawn = figure(
        title, words, data, ROW_PX * sum(rows) + 70 * len(rows), **_layout(traces, rows, shared=shared)
    )
    return Drawing(_NAME, title, words, drawn, _table(traces), _LEGEND)


def _read(inv: Investigation, name: str, trace_id: str) -> Trace | None:
    return Trace.of(name, inv.trace(trace_id), inv.logs_of(trace_id))


def finding(traces: list[Trace], charged: str) -> str:
    """Say how long each call took and where most of the slow one went."""
    said = []
    for trace in traces:
        sums = charges(trace.spans)
        segment = charged if charged in sums else next(iter(sums), "")
        part = f", {duration(sums[segment])} of it in {segment_name(segment)}" if segment else ""
        said.append(
            f"{'a slow' if trace.name == 'slow' else 'a typical'} call took {duration(trace.length_ns)}{part}"
        )
    text = "; ".join(said)
    return text[0].upper() + text[1:]


def _words(trace: Trace) -> str:
    parts = ", ".join(f"{segment_name(s)} {duration(ns)}" for s, ns in list(charges(trace.spans).items())[:8])
    left = f"; {trace.left_out} spans with less time are not drawn" if trace.left_out else ""
    return f"The {trace.name} call ({utc(trace.start_ns)}): {parts}{left}."


def _layout(traces: list[Trace], rows: list[int], *, shared: bool) -> dict[str, Any]:
    longest = max(trace.length_ns for trace in traces)
    layout: dict[str, Any] = {"barmode": "overlay", "annotations": [], "margin": {"l": 20}}
    gap = 0.0 if len(rows) == 1 else 74 / (ROW_PX * sum(rows) + 130)
    top = 1.0
    for i, trace in enumerate(traces):
        number = str(i + 1) if i else ""
        height = (1 - gap * (len(rows) - 1)) * rows[i] / sum(rows)
        span_ms = (longest if shared else trace.length_ns) / 1e6
        scale = "" if shared else ", a scale of its own"
        ticks = even_ticks(span_ms)
        layout[f"xaxis{number}"] = axis(
            f"since the {trace.name} call began{scale}" if i == len(traces) - 1 or not shared else "",
            range=[-0.01 * span_ms, 1.03 * span_ms],
            anchor=f"y{number}",
            tickvals=ticks,
            ticktext=[duration(tick * 1e6) if tick else "0" for tick in ticks],
        )
        domain = [max(0.0, top - height), top]
        layout[f"yaxis{number}"] = rows_axis(row_names(trace), domain=domain, anchor=f"x{number}")
        said = f"<b>{trace.name}</b> {duration(trace.length_ns)}"
        layout["annotations"].append(
            note(said, 1, top, xref="paper", yref="paper", xanchor="right", yanchor="bottom")
        )
        top -= height + gap
    return layout


def _table(traces: list[Trace]) -> pd.DataFrame:
    return pd.DataFrame([{"call": trace.name, **row} for trace in traces for row in table_rows(trace)])
