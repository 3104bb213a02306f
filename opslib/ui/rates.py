"""How many log records there were over time, by level, one panel per service: who began to log, what, and since when.

Records of all levels are stacked, the loudest at the bottom, where its changes show. Each panel has its own scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.severity import LEVELS, Level, level_of
from opslib.core.windows import NS_PER_S, Window
from opslib.core.words import duration, figures
from opslib.diagnosis import rate_shift
from opslib.ui import marks
from opslib.ui.drawing import Drawing, axis, empty, figure, note
from opslib.ui.facts import Zone, utc
from opslib.ui.palette import BAD, HOLD, NORMAL, TEXT, faded
from opslib.ui.text import Html, label, short

if TYPE_CHECKING:
    from opslib.investigate import LogAnswer

_NAME = "log_rates"
_MOST = 5  # panels of services; the rest is one more
_PANEL_PX, _GAP_PX, _LEAST_PX = 84, 24, 150
_Z, _RATIO = 4.0, 1.5  # from which a level has become more frequent
_HEAD = {"bgcolor": "rgba(128,128,128,0.12)"}
LOOK: dict[Level, tuple[str, str]] = {  # colour, pattern
    "ERROR": (BAD, ""),
    "WARN": (HOLD, "/"),
    "INFO": (NORMAL, ""),
    "DEBUG": (faded(NORMAL, 0.45), ""),
}
WORDS: dict[Level, str] = {
    "ERROR": "errors",
    "WARN": "warnings",
    "INFO": "records of level INFO",
    "DEBUG": "records of level DEBUG",
}
_SAID: dict[Level, str] = {
    "ERROR": "Vermilion: errors.",
    "WARN": "Yellow, hatched: warnings.",
    "INFO": "Grey: INFO.",
    "DEBUG": "Pale grey: DEBUG.",
}


@dataclass(frozen=True, slots=True)
class Shift:
    """How many records of a level a service wrote in each window, and per minute."""

    service: str
    level: Level
    n_baseline: int
    n_incident: int
    baseline_per_min: float
    incident_per_min: float
    z: float

    @property
    def risen(self) -> bool:
        return self.z >= _Z and self.incident_per_min >= _RATIO * self.baseline_per_min


def log_rates(found: LogAnswer, *, zone: tzinfo | None = None) -> Drawing:
    """Draw the records of both windows by level over time, a panel per service."""
    whose = short(found.service) if found.service else "any service"
    if found.rates.empty:
        return empty(
            _NAME, f"No log records of {whose} in these windows", f"Looked at {found.windows.incident}."
        )
    clock = Zone.at(found.windows.incident.start_ns, zone)
    rows = _by_panel(found)
    moved = shifts(found)
    title = finding(found, moved)
    names = list(dict.fromkeys(rows["panel"]))
    words = _words(title, moved, found.step_s)
    keys = (
        rows[["rank", "loudness"]].drop_duplicates().sort_values(["rank", "loudness"]).itertuples(index=False)
    )
    data = [
        _bars(rows[(rows["rank"] == rank) & (rows["loudness"] == loudness)], LEVELS[loudness], rank, clock)
        for rank, loudness in keys
    ]
    panel = max(_PANEL_PX, _LEAST_PX // len(names))
    height = panel * len(names) + _GAP_PX * (len(names) - 1)
    drawn = figure(title, words, data, height + 20, **_layout(found, rows, names, panel, clock))
    return Drawing(_NAME, title, words, drawn, _table(moved), _legend(rows))


def shifts(found: LogAnswer) -> list[Shift]:
    """Compare each level of each service in both windows, the greatest rise first."""
    minutes = {
        name: w.length_ns / (60 * NS_PER_S)
        for name, w in (("baseline", found.windows.baseline), ("incident", found.windows.incident))
        if w
    }
    rates = found.rates.assign(level=[level_of(text) for text in found.rates["severity_text"]])
    moved = []
    for (service, level), rows in rates.groupby([rates["service_name"].fillna("").astype(str), "level"]):
        n = {name: int(rows.loc[rows["window"] == name, "count"].sum()) for name in ("baseline", "incident")}
        before, after = minutes.get("baseline", 0.0), minutes["incident"]
        z = rate_shift(n["baseline"], before, n["incident"], after)
        rate = n["baseline"] / before if before else 0.0
        moved.append(
            Shift(str(service), level_of(level), n["baseline"], n["incident"], rate, n["incident"] / after, z)
        )
    return sorted(moved, key=lambda s: (-s.z, s.service, s.level))


def finding(found: LogAnswer, moved: list[Shift]) -> str:
    """Say which level of which service became more frequent; the loudest one where several did."""
    total = sum(s.incident_per_min for s in moved)
    whose = short(found.service) if found.service else "All services"
    if not found.windows.baseline:
        return f"{whose} wrote {figures(total)} records a minute; there is no baseline to compare with"
    risen = [s for s in moved if s.risen]
    if risen:
        first = min(risen, key=lambda s: (LEVELS.index(s.level), -s.z, s.service))
        was = f"up from {figures(first.baseline_per_min, 2)}" if first.n_baseline else "before none"
        more = f"; {len(risen) - 1} other rise{'s' if len(risen) > 2 else ''}" if len(risen) > 1 else ""
        return f"{short(first.service) or 'An unnamed service'} writes {figures(first.incident_per_min, 2)} {WORDS[first.level]} a minute, {was}{more}"
    before = sum(s.baseline_per_min for s in moved)
    return f"No level became more frequent: {figures(total)} records a minute, {figures(before)} before"


def _words(title: str, moved: list[Shift], step_s: int) -> str:
    said = "; ".join(
        f"{short(s.service)} {WORDS[s.level]} {s.n_incident:,}, before {s.n_baseline:,}" for s in moved[:12]
    )
    return f"{title}. {said}. Each bar covers {duration(step_s * NS_PER_S)}."


def _by_panel(found: LogAnswer) -> pd.DataFrame:
    """Return counts by panel, level and bucket [start, end); the services with most loud records have panels first."""
    rates = found.rates
    loudness = [LEVELS.index(level_of(text)) for text in rates["severity_text"]]
    named = rates.assign(service=rates["service_name"].fillna("").astype(str), loudness=loudness)
    loud = named["count"].where(named["loudness"] <= LEVELS.index("WARN"), 0)
    sums = named.assign(loud=loud).groupby("service")[["loud", "count"]].sum()
    order = sums.sort_values(["loud", "count"], ascending=False, kind="stable").index.to_list()
    kept = order if len(order) <= _MOST + 1 else order[:_MOST]
    other = f"other ({len(order) - len(kept)})"
    named["panel"] = [name if name in kept else other for name in named["service"]]
    before = found.windows.baseline or found.windows.incident  # without one no row is of it
    windows = {"incident": found.windows.incident, "baseline": before}
    named[["start", "end"]] = [
        _bucket(windows[name], found.step_s * NS_PER_S, int(time))
        for name, time in zip(named["window"], named["time_unix_nano"], strict=True)
    ]
    summed = named.groupby(["panel", "loudness", "start", "end"])["count"].sum().reset_index()
    rank = summed["panel"].map([*kept, other].index)
    per_s = summed["count"] / (summed["end"] - summed["start"]) * NS_PER_S
    return summed.assign(rank=rank, per_s=per_s).sort_values(["rank", "start"], kind="stable")


def _bucket(window: Window, step_ns: int, time_ns: int) -> tuple[int, int]:
    """Return the bucket of a moment; what is left at the window's end, less than half of one, belongs to the last."""
    last = max(0, round(window.length_ns / step_ns) - 1)
    slot = min((time_ns - window.start_ns) // step_ns, last)
    start = window.start_ns + slot * step_ns
    return start, window.end_ns if slot == last else start + step_ns


def _bars(rows: pd.DataFrame, level: Level, panel: int, clock: Zone) -> dict[str, Any]:
    colour, hatch = LOOK[level]
    records = rows.to_dict("records")
    starts = [clock.axis_ms(row["start"]) for row in records]
    widths = [clock.axis_ms(row["end"]) - start for row, start in zip(records, starts, strict=True)]
    return {
        "type": "bar",
        "x": [start + width / 2 for start, width in zip(starts, widths, strict=True)],
        "y": [round(row["per_s"], 4) for row in records],
        "width": widths,
        "yaxis": f"y{panel + 1}",
        "marker": {
            "color": colour,
            "pattern": {"shape": hatch, "size": 5, "solidity": 0.3, "fgcolor": TEXT, "fillmode": "overlay"},
            "line": {"width": 0},
        },
        "hovertext": [
            f"{row['count']:,} {WORDS[level]} in {duration(row['end'] - row['start'])}<br>{utc(row['start'])}"
            for row in records
        ],
        "hoverinfo": "text",
    }


def _layout(
    found: LogAnswer, rows: pd.DataFrame, names: list[str], panel: int, clock: Zone
) -> dict[str, Any]:
    layout: dict[str, Any] = {"barmode": "stack", "bargap": 0}
    height = panel * len(names) + _GAP_PX * (len(names) - 1)
    heads = marks.captions(found, [], clock, (1.0, 1.0))
    whole = marks.extent(found.windows)
    early = found.onset is not None and found.onset.time_ns - whole.start_ns < whole.length_ns // 2
    side, place = ("right", 1) if early else ("left", 0)  # the onset is named in the first panel, too
    for i, name in enumerate(names):
        top = 1 - i * (panel + _GAP_PX) / height
        own = rows[rows["panel"] == name]
        highest = float(own.groupby("start")["per_s"].sum().max())
        layout[f"yaxis{i + 1 if i else ''}"] = axis(
            domain=[max(0.0, top - panel / height), top],
            range=[0, 1.5 * highest],
            nticks=4,
        )
        said = f"<b>{label(name) or 'without a name'}</b> {int(own['count'].sum()):,} records"
        heads.append(note(said, place, top, xref="paper", yref="paper", xanchor=side, yanchor="top", **_HEAD))
    layout["xaxis"] = axis(
        f"time ({clock.name}); records a second",
        type="date",
        anchor=f"y{len(names)}" if len(names) > 1 else "y",
        range=marks.axis_range(found.windows, clock),
        rangebreaks=marks.breaks(found.windows, clock),
    )
    return layout | {"shapes": marks.shapes(found, [], clock), "annotations": heads}


def _legend(rows: pd.DataFrame) -> Html:
    said = [_SAID[LEVELS[loudness]] for loudness in sorted(set(rows["loudness"]))]
    return Html(f"<p>{' '.join(said)} Each panel has a scale of its own.</p>")


def _table(moved: list[Shift]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "service": s.service,
                "level": s.level,
                "in the window": s.n_incident,
                "before": s.n_baseline,
                "a minute": s.incident_per_min,
                "a minute before": s.baseline_per_min,
            }
            for s in moved
        ]
    )
