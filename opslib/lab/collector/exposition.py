"""The metrics that came last, as a page that Prometheus scrapes: names, labels and values are those of the capture.

Each sample has the time that the capture has, so a scrape more often than the senders' interval adds nothing. A scraper
that takes any name in UTF-8 gets the names as they are, any other one with `_` for what it does not know; OpenMetrics
brings exemplars. It has no place for a unit that does not end the name: the line HELP has it instead.
"""

from __future__ import annotations

import json
import math
import re
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from opslib.core.clock import Clock
from opslib.lab.collector.rows import Row
from opslib.telemetry.importers.metrics import bound_text, label_text
from opslib.telemetry.importers.otlp import source
from opslib.telemetry.importers.values import plain_dict

STALE_S = 60.0
MOST_SERIES = 20_000
_OPENMETRICS, _TEXT = "application/openmetrics-text; version=1.0.0", "text/plain; version={version}"
_UTF8 = "escaping=allow-utf-8"
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_ENDINGS = {"_bucket": "histogram", "_sum": "histogram", "_count": "histogram", "_total": "counter"}

Labels = tuple[tuple[str, str], ...]  # sorted, with service and pod


class _Series(NamedTuple):
    name: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class _Exemplar:
    labels: Mapping[str, str]
    value: float
    time_ns: int


@dataclass(slots=True)
class _Last:
    time_ns: int
    value: float
    unit: str
    heard_s: float
    exemplar: _Exemplar | None = None


class Exposition:
    """The last sample of every series that was heard of within STALE_S; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[_Series, _Last] = {}
        self._dropped = 0

    def add(self, rows: Iterable[Row], request: Any) -> None:
        """Take rows in the order of the capture's columns, and the request that they come from for its exemplars."""
        exemplars, now_s = dict(_exemplars(request)), self._clock.monotonic_s()
        with self._lock:
            for time_ns, name, value, unit, service, pod, labels in rows:
                series = _Series(name, _labels(json.loads(labels or "{}"), service, pod))
                before = self._last.get(series)
                if before is None and len(self._last) >= MOST_SERIES:
                    self._dropped += 1
                elif before is None or time_ns >= before.time_ns:
                    found = exemplars.get(series) or (before.exemplar if before else None)
                    self._last[series] = _Last(time_ns, value, unit or "", now_s, found)

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {"series": len(self._last), "dropped": self._dropped}

    def page(self, accept: str) -> tuple[str, str]:
        """Return the content type that a scraper takes, by its Accept header, and the page."""
        openmetrics, utf8 = "application/openmetrics-text" in accept, _UTF8 in accept
        form = _Form(openmetrics=openmetrics, utf8=utf8)
        kind = _OPENMETRICS if openmetrics else _TEXT.format(version="1.0.0" if utf8 else "0.0.4")
        lines = [*form.lines(self._current()), *(["# EOF"] if openmetrics else [])]
        escaping = _UTF8 if utf8 else "escaping=underscores"
        return f"{kind}; charset=utf-8; {escaping}", "".join(f"{line}\n" for line in lines)

    def _current(self) -> list[tuple[_Series, _Last]]:
        """Forget what is stale, and return the rest."""
        since_s = self._clock.monotonic_s() - STALE_S
        with self._lock:
            self._last = {series: last for series, last in self._last.items() if last.heard_s >= since_s}
            return list(self._last.items())


def _labels(own: Mapping[str, str], service: str | None, pod: str | None) -> Labels:
    given = {name: value for name, value in own.items() if name and not name.startswith("__")}
    where = {"service_name": service, "k8s_pod_name": pod}
    return tuple(sorted((given | {name: text for name, text in where.items() if text}).items()))


