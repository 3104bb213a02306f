"""Latency quantiles over the error rate, one time axis: when did it begin, how bad is it, what changed nearby.

Lines are told apart by dash and by a label at their end; colour says only to which window a point belongs.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.windows import Window
from opslib.core.words import duration, figures, share
from opslib.ui import marks
from opslib.ui.drawing import Drawing, axis, empty, figure, note
from opslib.ui.facts import Zone, sample, utc, zone_of
from opslib.ui.palette import INCIDENT, NORMAL, TEXT
from opslib.ui.sampling import FEW, Bucket, Sample, buckets, quantiles, width_s
from opslib.ui.scale import duration_axis, position, spread
from opslib.ui.text import short

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_NAME = "latency_over_time"
_DASHES = ("solid", "dash", "dot")
_COLOUR = {"baseline": NORMAL, "incident": INCIDENT}
_UPPER, _LOWER = [0.34, 1.0], [0.0, 0.24]  # the two panels, as shares of the height
_WORTH_SAYING = 0.1  # a quantile that moved by less is called unchanged


def latency_over_time(inv: Investigation, percentile: float = 95.0, *, zone: tzinfo | None = None) -> Drawing:
    """Draw p50, the percentile asked for and p99 of the calls over the error rate, with the windows and the changes."""
    windows = inv.verdict.windows
    samples = {name: sample(inv, name) for name in ("baseline", "incident")}
    if not any(len(calls) for calls in samples.values()):
        return empty(
            _NAME,
            f"No calls of {short(inv.verdict.service)} in these windows",
            f"Incident window: {windows.incident}.",
        )
    percentiles = sorted({50.0, float(percentile), 99.0})
    found = _buckets(windows.incident, windows.baseline, samples, percentiles)
    clock = zone_of(inv, zone)
    title = finding(inv, samples, percentile, clock)
    changes = marks.changes(inv.evidence.events, marks.extent(windows))
    words = _words(title, samples, found)
    layout = _layout(inv, found, percentiles, clock, changes)
    data = [*_lines(found, percentiles, clock), _errors(found, clock)]
    return Drawing(
        _NAME,
        title,
        words,
        figure(title, words, data, 430, **layout),
        _table(found, percentiles, clock),
        marks.legend(changes, clock),
    )


def finding(inv: Investigation, samples: dict[str, Sample], percentile: float, clock: Zone) -> str:
    """Say in one line how the percentile moved, since when, and how the errors did."""
    before, during = samples["baseline"], samples["incident"]
    name = f"{short(inv.verdict.service)} p{figures(percentile, 4)}"
    (was,), (now,) = (quantiles(calls.durations_ns, [percentile / 100]) for calls in (before, during))
    if not len(during):
        return f"{name} was {duration(was)} before; the incident window holds no calls"
    if not len(before):
        return f"{name} is {duration(now)} in the incident window; there is no baseline to compare with"
    onset = inv.verdict.onset
    when = f"at {clock.clock(onset.time_ns)}" if onset else "in the incident window"
    moved = abs(now - was) > _WORTH_SAYING * was
    verb = "rose" if now > was else "fell"
    said = (
        f"{name} {verb} from {duration(was)} to {duration(now)} {when}"
        if moved
        else f"{name} stayed at {duration(was)} ({duration(now)} in the incident window)"
    )
    return said + _errors_said(before, during)


def _errors_said(before: Sample, during: Sample) -> str:
    was, now = before.failed / len(before), during.failed / len(during)
    if abs(now - was) < 0.01:
        return ""
    return f"; errors {'rose' if now > was else 'fell'} from {figures(100 * was, 2)} % to {share(during.failed, len(during))}"


def _words(title: str, samples: dict[str, Sample], found: list[Bucket]) -> str:
    parts = [
        f"{name}: {len(calls):,} calls, p50 {duration(p50)}, p95 {duration(p95)}, p99 {duration(p99)}, "
        f"errors {share(calls.failed, len(calls))}"
        for name, calls in samples.items()
        if len(calls)
        for p50, p95, p99 in [quantiles(calls.durations_ns, [0.5, 0.95, 0.99])]
    ]
    width = max(bucket.end_ns - bucket.start_ns for bucket in found)
    return f"{title}. {'; '.join(parts)}. Each point covers {duration(width)}."


def _buckets(
    incident: Window, baseline: Window | None, samples: dict[str, Sample], percentiles: list[float]
) -> list[Bucket]:
    spans = {"baseline": baseline, "incident": incident}
    present = [window for window in spans.values() if window]
    width = width_s(present, sum(len(calls) for calls in samples.values()))
    shares = [p / 100 for p in percentiles]
    found: list[Bucket] = []
    for name, window in spans.items():
        if window:
            found += buckets(window, name, width, samples[name], shares)
    return sorted(found, key=lambda bucket: bucket.start_ns)


def _lines(found: list[Bucket], percentiles: list[float], clock: Zone) -> list[dict[str, Any]]:
    return [_line(found, i, percentile, clock) for i, percentile in enumerate(percentiles)]


def _line(found: list[Bucket], i: int, percentile: float, clock: Zone) -> dict[str, Any]:
    name = f"p{figures(percentile, 4)}"
    return _trace(
        found,
        clock,
        [round(bucket.quantiles_ns[i] / 1e6, 4) for bucket in found],
        [
            f"{name} {duration(b.quantiles_ns[i])}, {b.calls:,} calls<br>{b.window}, "
            f"{utc(b.start_ns)} for {duration(b.end_ns - b.start_ns)}"
            for b in found
        ],
        name=name,
        dash=_DASHES[i % 3],
        yaxis="y",
    )


def _errors(found: list[Bucket], clock: Zone) -> dict[str, Any]:
    return _trace(
        found,
        clock,
        [round(100 * bucket.errors / bucket.calls, 3) for bucket in found],
        [f"errors {share(b.errors, b.calls)}<br>{b.window}, {utc(b.start_ns)}" for b in found],
        name="errors",
        dash="solid",
        yaxis="y2",
    )


def _trace(
    found: list[Bucket], clock: Zone, y: list[float], hover: list[str], *, name: str, dash: str, yaxis: str
) -> dict[str, Any]:
    colours = [_COLOUR[bucket.window] for bucket in found]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [clock.axis_ms(bucket.middle_ns) for bucket in found],
        "y": y,
        "yaxis": yaxis,
        "hovertext": hover,
        "hoverinfo": "text",
        "line": {"color": TEXT, "dash": dash, "width": 1.5},
        "marker": {
            "size": 7,
            "color": colours,
            "symbol": ["circle-open" if bucket.few else "circle" for bucket in found],
            "line": {"color": colours, "width": 1.5},
        },
    }


def _layout(
    inv: Investigation,
    found: list[Bucket],
    percentiles: list[float],
    clock: Zone,
    changes: list[marks.Change],
) -> dict[str, Any]:
    windows = inv.verdict.windows
    durations = duration_axis([q for b in found for q in b.quantiles_ns], "duration of a call", domain=_UPPER)
    worst = max(1.0, *(100 * bucket.errors / bucket.calls for bucket in found))
    hollow = f"; hollow: fewer than {FEW} calls" if any(bucket.few for bucket in found) else ""
    return {
        "xaxis": axis(
            f"time ({clock.name}){hollow}",
            type="date",
            anchor="y2",
            range=marks.axis_range(windows, clock),
            rangebreaks=marks.breaks(windows, clock),
        ),
        "yaxis": durations,
        "yaxis2": axis("errors, %", domain=_LOWER, range=[-0.04 * worst, 1.15 * worst], nticks=4),
        "shapes": marks.shapes(inv.verdict, changes, clock),
        "annotations": [
            *marks.captions(inv.verdict, changes, clock),
            *_end_labels(found[-1], percentiles, durations),
        ],
    }


def _end_labels(last: Bucket, percentiles: list[float], durations: dict[str, Any]) -> list[dict[str, Any]]:
    """Name each line at its end, pushed apart where they would overlap."""
    low, high = durations["range"]
    places = spread([(position(durations, q) - low) / (high - low) for q in last.quantiles_ns], 0.075)
    bottom, top = _UPPER
    return [
        note(
            f"p{figures(p, 4)}",
            1,
            bottom + place * (top - bottom),
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="middle",
            xshift=6,
        )
        for p, place in zip(percentiles, places, strict=True)
    ]


def _table(found: list[Bucket], percentiles: list[float], clock: Zone) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "from": clock.stamp(bucket.start_ns),
                "window": bucket.window,
                "calls": bucket.calls,
                "errors": bucket.errors,
                **{
                    f"p{figures(p, 4)}, ms": q / 1e6
                    for p, q in zip(percentiles, bucket.quantiles_ns, strict=True)
                },
            }
            for bucket in found
        ]
    )
