"""Series gathered from several answers, as rows of the capture: each sample once, in one order whatever was asked first.

A native histogram becomes the rows that a classic one would have: cumulative buckets at every bound that is known in
all its samples, since empty buckets are not sent and the resolution may fall. Where a scrape keeps both, the classic
rows count. NaN is no sample (a summary of nothing, a quantile of nothing) and is left out.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.core.columns import COLUMNS
from opslib.telemetry.prometheus.answers import Floats, Histogram, Series, Times, numbers, times_ns
from opslib.telemetry.prometheus.naming import TARGET_LABELS, Naming, bound_text

Labels = tuple[tuple[str, str], ...]
_PARTS = ("_bucket", "_sum", "_count")


@dataclass(slots=True)
class _Parts:
    times: list[Times] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    histograms: dict[int, Histogram] = field(default_factory=dict)


class Line(NamedTuple):
    """One series with its samples by time, each time once."""

    metric: Mapping[str, str]
    times: Times
    value: Floats


class _Row(NamedTuple):
    name: str
    unit: str | None
    service_name: str | None
    k8s_pod_name: str | None
    labels: str | None


class Gathered:
    """The samples of answers to one question. `samples` counts what came, native histograms by their buckets."""

    def __init__(self) -> None:
        self.samples = 0
        self._series: dict[Labels, _Parts] = defaultdict(_Parts)

    def add(
        self, answer: Iterable[Series], *, after_ns: int | None = None, until_ns: int | None = None
    ) -> int:
        """Take what lies in (after, until]; return how many samples it was."""
        before = self.samples
        for one in answer:
            parts = self._series[tuple(sorted(one.metric.items()))]
            points = [*one.points, *([one.value] if one.value else [])]
            histograms = [*one.histograms, *([one.histogram] if one.histogram else [])]
            times = times_ns([time for time, _ in points])
            found = numbers([text for _, text in points])
            used = _within(times, after_ns, until_ns) & ~np.isnan(found)
            parts.times.append(times[used])
            parts.value.append(found[used])
            at = times_ns([time for time, _ in histograms])
            inside = _within(at, after_ns, until_ns)
            for number in np.flatnonzero(inside).tolist():
                parts.histograms[int(at[number])] = histograms[number][1]
                self.samples += len(histograms[number][1].buckets) + 3
            self.samples += int(used.sum())
        return self.samples - before

    def lines(self) -> Iterator[Line]:
        """Yield every series, native histograms as the series of classic ones."""
        for key, parts in self._series.items():
            metric = dict(key)
            if parts.times:
                times, first = np.unique(np.concatenate(parts.times), return_index=True)
                if len(times):
                    yield Line(metric, times, np.concatenate(parts.value)[first])
            if parts.histograms and not self._is_classic_too(metric):
                yield from classic(metric, sorted(parts.histograms.items()))

    def _is_classic_too(self, metric: Mapping[str, str]) -> bool:
        count = {**metric, "__name__": f"{metric.get('__name__', '')}_count"}
        return tuple(sorted(count.items())) in self._series


def _within(times: Times, after_ns: int | None, until_ns: int | None) -> NDArray[np.bool_]:
    inside = np.ones(len(times), dtype=np.bool_)
    if after_ns is not None:
        inside &= times > after_ns
    if until_ns is not None:
        inside &= times <= until_ns
    return inside


def classic(metric: Mapping[str, str], samples: Sequence[tuple[int, Histogram]]) -> Iterator[Line]:
    """Yield the `_bucket`, `_sum` and `_count` lines of a native histogram's samples, these by time.

    A bound is the lower or upper end of a bucket; below zero, where buckets hold their lower end and not their upper,
    an observation that equals a bound is counted above it.
    """
    name, times = metric.get("__name__", ""), np.array([time for time, _ in samples], dtype=np.int64)
    tables = [_ends(histogram) for _, histogram in samples]
    bounds = _known(tables)
    below = np.array([_below(table, bounds) for table in tables], dtype=np.float64).reshape(len(samples), -1)
    counts = numbers([histogram.count for _, histogram in samples])
    sums = numbers([histogram.sum for _, histogram in samples])
    for bound, column in zip([*bounds.tolist(), math.inf], [*below.T, counts], strict=True):
        yield Line({**metric, "__name__": f"{name}_bucket", "le": bound_text(repr(bound))}, times, column)
    measured = ~np.isnan(sums)
    yield Line({**metric, "__name__": f"{name}_sum"}, times[measured], sums[measured])
    yield Line({**metric, "__name__": f"{name}_count"}, times, counts)


def _ends(histogram: Histogram) -> Floats:
    """Return buckets as (lower, upper, count), shape (n, 3), by upper end."""
    found = numbers([text for _, *texts in histogram.buckets for text in texts]).reshape(-1, 3)
    return found[np.argsort(found[:, 1], kind="stable")]


def _known(tables: Sequence[Floats]) -> Floats:
    """Return the bounds, ascending, below which every sample knows its count: none lies within a bucket of another."""
    ends = np.unique(np.concatenate([table[:, :2].ravel() for table in tables]))
    ends = ends[np.isfinite(ends)]
    within = np.zeros(len(ends) + 1, dtype=np.int64)
    for table in tables:
        low = np.searchsorted(ends, table[:, 0], side="right")
        high = np.maximum(np.searchsorted(ends, table[:, 1], side="left"), low)
        np.add.at(within, low, 1)
        np.add.at(within, high, -1)
    known: Floats = ends[np.cumsum(within)[:-1] == 0]
    return known


def _below(table: Floats, bounds: Floats) -> Floats:
    so_far = np.concatenate([[0.0], np.cumsum(table[:, 2])])
    found: Floats = so_far[np.searchsorted(table[:, 1], bounds, side="right")]
    return found


def frame_of(lines: Iterable[Line], naming: Naming, unit_of: Callable[[str], str | None]) -> pd.DataFrame:
    """Return samples as the capture's rows, sorted by time and then by all that tells rows apart."""
    rows = sorted(_rows(list(lines), naming, unit_of), key=lambda found: tuple(x or "" for x in found[0]))
    sizes = [len(line.times) for _, line in rows]
    series = np.repeat(np.arange(len(rows)), sizes)
    times = np.concatenate([line.times for _, line in rows] or [np.zeros(0, np.int64)])
    values = np.concatenate([line.value for _, line in rows] or [np.zeros(0)])
    order = np.argsort(times, kind="stable")  # rows are sorted already
    columns: dict[str, object] = {"time_unix_nano": times[order], "value": values[order]}
    for number, name in enumerate(_Row._fields):
        told = np.array([row[number] for row, _ in rows], dtype=object)
        columns[name] = told[series[order]] if rows else told
    return pd.DataFrame(columns)[[column.name for column in COLUMNS["metrics"]]]


def _rows(
    lines: Sequence[Line], naming: Naming, unit_of: Callable[[str], str | None]
) -> Iterator[tuple[_Row, Line]]:
    """Yield each line with its columns. Two at once that differ in their target alone keep it among their labels."""
    groups: dict[_Row, list[Line]] = defaultdict(list)
    for line in lines:
        name, place = line.metric.get("__name__", ""), naming.place(line.metric)
        labels = _json(place.labels)
        groups[_Row(name, unit_of(name), place.service, place.pod, labels)].append(line)
    for row, found in groups.items():
        ordered = sorted(
            found, key=lambda line: (line.times[0], line.times[-1]) if len(line.times) else (0, 0)
        )
        apart = all(a.times[-1] < b.times[0] for a, b in pairwise(ordered) if len(a.times) and len(b.times))
        for line in ordered:
            target = {label: line.metric[label] for label in TARGET_LABELS if label in line.metric}
            told = json.loads(row.labels or "{}")
            yield (row if apart else row._replace(labels=_json(told | target))), line


def _json(labels: Mapping[str, str]) -> str | None:
    return json.dumps(labels, ensure_ascii=False, separators=(",", ":"), sort_keys=True) if labels else None
