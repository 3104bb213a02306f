"""One Elasticsearch or OpenSearch, asked over HTTP: searches within one state of the indices, whole or said to be partial.

A point in time is opened for each question and given back at its end. One that the server has dropped meanwhile is
opened anew; whoever reads pages is told, since the places of documents in it are others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import msgspec

from opslib.core.errors import SourceError
from opslib.core.words import printable
from opslib.telemetry.http import Answer, Http

KEEP_ALIVE = "1m"  # from one page to the next
_REOPENED = 3  # times in a row without any answer between
_GONE = "search_context_missing_exception"


class Hit(msgspec.Struct):
    """A document as it was sent, and its place in the order."""

    sort: list[Any] = []
    source: dict[str, Any] = msgspec.field(name="_source", default_factory=dict)


class _Total(msgspec.Struct):
    value: int = 0


class _Hits(msgspec.Struct):
    """`total` is there where it was asked for, and whole where it was asked for whole."""

    hits: list[Hit] = []
    total: _Total | None = None


class _Shards(msgspec.Struct):
    failed: int = 0
    total: int = 0
    failures: list[Any] = []


class Found(msgspec.Struct):
    """The answer to a search."""

    hits: _Hits = msgspec.field(default_factory=_Hits)
    aggregations: dict[str, Any] = {}
    timed_out: bool = False
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)
    pit_id: str | None = None

    def told(self, name: str, key: str) -> Any:
        """Return what an aggregation tells; None where there is no shard to aggregate."""
        told = self.aggregations.get(name)
        return told.get(key) if isinstance(told, dict) else None


class _Opened(msgspec.Struct):
    """A new point in time; OpenSearch opens one also where it cannot reach all shards."""

    id: str = ""
    pit_id: str = ""
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)

    @property
    def pit(self) -> str:
        return self.id or self.pit_id


class ExpiredError(Exception):
    """The server has dropped the point in time; another one is open now."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a flavour opens and closes a point in time, and what tells documents of the same time apart."""

    flavour: str
    path: str
    key: str
    tie_break: str

    def closing(self, pit: str) -> dict[str, Any]:
        return {self.key: pit if self.key == "id" else [pit]}


ELASTICSEARCH = Dialect("Elasticsearch", "_pit", "id", "_shard_doc")


def dialect_of(product: str, root: Mapping[str, Any]) -> Dialect:
    """Return the dialect by the header X-Elastic-Product, or by what `GET /` says.

    OpenSearch knows `_shard_doc` from 3.3 on; before, the document's id alone is unique.
    """
    version = root.get("version")
    version = version if isinstance(version, dict) else {}
    if product == "Elasticsearch" or version.get("distribution") != "opensearch":
        return ELASTICSEARCH
    numbers = [int(part) if part.isdigit() else 0 for part in str(version.get("number")).split(".")[:2]]
    tie_break = "_shard_doc" if numbers >= [3, 3] else "_id"
    return Dialect("OpenSearch", "_search/point_in_time", "pit_id", tie_break)