def _exemplars(request: Any) -> Iterator[tuple[_Series, _Exemplar]]:
    """Yield the exemplars of histograms with a trace, each with the bucket that its value is in."""
    for group in request.resource_metrics:
        where = source(group.resource)
        for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
            for point in metric.histogram.data_points:
                labels = {key: label_text(value) for key, value in plain_dict(point.attributes).items()}
                for one in point.exemplars:
                    value = float(one.as_int if one.WhichOneof("value") == "as_int" else one.as_double)
                    bounds = [*point.explicit_bounds, math.inf]
                    if not one.trace_id or math.isnan(value):
                        continue
                    of_bucket = labels | {"le": bound_text(bounds[bisect_left(bounds, value)])}
                    series = _Series(
                        f"{metric.name}_bucket", _labels(of_bucket, where.service_name, where.k8s_pod_name)
                    )
                    ids = {"trace_id": one.trace_id.hex(), "span_id": one.span_id.hex()}
                    yield series, _Exemplar(ids, value, one.time_unix_nano)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a page is written."""

    openmetrics: bool
    utf8: bool

    def lines(self, samples: list[tuple[_Series, _Last]]) -> Iterator[str]:
        """Yield families by name, the series of each together, a histogram's buckets in ascending order."""
        histograms = {
            series.name.removesuffix("_bucket") for series, _ in samples if _bound(series) is not None
        }
        said = ""
        for (family, kind, *_), series, last in sorted(
            ((_place(series, histograms), series, last) for series, last in samples),
            key=lambda found: found[0],
        ):
            if family != said:
                said = family
                base = family if self.openmetrics or kind != "counter" else f"{family}_total"
                if last.unit:
                    yield f"# HELP {self._quoted(base)} in {last.unit.translate(_ESCAPES)}"
                yield f"# TYPE {self._quoted(base)} {kind}"
            yield self._sample(series, last)

    def _sample(self, series: _Series, last: _Last) -> str:
        line = f"{self._named(series.name, series.labels)} {_number(last.value)} {self._time(last.time_ns)}"
        if last.exemplar is None or not self.openmetrics:
            return line
        of = last.exemplar
        return f"{line} # {self._named('', of.labels.items())} {_number(of.value)} {self._time(of.time_ns)}"

    def _named(self, name: str, labels: Iterable[tuple[str, str]]) -> str:
        pairs = {self._label(label): value for label, value in labels}  # two may become one
        inside = [f'{label}="{value.translate(_ESCAPES)}"' for label, value in pairs.items()]
        if not name or _PLAIN.fullmatch(self._name(name)):
            return f"{self._name(name)}{{{','.join(inside)}}}"
        return f"{{{','.join([self._quoted(name), *inside])}}}"

    def _quoted(self, name: str) -> str:
        known = self._name(name)
        return known if _PLAIN.fullmatch(known) else f'"{known.translate(_ESCAPES)}"'

    def _name(self, name: str) -> str:
        return name if self.utf8 else re.sub(r"[^a-zA-Z0-9_:]|^(?=\d)", "_", name)

    def _label(self, name: str) -> str:
        known = self._name(name) if self.utf8 else self._name(name).replace(":", "_")
        return known if _PLAIN.fullmatch(known) and ":" not in known else f'"{known.translate(_ESCAPES)}"'

    def _time(self, time_ns: int) -> str:
        milliseconds = time_ns // 1_000_000
        return f"{milliseconds // 1000}.{milliseconds % 1000:03d}" if self.openmetrics else str(milliseconds)


def _bound(series: _Series) -> float | None:
    """Return the bound of a histogram's bucket, None for what is none."""
    try:
        return float(dict(series.labels)["le"]) if series.name.endswith("_bucket") else None
    except (KeyError, ValueError):
        return None


def _place(series: _Series, histograms: set[str]) -> tuple[str, str, Labels, str, float]:
    """Return family, kind, labels without `le`, name and bound, by which a page is sorted."""
    family, kind = series.name, "gauge"
    for ending, of in _ENDINGS.items():
        base = series.name.removesuffix(ending)
        if base and base != series.name and (of == "counter" or base in histograms):
            family, kind = base, of
    bound = _bound(series)
    labels = tuple(pair for pair in series.labels if bound is None or pair[0] != "le")
    return family, kind, labels, series.name, bound or 0.0


def _number(value: float) -> str:
    return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value) or repr(value)
