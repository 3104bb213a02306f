"""One trace as a timeline, its log records below it on the same axis: a row per span, then a row per record.

A record that lies beyond the axis stands at its edge and says how far off it is.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.severity import LEVELS, Level, level_of
from opslib.core.words import duration
from opslib.ui.drawing import Drawing, axis, empty, figure, note, rows_axis
from opslib.ui.facts import Zone, segment_name, utc
from opslib.ui.palette import INCIDENT, TEXT
from opslib.ui.rates import LOOK
from opslib.ui.scale import even_ticks
from opslib.ui.spans import ROW_PX, Trace, charges, row_names, span_rows, table_rows
from opslib.ui.text import Html, label, short

if TYPE_CHECKING:
    from opslib.investigate import TraceAnswer

_MOST_LOGS = 20
_GAP_PX = 34
_AIR = 0.04  # of the trace's length, on both sides
_LEFT_OF = 0.5  # where a record stands further right, its text is on its left
_SYMBOL: dict[Level, str] = {"ERROR": "x", "WARN": "triangle-up", "INFO": "circle", "DEBUG": "circle-open"}
_LEGEND = Html(
    "<p>Solid: the critical path. Pale: the rest. Hatched: waiting on an edge. Upright ticks, and the rows below: log "
    "records; a cross is an error, a triangle a warning.</p>"
)


def trace_timeline(found: TraceAnswer, *, zone: tzinfo | None = None) -> Drawing:
    """Draw the trace's spans over its log records, one axis."""
    name = "trace_timeline"
    if not found.trace_id:
        return empty(name, "No trace to show", found.how)
    trace = Trace.of("trace", found.spans, found.logs)
    if trace is None:
        why = (
            f"{len(found.logs):,} log records bear its id"
            if len(found.logs)
            else "No log record bears its id."
        )
        return empty(name, f"Trace {short(found.trace_id, 13)} has no spans here", why)
    logs = _drawn_logs(found.logs)
    clock = Zone.at(trace.start_ns, zone)
    title = timeline_finding(found, clock)
    words = _words(title, found, trace)
    data = [*span_rows(trace, INCIDENT, yaxis="y"), _log_rows(trace, logs)]
    height = ROW_PX * (len(trace.spans) + len(logs)) + (_GAP_PX if len(logs) else 0)
    drawn = figure(title, words, data, height + 50, **_layout(trace, logs, height, found.logs_are))
    return Drawing(name, title, words, drawn, _table(trace, found.logs), _LEGEND)


def timeline_finding(found: TraceAnswer, clock: Zone) -> str:
    """Say how long the trace took, when, where most of it went, and what its log records tell."""
    trace = Trace.of("", found.spans, found.logs)
    if trace is None:
        return found.how
    sums = charges(found.spans)
    part = next(iter(sums), "")
    where = f", {duration(sums[part])} of it in {segment_name(part)}" if part else ""
    failed = int((found.spans["status_code"] == "ERROR").sum())
    failing = f"; {failed} of {len(found.spans)} spans failed" if failed else ""
    loud = sum(level_of(text) in ("ERROR", "WARN") for text in found.logs["severity_text"])
    logged = f"{len(found.logs):,} log record{'' if len(found.logs) == 1 else 's'}" + (
        f", {loud} of them warnings or errors" if loud else ""
    )
    return (
        f"Trace {short(found.trace_id, 13)} took {duration(trace.length_ns)} at {clock.clock(trace.start_ns)}"
        f"{where}{failing}; {logged}"
    )


def _drawn_logs(logs: pd.DataFrame) -> pd.DataFrame:
    """Return the records that get a row, by time: the loudest where there are too many."""
    rank = [LEVELS.index(level_of(text)) for text in logs["severity_text"]]
    loudest = logs.assign(rank=rank).sort_values(["rank", "time_unix_nano"], kind="stable").head(_MOST_LOGS)
    return loudest.sort_values("time_unix_nano", kind="stable", ignore_index=True)