class Server:
    """Asks one server about one pattern of indices. Raises SourceError."""

    def __init__(self, http: Http, index: str) -> None:
        self.http, self.index = http, index
        self._path = f"/{quote(index, safe=',*')}"

    @cached_property
    def dialect(self) -> Dialect:
        """The dialect, asked for once; a key that may only search is told the product by any answer's header."""
        product = self.http.get(f"{self._path}/_field_caps", {"fields": "@timestamp", **_ABSENT}).headers
        if product.get("x-elastic-product") == "Elasticsearch":
            return ELASTICSEARCH
        root = self.http.get("/").json()
        return dialect_of("", root if isinstance(root, dict) else {})

    def field_caps(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, dict[str, Any]]]:
        """Return the indices that the pattern matches, and for each field that they have its types."""
        told = _good(
            self.http.get(f"{self._path}/_field_caps", {"fields": ",".join(names), **_ABSENT})
        ).json()
        indices, fields = told.get("indices", []), told.get("fields", {})
        return tuple(sorted(map(str, indices))), fields if isinstance(fields, dict) else {}

    def search(self, body: Mapping[str, Any]) -> Found:
        """Raises ExpiredError where the point in time is gone."""
        answer = self.http.post("/_search", body)
        if answer.status == 404 and _GONE.encode() in answer.body:
            raise ExpiredError
        found: Found = _good(answer).json(Found)
        if any(_GONE in str(failure) for failure in found.shards.failures):
            raise ExpiredError
        return found

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Yield one state of the indices to ask about; it is given back, also after an error."""
        opened = Snapshot(self)
        try:
            yield opened
        finally:
            with suppress(SourceError):  # it ends by itself, and the error to tell is the first one
                self.http.delete(f"/{self.dialect.path}", self.dialect.closing(opened.pit))

    def open(self) -> _Opened:
        """Open a point in time."""
        answer = self.http.post(
            f"{self._path}/{self.dialect.path}", {}, {"keep_alive": KEEP_ALIVE, "ignore_unavailable": "true"}
        )
        opened: _Opened = _good(answer).json(_Opened)
        if not opened.pit:
            raise SourceError(f"{answer.said} opened no point in time: {answer.excerpt()}")
        return opened


_ABSENT = {"ignore_unavailable": "true", "allow_no_indices": "true"}


class Snapshot:
    """A point in time, and what was amiss in its answers. May be asked by several threads."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.tie_break = server.dialect.tie_break
        self.amiss: dict[str, None] = {}  # in the order in which it was first met
        self.pit = self._opened()

    def page(self, body: Mapping[str, Any]) -> Found:
        """Ask once, with the newest id. Raises ExpiredError, another point in time being open then."""
        used = self.pit
        timeout_ms = int(self._server.http.endpoint.timeout_s * 900)  # so that it says so before we hang up
        try:
            found = self._server.search(
                {**body, "pit": {"id": used, "keep_alive": KEEP_ALIVE}, "timeout": f"{timeout_ms}ms"}
            )
        except ExpiredError:
            with self._lock:
                if self.pit == used:
                    self.pit = self._opened()
            raise
        with self._lock:
            self.pit = found.pit_id or self.pit
            self.amiss |= dict.fromkeys(_amiss(found.shards, timed_out=found.timed_out))
        return found

    def _opened(self) -> str:
        opened = self._server.open()
        self.amiss |= dict.fromkeys(_amiss(opened.shards, timed_out=False))
        return opened.pit

    def ask(self, body: Mapping[str, Any]) -> Found:
        """Ask what needs no place in an order: again, where the point in time was gone."""
        for _ in range(_REOPENED):
            with suppress(ExpiredError):
                return self.page(body)
        raise self.lost()

    def lost(self) -> SourceError:
        """Return what to tell of a server that forgets every point in time at once."""
        return SourceError(
            f"{self._server.http.endpoint.kind} at {self._server.http.endpoint.url} drops every point in time at once",
            hint="it is short of memory, or restarts; ask again",
        )


def _amiss(shards: _Shards, *, timed_out: bool) -> Iterator[str]:
    if timed_out:
        yield "the server ran out of time and answered in part"
    if shards.failed:
        reasons = {_reason(failure) for failure in shards.failures}
        why = f": {'; '.join(sorted(reasons))}" if reasons else ""
        yield f"{shards.failed} of {shards.total} shards did not answer{why}"


def _reason(failure: Any) -> str:
    reason = failure.get("reason") if isinstance(failure, dict) else failure
    if isinstance(reason, dict):
        reason = f"{reason.get('type')}: {reason.get('reason')}"
    return printable(str(reason))


def _good(answer: Answer) -> Answer:
    """Raise SourceError with the server's own words for what it refuses."""
    if answer.status == 200:
        return answer
    raise SourceError(
        f"{answer.said} refuses (status {answer.status}): {answer.excerpt()}",
        hint="does `index` of the source name what holds the logs?" if answer.status == 404 else "",
    )
