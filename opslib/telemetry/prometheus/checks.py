"""What `opslib doctor` asks of a metric server: is it there, what is it, does it hold what an investigation needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime

import msgspec
import pandas as pd

from opslib.core.checks import Check
from opslib.core.errors import SourceError
from opslib.core.outcome import Outcome
from opslib.core.windows import NS_PER_S, Window
from opslib.core.words import duration, printable
from opslib.telemetry.prometheus.answers import ask, query
from opslib.telemetry.prometheus.naming import USUAL, selector
from opslib.telemetry.prometheus.source import PrometheusMetrics

_RECENT_NS = 900 * NS_PER_S
_SHORT_NS = 300 * NS_PER_S  # the shortest window that an investigation chooses by itself
_LEAST_SAMPLES = 5  # in such a window: fewer show no rate over time
_CLOCK_NS = 2 * NS_PER_S  # the header has whole seconds


class _Build(msgspec.Struct):
    version: str = ""
    application: str = ""


def check(metrics: PrometheusMetrics, services: Collection[str] = ()) -> tuple[Check, ...]:
    """Return what was found; `services` are those of the environment's map. Raises nothing for a server that fails."""
    try:
        said = query(metrics.http, "query", {"query": "vector(1)"})
        recent = Window(metrics.clock.now_ns() - _RECENT_NS, metrics.clock.now_ns())
        return (
            Check("metrics", Outcome.PASS, f"{metrics.http.endpoint.url} is {_what(metrics, said.headers)}"),
            *_clock(said.headers, metrics.clock.now_ns()),
            *_samples(metrics, recent, services),
            _exemplars(metrics, recent),
        )
    except SourceError as error:
        return (Check("metrics", Outcome.FAIL, str(error), error.hint),)


def _what(metrics: PrometheusMetrics, headers: Mapping[str, str]) -> str:
    """Name the server. Only Prometheus' own answer to `buildinfo` is its version: others lack or imitate it."""
    try:
        build = ask(metrics.http, "status/buildinfo", {}, _Build).data
    except SourceError:
        build = _Build()
    if "x-server-hostname" in headers:
        return "VictoriaMetrics, which tells no version of its own"
    if not build.version:
        return "a server with Prometheus' API that tells no version, such as Thanos or Cortex"
    return printable(f"{build.application or 'Prometheus'} {build.version}", 80)


def _clock(headers: Mapping[str, str], now_ns: int) -> Iterator[Check]:
    try:
        server_ns = int(parsedate_to_datetime(headers.get("date", "")).timestamp()) * NS_PER_S
    except (ValueError, TypeError, OverflowError):
        return
    offset_ns = server_ns + NS_PER_S // 2 - now_ns
    statement = f"its clock is {duration(abs(offset_ns))} {'ahead' if offset_ns > 0 else 'behind'}"
    if abs(offset_ns) > _CLOCK_NS:
        hint = "windows miss what it stamps: set both clocks by NTP"
        yield Check("clock of metrics", Outcome.FAIL, statement, hint)
    else:
        yield Check("clock of metrics", Outcome.PASS, "its clock agrees with ours")


def _samples(metrics: PrometheusMetrics, recent: Window, services: Collection[str]) -> Iterator[Check]:
    found = metrics.metrics(recent)
    frame, told = found.frame, "; ".join(found.note.warnings)
    statement = f"{len(frame):,} samples in {duration(recent.length_ns)}{f' ({told})' if told else ''}"
    if not len(frame):
        hint = (
            "does the namespace of the environment agree with the label? what is not usual, `match` asks for"
        )
        yield Check("samples", Outcome.NO_DATA, statement, hint)
        return
    yield Check("samples", Outcome.PASS, statement)
    missing = sorted(set(services) - set(frame["service_name"].dropna()))
    if missing:
        hint = 'metrics = {label = "LABEL", value = "VALUE"} of the service says whose series are its own'
        yield Check("metrics of services", Outcome.NO_DATA, f"none of {', '.join(missing)}", hint)
    elif services:
        yield Check("metrics of services", Outcome.PASS, f"of all {len(services)} services")
    yield _interval(frame)


def _interval(frame: pd.DataFrame) -> Check:
    keys = ["name", "service_name", "k8s_pod_name", "labels"]
    gaps = frame.groupby(keys, dropna=False, sort=False)["time_unix_nano"].diff().dropna()
    name = "scrape interval"
    if not len(gaps):
        return Check(name, Outcome.NO_DATA, "no series has two samples", "ask again after some scrapes")
    interval_ns = max(float(gaps.median()), 1.0)
    statement = f"{duration(interval_ns)}: {round(_SHORT_NS / interval_ns)} samples in {duration(_SHORT_NS)}"
    if _SHORT_NS / interval_ns < _LEAST_SAMPLES:
        return Check(name, Outcome.NO_DATA, statement, "ask for longer windows, or scrape more often")
    return Check(name, Outcome.PASS, statement)


def _exemplars(metrics: PrometheusMetrics, recent: Window) -> Check:
    found = len(metrics.exemplars_of(selector(USUAL, metrics.namespace), recent).frame)
    if found:
        return Check("exemplars", Outcome.PASS, f"{found:,} name a trace")
    return Check(
        "exemplars",
        Outcome.NO_DATA,
        "there are none: no way leads from a metric to a trace",
        "Prometheus needs --enable-feature=exemplar-storage, the service an OpenMetrics page with exemplars",
    )
