"""The spans of one trace as rows of a figure: the critical path solid, the rest pale, waiting on an edge hatched.

Log lines stand on the row of their span as ticks. Who draws gives the axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from opslib.core.words import duration
from opslib.ui.facts import segment_name
from opslib.ui.palette import GUILTY, TEXT, faded
from opslib.ui.text import label

MAX_ROWS = 24
ROW_PX = 21
_MAX_LOGS = 200


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace ready to draw: its spans in display order, its log lines, and how many spans were left out."""

    name: str
    spans: pd.DataFrame
    logs: pd.DataFrame
    left_out: int

    @classmethod
    def of(cls, name: str, spans: pd.DataFrame, logs: pd.DataFrame) -> Trace | None:
        """Return a trace from what `explain_trace` said of it; None where it has no spans."""
        if spans.empty:
            return None
        kept = _kept(spans)
        return cls(name, spans[kept].reset_index(drop=True), logs.head(_MAX_LOGS), int((~kept).sum()))

    @property
    def start_ns(self) -> int:
        return int(self.spans["start_time_unix_nano"].min())

    @property
    def length_ns(self) -> int:
        return max(1, int(self.spans["end_time_unix_nano"].max()) - self.start_ns)


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


def span_rows(trace: Trace, colour: str, charged: str = "", **axes: str) -> list[dict[str, Any]]:
    """Return the bars and ticks of a trace; `axes` name those of plotly they belong to."""
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


def table_rows(trace: Trace) -> list[dict[str, Any]]:
    """Return the spans as rows of the table below a figure."""
    return [
        {
            "service": str(span["service_name"]),
            "span": "  " * int(span["depth"]) + str(span["name"]),
            "kind": str(span["kind"]),
            "starts after, ms": (int(span["start_time_unix_nano"]) - trace.start_ns) / 1e6,
            "took, ms": (int(span["end_time_unix_nano"]) - int(span["start_time_unix_nano"])) / 1e6,
            "on the path, ms": int(span["own_ns"]) / 1e6,
            "charged to": segment_name(str(span["segment"])),
            "trace": str(span["trace_id"]),
        }
        for span in trace.spans.to_dict("records")
    ]


def row_names(trace: Trace) -> list[str]:
    """Return the names of the rows, indented by depth; a span that failed bears a cross."""
    return [
        "\u00a0\u00a0" * min(int(span["depth"]), 8)
        + f"{label(str(span['service_name']), 16)}: {label(str(span['name']), 24)}"
        + (" ✕" if span["status_code"] == "ERROR" else "")
        for span in trace.spans.to_dict("records")
    ]
