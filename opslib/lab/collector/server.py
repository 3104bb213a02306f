"""The collector's process: OTLP/HTTP on loopback in, rolling parts of a capture out.

No request can end it: what it cannot read is answered 4xx, what it can only partly use is kept and the rest counted
in the answer. Nothing that happened before `begin` is written, so no start-up shows in the capture.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from opslib.core.errors import OpslibError
from opslib.lab.collector.beside import Beside
from opslib.lab.collector.exposition import Exposition
from opslib.lab.collector.gate import NEVER_NS
from opslib.lab.collector.otlp import (
    MAX_BODY,
    BadRequestError,
    Encoding,
    Signal,
    encoding_of,
    parse,
    unpack,
)
from opslib.lab.collector.rows import Row, rows_of
from opslib.lab.collector.sampling import TailSampler
from opslib.lab.control import Address, ControlServer
from opslib.lab.shop.server import probe
from opslib.lab.shop.service import http_server, run_server
from opslib.telemetry.capture.writer import CaptureWriter

_ROLL_EVERY_S = 1.0
_ALL = {"incident": "all", "baseline": "all"}
_log = logging.getLogger(__name__)

# signal -> where its rows go, which column says when, the answer, its field for rejects
_Plan = tuple[Literal["spans", "logs", "metrics"], int, Callable[[], Any], str]
_PLANS: dict[Signal, _Plan] = {
    "traces": ("spans", 5, ExportTraceServiceResponse, "rejected_spans"),
    "logs": ("logs", 0, ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": ("metrics", 0, ExportMetricsServiceResponse, "rejected_data_points"),
}


class Collector:
    """Turns export requests into rows of a capture; counts what it kept and what it could not use."""

    def __init__(self, writer: CaptureWriter, begin_ns: int = NEVER_NS, beside: Beside | None = None) -> None:
        self._writer = writer
        self._beside = beside or Beside()
        self._begin_ns = begin_ns
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._sampler: TailSampler | None = None

    def begin(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """From now on keep what happens at or after `begin_ns`."""
        self._begin_ns = int(arguments["begin_ns"])
        return {"begin_ns": self._begin_ns}

    def keep(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Keep from now on only traces slower than `slower_ms`, or failed; without it all traces."""
        slower_ms = arguments.get("slower_ms")
        self._sampler = TailSampler(float(slower_ms)) if slower_ms else None
        self._writer.select({**_ALL, "incident": self._sampler.rule} if self._sampler else _ALL)
        return {"slower_ms": slower_ms}

    def forget(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Begin the capture anew, as a collector does that has just been set up: what was captured is gone."""
        with self._lock:
            path = self._writer.path
            self._writer.close()
            shutil.rmtree(path)
            self._writer = CaptureWriter(path)
        return self.begin(arguments)

    def event(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Keep one event, as Kubernetes would have written it, unless it lies before the beginning."""
        if int(arguments["time_unix_nano"]) < self._begin_ns:
            return {"kept": 0}
        texts = [str(arguments[name]) for name in ("type", "reason", "message", "kind", "name", "namespace")]
        row = (int(arguments["time_unix_nano"]), *texts, json.dumps(arguments["attributes"]))
        self._writer.append("events", [row])
        return {"kept": 1}

    def roll(self) -> None:
        """Write what has come. Raises OpslibError, OSError."""
        with self._lock:
            if self._sampler is not None:
                for trace in self._sampler.decided(time.monotonic()):
                    self._writer.append("spans", trace.rows)
                    self._beside.forward(trace.requests, len(trace.rows))
            self._writer.roll()
        self._beside.flush()

    def close(self) -> None:
        """Write what is left and end."""
        self._writer.close()
        self._beside.close()

    def counts(self, _: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return dict(self._counts)

    def accept(self, signal: Signal, body: bytes, encoding: Encoding) -> Any:
        """Keep one export request; return the message to answer with. Raises BadRequestError."""
        file, time_column, response, field = _PLANS[signal]
        request = parse(signal, body, encoding)
        rows, rejected = rows_of(file, request)
        kept: list[Row] = [row for row in rows if row[time_column] >= self._begin_ns]
        if self._sampler is not None and file == "spans":
            self._sampler.add(kept, self._beside.apart(request, kept), time.monotonic())
        else:
            self._writer.append(file, kept)
            self._beside.take(file, request, kept, whole=len(kept) == len(rows) and not rejected)
        with self._lock:
            self._counts.update({file: len(kept), "rejected": rejected})
        answer = response()
        if rejected:
            setattr(answer.partial_success, field, rejected)
            answer.partial_success.error_message = "some records cannot be kept in a capture"
        return answer

    def refuse(self) -> None:
        """Count a request that was no export request."""
        with self._lock:
            self._counts["bad_requests"] += 1


def application(collector: Collector, metrics: Exposition | None = None) -> Starlette:
    """Return the collector's ASGI app: POST /v1/traces, /v1/logs, /v1/metrics; GET /metrics where it is scraped."""
    routes = [Route(f"/v1/{signal}", _endpoint(collector, signal), methods=["POST"]) for signal in _PLANS]
    routes += [Route("/readyz", probe), *([Route("/metrics", _page(metrics))] if metrics else [])]
    return Starlette(routes=routes)


def _page(metrics: Exposition) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        kind, text = await run_in_threadpool(metrics.page, request.headers.get("accept", ""))
        return Response(text, headers={"content-type": kind})

    return endpoint


def _endpoint(collector: Collector, signal: Signal) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            encoding = encoding_of(request.headers.get("content-type", ""))
            body = unpack(await _body(request), request.headers.get("content-encoding", ""))
            answer = await run_in_threadpool(collector.accept, signal, body, encoding)
        except BadRequestError as error:
            collector.refuse()
            return PlainTextResponse(str(error), error.status)
        except ClientDisconnect:
            return Response(status_code=400)
        if encoding == "protobuf":
            return Response(answer.SerializeToString(), media_type="application/x-protobuf")
        return JSONResponse(_partial_success(answer))

    return endpoint


async def _body(request: Request) -> bytes:
    """Read at most MAX_BODY bytes, whatever the sender says its length is. Raises BadRequestError 413."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise BadRequestError(413, f"body is larger than {MAX_BODY} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _partial_success(answer: Any) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - JSON senders are rare

    return dict(MessageToDict(answer))


def main(settings: dict[str, Any]) -> None:
    """Be the collector until SIGTERM; then write what is left."""
    port = settings["port"]
    beside = Beside.of(settings.get("servers", {}), settings["namespace"], port)
    collector = Collector(CaptureWriter(Path(settings["capture"])), settings["begin_ns"], beside)
    server = http_server(application(collector, beside.metrics))
    ControlServer(
        Address(settings["control_port"], settings["token"]),
        {
            "ready": lambda _: {"ready": server.started},
            "begin": collector.begin,
            "counts": collector.counts,
            "forwarded": lambda _: beside.counts(),
            "keep": collector.keep,
            "forget": collector.forget,
            "event": collector.event,
        },
    )
    done = threading.Event()
    rolling = threading.Thread(target=_roll, args=(collector, done), name="roll", daemon=True)
    rolling.start()
    beside.start(port)
    run_server(server, port)
    done.set()
    rolling.join()
    collector.close()


def _roll(collector: Collector, done: threading.Event) -> None:
    while not done.wait(_ROLL_EVERY_S):
        try:
            collector.roll()
        except (OpslibError, OSError) as error:  # a full disk costs what was to be written, not the collector
            _log.error("cannot write the capture: %s", error)
