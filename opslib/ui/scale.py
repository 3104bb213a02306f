"""Axes of durations: logarithmic when the values span more than a decade, labelled as people write durations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opslib.core.words import duration
from opslib.ui.drawing import axis

_STEPS = (1, 2, 5)


def is_wide(values_ns: Iterable[float]) -> bool:
    """Tell whether positive values span more than a decade."""
    positive = [value for value in values_ns if value > 0]
    return bool(positive) and max(positive) > 10 * min(positive)


def duration_axis(
    values_ns: Iterable[float], title: str, *, log: bool | None = None, **more: Any
) -> dict[str, Any]:
    """Return an axis in ms for these values (ns), labelled at round durations; `log` None: as the values need it."""
    values = [value / 1e6 for value in values_ns if value > 0] or [1.0]
    low, high = min(values), max(values)
    logarithmic = is_wide(v * 1e6 for v in values) if log is None else log
    if logarithmic:
        span = [math.log10(low * 0.8), math.log10(high * 1.25)]
        ticks = _log_ticks(10 ** span[0], 10 ** span[1])
    else:
        span = [0.0, high * 1.12]
        ticks = even_ticks(span[1])
    return axis(
        title,
        type="log" if logarithmic else "linear",
        range=[round(edge, 4) for edge in span],
        tickvals=ticks,
        ticktext=[duration(tick * 1e6) if tick else "0" for tick in ticks],
        **more,
    )


def position(scale: Mapping[str, Any], value_ns: float) -> float:
    """Return where a duration stands on such an axis: ms, or their decimal logarithm."""
    value = value_ns / 1e6
    return value if scale["type"] == "linear" else math.log10(max(value, 1e-9))


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Push places on one line apart to at least `gap`, upwards in their order; the given order is kept."""
    moved = list(places)
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    return moved


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = _STEPS if high <= 1000 * low else (1,)
    ticks = [round(step * 10.0**decade, 9) for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def even_ticks(high: float) -> list[float]:
    rough = high / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough)
    return [round(i * step, 9) for i in range(int(high / step) + 1)]
