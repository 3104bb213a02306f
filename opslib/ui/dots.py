"""The calls of the window, or the exemplars of a metric, by how long they took: which trace to look at, and why that one."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.words import duration, share
from opslib.ui.drawing import Drawing, axis, empty, figure, note
from opslib.ui.facts import Zone, utc
from opslib.ui.palette import INCIDENT, TEXT
from opslib.ui.sampling import thin
from opslib.ui.scale import duration_axis, position
from opslib.ui.text import Html, label

if TYPE_CHECKING:
    from opslib.investigate import TraceAnswer

_HEADROOM = 0.2  # of the axis, for the mark of the trace


def slow_calls(found: TraceAnswer, *, zone: tzinfo | None = None) -> Drawing:
    """Draw the calls, or exemplars, that the trace was chosen from, by how long they took; the trace is marked."""
    name, calls = "slow_calls", found.calls
    if calls.empty:
        return empty(name, f"No {found.calls_are} in the window", f"Looked at {found.windows.incident}.")
    clock = Zone.at(found.windows.incident.start_ns, zone)
    slowest = calls.iloc[int(calls["duration_ns"].to_numpy(dtype="int64").argmax())]
    when = clock.clock(int(slowest["time_unix_nano"]))
    title = f"The slowest of {len(calls):,} {found.calls_are} took {duration(int(slowest['duration_ns']))} at {when}"
    known = calls["error"].notna().all()
    failed = int(calls["error"].astype(bool).sum())
    failing = f"Failed: {share(failed, len(calls))}. " if known else ""
    words = f"{title}. {failing}Trace {found.trace_id}: {found.how}."
    shown = calls.iloc[thin(calls["duration_ns"].to_numpy(dtype="float64"))]
    scale = duration_axis(shown["duration_ns"].tolist(), "duration of a call")
    low, high = scale["range"]
    scale["range"] = [low, high + _HEADROOM * (high - low)]
    layout = {
        "xaxis": axis(f"time ({clock.name})", type="date"),
        "yaxis": scale,
        "annotations": _marked(found, clock, shown, scale),
    }
    drawn = figure(title, words, _dots(shown, clock), 240, **layout)
    table = calls.sort_values(["duration_ns", "trace_id"], ascending=[False, True]).head(50)
    note_ = Html("<p>Crosses: calls that failed.</p>") if failed else Html("")
    return Drawing(name, title, words, drawn, table.reset_index(drop=True), note_)


def _dots(calls: pd.DataFrame, clock: Zone) -> list[dict[str, Any]]:
    drawn = []
    for failed, symbol in ((False, "circle"), (True, "x")):
        rows = calls[calls["error"].astype(bool) == failed].to_dict("records")
        if rows:
            drawn.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": [clock.axis_ms(int(row["time_unix_nano"])) for row in rows],
                    "y": [round(int(row["duration_ns"]) / 1e6, 4) for row in rows],
                    "marker": {"color": INCIDENT, "symbol": symbol, "size": 6, "opacity": 0.75},
                    "hovertext": [
                        f"{duration(int(row['duration_ns']))}{', failed' if failed else ''}<br>"
                        f"{utc(int(row['time_unix_nano']))}<br>trace {label(str(row['trace_id']), 40)}"
                        for row in rows
                    ],
                    "hoverinfo": "text",
                }
            )
    return drawn


def _marked(
    found: TraceAnswer, clock: Zone, calls: pd.DataFrame, scale: dict[str, Any]
) -> list[dict[str, Any]]:
    """Point at the trace that is followed, where it is one of the calls."""
    own = calls[calls["trace_id"] == found.trace_id]
    if own.empty:
        return []
    row = own.iloc[0]
    text = f"trace {label(found.trace_id, 13)}"
    return [
        note(text, clock.axis_ms(int(row["time_unix_nano"])), position(scale, int(row["duration_ns"])))
        | {"showarrow": True, "arrowhead": 2, "arrowsize": 0.8, "arrowcolor": TEXT, "ax": -50, "ay": -22}
    ]
