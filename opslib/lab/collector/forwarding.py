"""Sends spans on to a trace server beside the capture. Whoever brings them never waits for that server.

What waits is bounded in bytes: where more comes than goes, the oldest is dropped and counted. A batch waits for a server
that is gone; one that the server answers with a fault of its own is sent a few times, one that it refuses is dropped.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import httpx2
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from opslib.core.words import printable
from opslib.lab.collector.rows import Row

_MOST_BYTES = 64 << 20  # some minutes of the shop at its usual load
_BATCH_BYTES = 2 << 20
_TRIES = 5
_PAUSE_S = 0.5
_TIMEOUT_S = 10.0
_LAST_S = 2.0  # at the end, for what still waits
_MOST_ANSWER = 1 << 16
_log = logging.getLogger(__name__)


class _Parcel(NamedTuple):
    body: bytes
    spans: int


class _AgainError(Exception):
    """It did not arrive, and may the next time; `answered` tells that the server said so itself."""

    def __init__(self, reason: str, *, answered: bool) -> None:
        super().__init__(reason)
        self.answered = answered


class Forwarder:
    """One server's queue; `send` is called by one thread alone, `start` begins such a one."""

    def __init__(
        self, url: str, *, most_bytes: int = _MOST_BYTES, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/traces"
        self._client = httpx2.Client(timeout=_TIMEOUT_S, trust_env=False, transport=transport)
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._waiting: deque[_Parcel] = deque()
        self._bytes = 0
        self._batch: list[_Parcel] = []  # is being sent
        self._tries = 0
        self._counts = {"sent": 0, "dropped": 0}
        self._error = ""
        self._thread: threading.Thread | None = None
        self._ending = False

    def put(self, body: bytes, spans: int) -> None:
        """Take the bytes of an export request of so many spans."""
        with self._changed:
            self._waiting.append(_Parcel(body, spans))
            self._bytes += len(body)
            while self._bytes > self._most_bytes:
                oldest = self._waiting.popleft()
                self._bytes -= len(oldest.body)
                self._counts["dropped"] += oldest.spans
            self._changed.notify()

    def counts(self) -> dict[str, Any]:
        """Return spans sent, dropped and waiting, and why the last ones did not arrive, "" where all is well."""
        with self._changed:
            waiting = sum(parcel.spans for parcel in (*self._batch, *self._waiting))
            return {**self._counts, "waiting": waiting, "error": self._error}

    def send(self) -> float:
        """Send one batch of what waits; return after how many seconds to go on."""
        with self._changed:
            while self._waiting and (not self._batch or sum(len(p.body) for p in self._batch) < _BATCH_BYTES):
                self._batch.append(self._waiting.popleft())
                self._bytes -= len(self._batch[-1].body)
        if not self._batch:
            return 0.0
        refused, error = 0, ""
        spans = sum(parcel.spans for parcel in self._batch)
        try:
            refused, error = self._post(b"".join(parcel.body for parcel in self._batch))
        except _AgainError as again:
            self._tries += again.answered
            if self._tries < _TRIES:
                with self._changed:
                    self._error = str(again)
                return _PAUSE_S
            refused, error = spans, str(again)
        with self._changed:
            self._batch, self._tries, self._error = [], 0, error
            self._counts["sent"] += spans - refused
            self._counts["dropped"] += refused
        return 0.0

    def _post(self, body: bytes) -> tuple[int, str]:
        """Return how many spans the server refused, and why: where it is no such server, all. Raises _AgainError."""
        spans = sum(parcel.spans for parcel in self._batch)
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers={"Content-Type": "application/x-protobuf"}
            ) as answer:
                said = b""
                for chunk in answer.iter_bytes():
                    said += chunk
                    if len(said) > _MOST_ANSWER:
                        break
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _AgainError(printable(f"{type(error).__name__}: {error}"), answered=False) from error
        status = f"answered {answer.status_code}"
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _AgainError(status, answered=True)
        kind = answer.headers.get("content-type", "")
        if not answer.is_success or not kind.startswith(("application/x-protobuf", "application/json")):
            return spans, f"{status} with {printable(kind or 'nothing', 60)}: no OTLP receiver"
        return min(_refused(said), spans), ""

    def start(self) -> None:
        """Send from now on, on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="forward", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            pause_s = self.send()
            with self._changed:
                if pause_s:
                    self._changed.wait_for(lambda: self._ending, pause_s)
                else:
                    self._changed.wait_for(lambda: self._ending or self._waiting)
                if self._ending and (pause_s or not self._waiting):
                    return

    def close(self) -> None:
        """Send what waits, unless the server is slow or gone."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_LAST_S)
        if left := self.counts()["waiting"]:
            _log.warning("%d spans were not sent to %s", left, self._url)


def _refused(answer: bytes) -> int:
    try:
        return int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)
    except DecodeError:
        return 0  # its JSON, which says nothing where all is well


def requests_by_trace(request: Any, kept: Iterable[Row]) -> dict[str, bytes]:
    """Return the spans that are kept, rows of the capture, as one export request for each trace."""
    wanted = {(row[0], row[1]) for row in kept}
    made: dict[str, ExportTraceServiceRequest] = {}
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                trace = span.trace_id.hex()
                if (trace, span.span_id.hex()) in wanted:
                    of_trace = made.setdefault(trace, ExportTraceServiceRequest())
                    alone = of_trace.resource_spans.add(resource=group.resource, schema_url=group.schema_url)
                    alone.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url).spans.append(span)
    return {trace: one.SerializeToString() for trace, one in made.items()}
