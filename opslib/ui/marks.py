"""What stands on a time axis beside the data: the two windows shaded, the onset, and changes as lettered marks.

Letters follow time; at most twelve are drawn, changes before plain events, and the legend names each and counts the rest.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from opslib.core.model import Onset
from opslib.core.windows import Window, Windows
from opslib.core.words import figures
from opslib.ui.drawing import note
from opslib.ui.facts import Zone
from opslib.ui.palette import INCIDENT, NORMAL, TEXT, faded
from opslib.ui.text import Html, html, identifier, label

MAX_MARKS = 12
_GAP = (0.24, 0.34)  # the stretch of the height between the two panels, where the windows are named
_FAR = 2  # windows further apart than this many times their lengths get a cut axis


class Dated(Protocol):
    """Whatever compares two windows: a verdict, a look at logs."""

    @property
    def windows(self) -> Windows: ...

    @property
    def onset(self) -> Onset | None: ...


@dataclass(frozen=True, slots=True)
class Change:
    """One event worth a mark."""

    letter: str  # empty where there are more than letters
    time_ns: int
    what: str  # type and reason
    where: str  # kind and name of the object
    message: str


def extent(windows: Windows) -> Window:
    """Return the window from the earliest start to the latest end of both."""
    both = [w for w in (windows.baseline, windows.incident) if w]
    return Window(min(w.start_ns for w in both), max(w.end_ns for w in both))


def changes(events: pd.DataFrame, within: Window) -> list[Change]:
    """Return the events in a window by time; the first twelve that matter bear letters."""
    rows = [row for row in events.to_dict("records") if int(row["time_unix_nano"]) in within]
    rows.sort(key=lambda row: (int(row["time_unix_nano"]), _text(row, "name"), _text(row, "message")))
    ranked = sorted(range(len(rows)), key=lambda i: (_weight(rows[i]), i))
    marked = sorted(ranked[:MAX_MARKS])
    letters = dict(zip(marked, string.ascii_uppercase, strict=False))
    return [
        Change(
            letters.get(i, ""),
            int(row["time_unix_nano"]),
            " ".join(word for word in (_text(row, "type"), _text(row, "reason")) if word),
            "/".join(word for word in (_text(row, "kind"), _text(row, "name")) if word),
            _text(row, "message"),
        )
        for i, row in enumerate(rows)
    ]


def _weight(row: dict[Any, Any]) -> int:
    return {"Change": 0, "Warning": 1}.get(_text(row, "type"), 2)


def _text(row: dict[Any, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def shapes(dated: Dated, found: list[Change], clock: Zone) -> list[dict[str, Any]]:
    """Return the shaded windows, the line of the onset and the lines of the changes."""
    drawn = []
    for window, colour in ((dated.windows.baseline, NORMAL), (dated.windows.incident, INCIDENT)):
        if window:
            drawn.append(
                _box(
                    clock, window, {"fillcolor": faded(colour, 0.13), "line": {"width": 0}, "layer": "below"}
                )
            )
    if dated.onset:
        drawn.append(_line(clock, dated.onset.time_ns, "longdash", 1.5))
    return drawn + [_line(clock, change.time_ns, "dot", 1) for change in found if change.letter]


def _box(clock: Zone, window: Window, look: dict[str, Any]) -> dict[str, Any]:
    ends = {"x0": clock.axis_ms(window.start_ns), "x1": clock.axis_ms(window.end_ns)}
    return {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, **ends, **look}


def _line(clock: Zone, time_ns: int, dash: str, width: float) -> dict[str, Any]:
    at = clock.axis_ms(time_ns)
    line = {"color": TEXT, "dash": dash, "width": width}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line}


def captions(
    dated: Dated, found: list[Change], clock: Zone, gap: tuple[float, float] = _GAP
) -> list[dict[str, Any]]:
    """Name windows and onset in a gap of the height, between the panels, and set the letters above them."""
    top = {"xref": "x", "yref": "paper", "yanchor": "bottom"}
    drawn = []
    # at outer ends, so that a window of a few pixels and its neighbour do not write over each other
    windows = dated.windows
    if windows.baseline:
        at = clock.axis_ms(windows.baseline.start_ns)
        drawn.append(note("baseline", at, gap[0], xanchor="left", xshift=4, **top))
    at = clock.axis_ms(windows.incident.end_ns)
    drawn.append(note("incident", at, gap[0], xanchor="right", xshift=-4, **top))
    if dated.onset:
        doubt = dated.onset.uncertainty_s
        text = f"onset ± {figures(doubt, 2)} s" if doubt else "onset"
        at = clock.axis_ms(dated.onset.time_ns)
        drawn.append(note(text, at, gap[1], xanchor="left", xshift=4, **(top | {"yanchor": "top"})))
    for change in found:
        if change.letter:
            more = {"hovertext": f"{label(change.what)} {label(change.where)}", "captureevents": True}
            drawn.append(note(f"<b>{change.letter}</b>", clock.axis_ms(change.time_ns), 1, **top, **more))
    return drawn


def legend(found: list[Change], clock: Zone) -> Html:
    """Explain the letters under the figure, in their order, and count the events without one."""
    if not found:
        return Html("")
    lines = [
        f"<li><b>{change.letter}</b> {clock.clock(change.time_ns)} {html(change.what)} "
        f"{identifier(change.where)} {html(change.message, 160)}</li>"
        for change in found
        if change.letter
    ]
    rest = len(found) - len(lines)
    more = f"<li>and {rest:,} other events</li>" if rest else ""
    return Html(f"<ul>{''.join(lines)}{more}</ul>")


def axis_range(windows: Windows, clock: Zone) -> list[int]:
    """Return the ends of the axis with a little air."""
    whole = extent(windows)
    air = max(1_000_000, sum(w.length_ns for w in (windows.baseline, windows.incident) if w) // 60)
    return [clock.axis_ms(whole.start_ns - air), clock.axis_ms(whole.end_ns + air)]


def breaks(windows: Windows, clock: Zone) -> list[dict[str, Any]]:
    """Cut the axis between windows that lie far apart, such as the same hour a week earlier."""
    if not windows.baseline:
        return []
    first, second = sorted((windows.baseline, windows.incident), key=lambda window: window.start_ns)
    gap, length = second.start_ns - first.end_ns, first.length_ns + second.length_ns
    if gap <= _FAR * length:
        return []
    air = length // 20
    ends = [clock.axis_ms(first.end_ns + air), clock.axis_ms(second.start_ns - air)]
    return [{"bounds": [pd.Timestamp(end, unit="ms").isoformat(sep=" ") for end in ends]}]
