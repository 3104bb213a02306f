"""What a server with Prometheus' API says: data with its warnings, or a refusal in the server's own words.

Times come as seconds with decimals. Samples are stamped in whole milliseconds, and a double gives back every decimal
text of up to 15 digits, so nanoseconds are exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from opslib.core.errors import SourceError
from opslib.core.units import to_ns
from opslib.core.words import printable
from opslib.telemetry.http import Answer, Http

T = TypeVar("T")
Times = NDArray[np.int64]
Floats = NDArray[np.float64]
_LATEST_S = 9.2e9  # what 64 bits hold of nanoseconds
_TOO_MUCH = re.compile(r"too many|exceed|limit|maximum|more than", re.IGNORECASE)
_ELSEWHERE = "the url ends before /api/v1: Mimir's own ends in /prometheus, VictoriaMetrics' cluster's in /select/0/prometheus"


class Histogram(msgspec.Struct):
    """A native histogram; buckets are (rule of inclusion, lower, upper, count), those without observations absent."""

    count: str
    sum: str
    buckets: list[tuple[int, str, str, str]] = []


class Series(msgspec.Struct):
    """One series of an answer: of a vector `value` or `histogram`, of a matrix `points` or `histograms`."""

    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    points: list[tuple[float, str]] = msgspec.field(name="values", default_factory=list)
    histogram: tuple[float, Histogram] | None = None
    histograms: list[tuple[float, Histogram]] = []


class _Result(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Envelope(msgspec.Struct, Generic[T], rename="camel"):
    status: str
    data: T | None = None
    error_type: str = ""
    error: str = ""
    warnings: list[str] | None = None
    infos: list[str] | None = None
    is_partial: bool = False  # VictoriaMetrics' word for an answer of some of its storage nodes


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """Data as asked for, and what the server warns of; `headers` as they came."""

    data: T
    warnings: tuple[str, ...]
    headers: Mapping[str, str]


class TooMuchError(SourceError):
    """The server refuses a question for the size of its answer: a smaller one may be answered."""


def ask(http: Http, path: str, params: Mapping[str, Any], type_: type[T]) -> Said[T]:
    """Ask an endpoint below /api/v1. Raises SourceError, and TooMuchError where less might be answered."""
    answer = http.get(f"/api/v1/{path}", params)
    if answer.status == 404:
        raise SourceError(f"{answer.said} is not there (status 404): {answer.excerpt()}", hint=_ELSEWHERE)
    told: _Envelope[T] = answer.json(_Envelope[type_])  # type: ignore[valid-type]
    if told.status != "success" or told.data is None:
        raise _refusal(answer, told.error_type, told.error)
    partial = (
        ["the answer holds a part of the data: not all storage nodes answered"] if told.is_partial else []
    )
    warnings = [printable(text, 400) for text in (*(told.warnings or ()), *(told.infos or ()))]
    return Said(told.data, (*warnings, *partial), answer.headers)


def query(http: Http, path: str, params: Mapping[str, Any]) -> Said[list[Series]]:
    """Ask `query` or `query_range`. A scalar comes as a series without labels. Raises as `ask`."""
    said = ask(http, path, params, _Result)
    answer = Answer(200, {}, bytes(said.data.result), f"{http.endpoint.kind} at {http.endpoint.url}")
    if said.data.result_type in {"matrix", "vector"}:
        return Said(answer.json(list[Series]), said.warnings, said.headers)
    if said.data.result_type == "scalar":
        return Said([Series(value=answer.json(tuple[float, str]))], said.warnings, said.headers)
    raise SourceError(f"{answer.said} answers with a {printable(said.data.result_type)}, not with samples")


def _refusal(answer: Answer, kind: str, words: str) -> SourceError:
    text = f"{answer.said} refuses ({answer.status} {printable(kind, 40)}): {printable(words, 600)}"
    if answer.status == 422 and _TOO_MUCH.search(words):
        return TooMuchError(text, hint="ask for a shorter time, or for fewer series")
    return SourceError(text, hint="the query is not in its language" if kind == "bad_data" else "")


def seconds(time_ms: int) -> str:
    """Write a time as Prometheus reads it."""
    return f"{Decimal(time_ms) / 1000:f}"


def times_ns(times_s: list[float]) -> Times:
    """Return times in nanoseconds, exact as the server wrote them; what 64 bits do not hold is their limit."""
    found = np.clip(np.array(times_s, dtype=np.float64), -_LATEST_S, _LATEST_S)
    whole = np.rint(found * 1000)
    if np.all(np.abs(found * 1000 - whole) < 0.001):
        return whole.astype(np.int64) * 1_000_000
    return np.array([to_ns(repr(float(one)), "s") for one in found], dtype=np.int64)


def numbers(texts: list[str]) -> Floats:
    """Return values, which are texts such as `NaN` and `+Inf` too. Raises SourceError for what is no number."""
    try:
        return np.array(list(map(float, texts)), dtype=np.float64)
    except ValueError as error:
        raise SourceError(f"a sample holds no number: {printable(str(error))}") from error
