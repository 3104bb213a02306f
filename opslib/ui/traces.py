"""One slow call beside a normal one: a row per span, the critical path solid, the rest pale, waiting on an edge hatched.

Both share one scale of time, so lengths compare; where the slow one is more than eight times as long each has its own,
and the axis says so. Log lines stand on the row of their span as ticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.words import duration
from opslib.ui.drawing import Drawing, axis, empty, figure, note, rows_axis
from opslib.ui.facts import culprit, segment_name, segment_of, utc
from opslib.ui.palette import GUILTY, INCIDENT, NORMAL, TEXT, faded
from opslib.ui.scale import even_ticks
from opslib.ui.text import Html, label

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "trace_comparison"
MAX_ROWS = 24
_ROW_PX = 21
_FAR = 8
_MAX_LOGS = 200
_LEGEND = Html(
    "<p>Solid: the critical path. Pale: the rest. Hatched: waiting on an edge. Red-purple: what the verdict charges. "
    "Upright ticks: log lines, their text on hover.</p>"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace ready to draw: its spans in display order, its log lines, and how many spans were left out."""

    name: str  # "slow" or "normal"
    spans: pd.DataFrame
    logs: pd.DataFrame
    left_out: int

    @property
    def start_ns(self) -> int:
        return int(self.spans["start_time_unix_nano"].min())

    @property
    def length_ns(self) -> int:
        return max(1, int(self.spans["end_time_unix_nano"].max()) - self.start_ns)


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
    data = [piece for i, trace in enumerate(traces) for piece in _panel(trace, i, charged)]
    rows = [len(trace.spans) for trace in traces]
    drawn = figure(
        title, words, data, _ROW_PX * sum(rows) + 70 * len(rows), **_layout(traces, rows, shared=shared)
    )
    return Drawing(_NAME, title, words, drawn, _table(traces), _LEGEND)


def _read(inv: Investigation, name: str, trace_id: str) -> Trace | None:
    spans = inv.trace(trace_id)
    if spans.empty:
        return None
    kept = _kept(spans)
    return Trace(
        name, spans[kept].reset_index(drop=True), inv.logs_of(trace_id).head(_MAX_LOGS), int((~kept).sum())
    )


def _kept(spans: pd.DataFrame) -> pd.Series:
    """Keep the spans with most time of their own on the critical path, and the first span."""
    if len(spans) <= MAX_ROWS:
        return pd.Series([True] * len(spans))
    own = spans["own_ns"].astype("int64").reset_index(drop=True)
    best = own.iloc[1:].sort_values(ascending=False, kind="stable").index[: MAX_ROWS - 1]
    kept = pd.Series([False] * len(spans))
    kept.iloc[[0, *best]] = True
    return kept


def charges(spans: pd.DataFrame) -> dict[str, int]:
    """Return by segment the time on the critical path in ns, most first."""
    sums = spans.assign(own_ns=spans["own_ns"].astype("int64")).groupby("segment")["own_ns"].sum()
    return {str(k): int(v) for k, v in sorted(sums.items(), key=lambda item: (-item[1], str(item[0]))) if v}


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


def _panel(trace: Trace, i: int, charged: str) -> list[dict[str, Any]]:
    axes = {"xaxis": f"x{i + 1}" if i else "x", "yaxis": f"y{i + 1}" if i else "y"}
    colour = INCIDENT if trace.name == "slow" else NORMAL
    return [
        _whole_spans(trace, colour) | axes,
        _stretches(trace, colour, charged) | axes,
        _log_ticks(trace) | axes,
    ]


