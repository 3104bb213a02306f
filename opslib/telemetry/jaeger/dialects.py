"""The ways in which Jaeger is asked, each a small class: the stable API v3, and the older JSON of its own pages.

Version 3 is spoken in two spellings (`query.start_time_min`, since 2.19 `query.startTimeMin`) and knows the limit by
three names; both spellings are sent, each version reads its own. It answers 404 where nothing is found, and where a
path is unknown a page with status 200. Times are RFC 3339 in nanoseconds there, integer microseconds in the older JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from opslib.core.errors import SourceError
from opslib.core.ids import TRACE_BYTES, hex_id
from opslib.core.windows import Window, rfc3339
from opslib.telemetry.http import Answer, Http
from opslib.telemetry.importers.values import json_text
from opslib.telemetry.jaeger.answers import Found, read

MOST = 1_500  # traces of one answer
_FEW = 20  # traces that are asked for to see which services they pass


@dataclass(frozen=True, slots=True)
class Search:
    """Traces with a span of `service` (empty: of any) that starts in `window` and lasts [least_ns, longest_ns]."""

    service: str
    window: Window
    limit: int = MOST
    least_ns: int = 0
    longest_ns: int = 0  # 0: any
    attributes: tuple[tuple[str, str], ...] = ()  # that span has; some versions ignore them


class Dialect(Protocol):
    """One way of asking. All raise SourceError."""

    name: str
    anonymous: bool  # whether a search may leave the service out

    def services(self) -> list[str]: ...

    def passed(self, search: Search) -> dict[str, set[str]]:
        """Return which services some of the traces pass through."""
        ...

    def search(self, search: Search) -> Found:
        """Return some of the traces, in no order, not more than the limit; each whole."""
        ...

    def trace(self, trace_id: str) -> Found | None:
        """Return one trace by its id of 32 digits, None where there is none."""
        ...


class _Service(msgspec.Struct):
    name: str = ""


class _Summary(msgspec.Struct, rename={"trace_id": "traceId"}):
    trace_id: str = ""
    services: list[_Service] = []


class _Summaries(msgspec.Struct):
    summaries: list[_Summary]


class V3:
    """`/api/v3`, of all versions since 1.2x."""

    name = "/api/v3/traces"
    anonymous = True

    def __init__(self, http: Http) -> None:
        self._http = http
        self._summaries = True  # until an answer shows that there are none

    def passed(self, search: Search) -> dict[str, set[str]]:
        """Ask for summaries, which cost little; where there are none, for a few traces."""
        if self._summaries:
            answer = self._http.get("/api/v3/trace-summaries", _query(search))
            if answer.status == 404 and b'"error' in answer.body:
                return {}
            try:
                told = answer.json(_Summaries).summaries
            except SourceError:  # a page, since 2.19 alone knows the path
                self._summaries = False
            else:
                return {one.trace_id: {service.name for service in one.services} for one in told}
        return _passed(self.search(replace(search, limit=_FEW)))

    def services(self) -> list[str]:
        answer = self._http.get("/api/v3/services")
        return _names(_expected(answer).json(), "services", answer)

    def search(self, search: Search) -> Found:
        found = _found(self._http.get("/api/v3/traces", _query(search)))
        return found or Found()

    def trace(self, trace_id: str) -> Found | None:
        return _found(
            self._http.get(f"/api/v3/traces/{trace_id}", {"raw_traces": "true", "rawTraces": "true"})
        )


class Legacy:
    """`/api/traces`: what Jaeger's own pages asked before version 2.20."""

    name = "/api/traces"
    anonymous = False

    def __init__(self, http: Http) -> None:
        self._http = http

    def services(self) -> list[str]:
        answer = self._http.get("/api/services")
        return _names(_expected(answer).json(), "data", answer)

    def passed(self, search: Search) -> dict[str, set[str]]:
        return _passed(self.search(replace(search, limit=_FEW)))

    def search(self, search: Search) -> Found:
        params: dict[str, Any] = {
            "service": search.service,
            "start": search.window.start_ns // 1000,
            "end": (search.window.end_ns - 1) // 1000,
            "limit": search.limit,
            "raw": "true",
        }
        if search.least_ns:
            params["minDuration"] = f"{search.least_ns}ns"
        if search.longest_ns:
            params["maxDuration"] = f"{search.longest_ns}ns"
        if search.attributes:
            params["tags"] = json_text(dict(search.attributes))
        return _found(self._http.get("/api/traces", params)) or Found()

    def trace(self, trace_id: str) -> Found | None:
        return _found(self._http.get(f"/api/traces/{trace_id}", {"raw": "true"}))


def choose(http: Http) -> Dialect:
    """Return the dialect that the server speaks. Raises SourceError where it speaks none."""
    modern, older = V3(http), Legacy(http)
    try:
        modern.services()
    except SourceError as first:
        try:
            older.services()
        except SourceError:
            raise first from None
        return older
    return modern


def _passed(found: Found) -> dict[str, set[str]]:
    passed: dict[str, set[str]] = {}
    for trace_id, service in zip(found.column("trace_id"), found.column("service_name"), strict=True):
        passed.setdefault(trace_id, set()).add(service)
    return passed


def _query(search: Search) -> dict[str, str]:
    fields = {
        "service_name": search.service,
        "start_time_min": rfc3339(search.window.start_ns),
        "start_time_max": rfc3339(search.window.end_ns - 1),  # the server means it included
        "search_depth": str(search.limit),
        "raw_traces": "true",
    }
    if search.least_ns:
        fields["duration_min"] = f"{search.least_ns}ns"
    if search.longest_ns:
        fields["duration_max"] = f"{search.longest_ns}ns"
    if search.attributes:
        fields["attributes"] = json_text(dict(search.attributes))
    spelled = {name: value for key, value in fields.items() for name in (key, _camel(key)) if value}
    return {f"query.{name}": value for name, value in (spelled | {"num_traces": str(search.limit)}).items()}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _found(answer: Answer) -> Found | None:
    """Read an answer; a 404 in Jaeger's own words says that nothing was found, any other that nobody is there."""
    if answer.status == 404 and b'"error' in answer.body:
        return None
    return read(_expected(answer))


def _expected(answer: Answer) -> Answer:
    if answer.status == 200:
        return answer
    raise SourceError(
        f"{answer.said} answered {answer.status}: {answer.excerpt()}",
        hint="does the url name Jaeger's query service, with its base path?",
    )


def _names(value: Any, key: str, answer: Answer) -> list[str]:
    """Return the names in an answer; one that is empty may have been left out."""
    names = value.get(key) if isinstance(value, dict) and (key in value or not value) else False
    names = [] if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SourceError(
            f"{answer.said} answered no list of services: {answer.excerpt()}",
            hint="does the url name Jaeger's query service?",
        )
    return sorted({name for name in names if name})


def normal_id(text: str) -> str | None:
    """Return a trace id as the capture writes it, None for what is none."""
    return hex_id(text.strip(), TRACE_BYTES, short_hex=True)