def _words(title: str, found: TraceAnswer, trace: Trace) -> str:
    parts = ", ".join(f"{segment_name(s)} {duration(ns)}" for s, ns in list(charges(found.spans).items())[:8])
    left = f" {trace.left_out} spans with less time are not drawn." if trace.left_out else ""
    more = len(found.logs) - _MOST_LOGS
    rest = f" {more:,} quieter log records have no row." if more > 0 else ""
    return f"{title}. It was chosen: {found.how}. {parts}.{left} The log records are those {found.logs_are}.{rest}"


def _log_rows(trace: Trace, logs: pd.DataFrame) -> dict[str, Any]:
    rows = logs.to_dict("records")
    low, high = (edge / 1e6 for edge in _edges(trace))
    offsets = [(int(row["time_unix_nano"]) - trace.start_ns) / 1e6 for row in rows]
    places = [min(max(at, low), high) for at in offsets]
    levels = [level_of(row["severity_text"]) for row in rows]
    texts = [
        label(str(row["body"]), 70) + ("" if at == place else f" ({duration(at * 1e6)} after it began)")
        for row, at, place in zip(rows, offsets, places, strict=True)
    ]
    left = [place > low + _LEFT_OF * (high - low) for place in places]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [round(place, 4) for place in places],
        "y": list(range(len(rows))),
        "yaxis": "y2",
        "text": [f"{text}  " if is_left else f"  {text}" for text, is_left in zip(texts, left, strict=True)],
        "textposition": [f"middle {'left' if is_left else 'right'}" for is_left in left],
        "textfont": {"size": 11, "color": TEXT},
        "marker": {
            "symbol": [_SYMBOL[level] for level in levels],
            "color": [LOOK[level][0] for level in levels],
            "size": 8,
            "line": {"width": 0.5, "color": TEXT},
        },
        "hovertext": [f"{label(str(r['body']), 300)}<br>{utc(int(r['time_unix_nano']))}" for r in rows],
        "hoverinfo": "text",
        "cliponaxis": False,
    }


def _edges(trace: Trace) -> tuple[float, float]:
    """Return the ends of the axis in ns since the trace began."""
    return -_AIR * trace.length_ns, (1 + _AIR) * trace.length_ns


def _layout(trace: Trace, logs: pd.DataFrame, height: int, logs_are: str) -> dict[str, Any]:
    low, high = (edge / 1e6 for edge in _edges(trace))
    ticks = even_ticks(trace.length_ns / 1e6)
    cut = (ROW_PX * len(logs)) / height
    layout: dict[str, Any] = {
        "barmode": "overlay",
        "margin": {"l": 20},
        "xaxis": axis(
            "since the trace began",
            range=[low, high],
            anchor="y2" if len(logs) else "y",
            tickvals=ticks,
            ticktext=[duration(tick * 1e6) if tick else "0" for tick in ticks],
        ),
        "yaxis": rows_axis(row_names(trace), domain=[cut + _GAP_PX / height if len(logs) else 0, 1]),
    }
    names = [
        f"{label(str(r['service_name'] or ''), 24)}: {level_of(r['severity_text'])}"
        for r in logs.to_dict("records")
    ]
    layout["yaxis2"] = rows_axis(names, domain=[0, cut], visible=bool(names))
    said = f"<b>log records</b> {label(logs_are, 80)}" if names else ""
    where = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return layout | {"annotations": [note(said, 0, cut, yshift=4, **where)] if said else []}


def _table(trace: Trace, logs: pd.DataFrame) -> pd.DataFrame:
    """Return spans and records in one table by start: what happened, one after the other."""
    spans = [
        {"what": "span", "level": "", "text": row.pop("span").strip(), **row} for row in table_rows(trace)
    ]
    records = [
        {
            "what": "log record",
            "level": str(row["severity_text"] or ""),
            "text": str(row["body"]),
            "service": str(row["service_name"]),
            "starts after, ms": (int(row["time_unix_nano"]) - trace.start_ns) / 1e6,
        }
        for row in logs.to_dict("records")
    ]
    columns = [
        "starts after, ms",
        "what",
        "service",
        "level",
        "text",
        "took, ms",
        "on the path, ms",
        "charged to",
    ]
    return pd.DataFrame([*spans, *records], columns=columns).sort_values(
        columns[0], kind="stable", ignore_index=True
    )