def _bars(y: list[int], base: list[float], x: list[float], width: float, hover: list[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "y": y,
        "base": base,
        "x": x,
        "width": width,
        "hovertext": hover,
        "hoverinfo": "text",
    }


def _ms(ns: int) -> float:
    return round(ns / 1e6, 4)


def _whole_spans(trace: Trace, colour: str) -> dict[str, Any]:
    spans = trace.spans.to_dict("records")
    starts = [int(s["start_time_unix_nano"]) for s in spans]
    lengths = [int(s["end_time_unix_nano"]) - start for s, start in zip(spans, starts, strict=True)]
    drawn = _bars(
        list(range(len(spans))),
        [_ms(start - trace.start_ns) for start in starts],
        [_ms(length) for length in lengths],
        0.78,
        [_hover(span, length) for span, length in zip(spans, lengths, strict=True)],
    )
    return drawn | {"marker": {"color": faded(colour, 0.3), "line": {"width": 0}}}


def _hover(span: dict[Any, Any], length_ns: int) -> str:
    lines = [
        f"{label(str(span['service_name']), 60)}: {label(str(span['name']), 80)}",
        f"{label(str(span['kind'] or ''))} {label(str(span['status_code'] or ''))}, {duration(length_ns)}",
        f"on the critical path {duration(int(span['own_ns']))}, {label(segment_name(str(span['segment'])), 60)}",
    ]
    wait = span["edge_wait_ns"]
    if not pd.isna(wait):
        lines.append(f"waiting on the edge {duration(int(wait))}")
    return "<br>".join(lines)


def _stretches(trace: Trace, colour: str, charged: str) -> dict[str, Any]:
    rows = [
        (i, int(low), int(high), str(span["segment"]))
        for i, span in enumerate(trace.spans.to_dict("records"))
        for low, high in span["on_path"]
    ]
    drawn = _bars(
        [i for i, *_ in rows],
        [_ms(low - trace.start_ns) for _, low, _, _ in rows],
        [_ms(high - low) for _, low, high, _ in rows],
        0.52,
        [
            f"{label(segment_name(s), 60)}<br>{duration(high - low)} on the critical path"
            for _, low, high, s in rows
        ],
    )
    return drawn | {
        "marker": {
            "color": [GUILTY if s == charged else colour for *_, s in rows],
            "pattern": {
                "shape": ["/" if s.startswith("edge ") else "" for *_, s in rows],
                "size": 6,
                "fillmode": "overlay",
            },
            "line": {"width": 0},
        }
    }


def _log_ticks(trace: Trace) -> dict[str, Any]:
    spans = trace.spans
    row_of = {str(span): i for i, span in reversed(list(enumerate(spans["span_id"])))}
    row_of |= {f"service {name}": i for i, name in reversed(list(enumerate(spans["service_name"])))}
    logs = trace.logs.to_dict("records")
    rows = [
        row_of.get(str(log.get("span_id")), row_of.get(f"service {log.get('service_name')}", 0))
        for log in logs
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_ms(int(log["time_unix_nano"]) - trace.start_ns) for log in logs],
        "y": rows,
        "marker": {"symbol": "line-ns-open", "size": 13, "color": TEXT, "line": {"width": 2, "color": TEXT}},
        "hovertext": [
            f"{label(str(log['severity_text'] or ''))} {label(str(log['body']), 160)}" for log in logs
        ],
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def _layout(traces: list[Trace], rows: list[int], *, shared: bool) -> dict[str, Any]:
    longest = max(trace.length_ns for trace in traces)
    layout: dict[str, Any] = {"barmode": "overlay", "annotations": [], "margin": {"l": 20}}
    gap = 0.0 if len(rows) == 1 else 74 / (_ROW_PX * sum(rows) + 130)
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
        layout[f"yaxis{number}"] = rows_axis(_row_names(trace), domain=domain, anchor=f"x{number}")
        said = f"<b>{trace.name}</b> {duration(trace.length_ns)}"
        layout["annotations"].append(
            note(said, 1, top, xref="paper", yref="paper", xanchor="right", yanchor="bottom")
        )
        top -= height + gap
    return layout


def _row_names(trace: Trace) -> list[str]:
    return [
        "\u00a0\u00a0" * min(int(span["depth"]), 8)
        + f"{label(str(span['service_name']), 16)}: {label(str(span['name']), 24)}"
        for span in trace.spans.to_dict("records")
    ]


def _table(traces: list[Trace]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "call": trace.name,
                "service": str(span["service_name"]),
                "span": "  " * int(span["depth"]) + str(span["name"]),
                "kind": str(span["kind"]),
                "starts after, ms": (int(span["start_time_unix_nano"]) - trace.start_ns) / 1e6,
                "took, ms": (int(span["end_time_unix_nano"]) - int(span["start_time_unix_nano"])) / 1e6,
                "on the path, ms": int(span["own_ns"]) / 1e6,
                "charged to": segment_name(str(span["segment"])),
                "trace": str(span["trace_id"]),
            }
            for trace in traces
            for span in trace.spans.to_dict("records")
        ]
    )
