"""Hands HTTP/1.1 requests on: where each goes is a policy's matter, its answer goes back as it comes.

A client's connection keeps the upstream connection of its last request while that is alive and leads to an endpoint of
the same Service that is still ready. A request that nobody has begun to answer may be sent again where the policy allows
it: to connect failed, or the request may be repeated without harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from opslib.lab.cluster.network.services import Endpoint, Key, NoEndpointError, Services
from opslib.lab.cluster.network.streams import Connection

_LONGEST_BODY = 1 << 20
_CHUNK = 64 * 1024
_REPEATABLE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case, the body is as it came, chunks and all."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    last: bool = False  # nothing follows on this connection

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def repeatable(self) -> bool:
        return self.method in _REPEATABLE or bool(self.header("idempotency-key"))

    def to_bytes(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that goes nowhere: the status and what is said to the client."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a request goes: a Service and its port, and the request as it is sent there."""

    service: Key
    port: str | int
    request: Request


@dataclass(frozen=True, slots=True)
class Policy:
    """`route` raises Refused; `attempts` at most; `hides_failure`: a failure is answered 502 or 503, else cut off."""

    route: Callable[[Request], Hop]
    attempts: int
    hides_failure: bool


class _Link:
    """The upstream connection that a client has at present."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._endpoint: Endpoint | None = None
        self._connection: Connection | None = None

    async def to(self, hop: Hop) -> Connection:
        """Return a connection for a request: the one there is, else a new one. Raises OSError."""
        kept = self._connection
        if (
            kept is None
            or kept.reader.at_eof()
            or self._endpoint not in self._services.ready(hop.service, hop.port)
        ):
            self.drop()
            self._endpoint = self._services.pick(hop.service, hop.port)
            kept = self._connection = await self._services.connect(self._endpoint)
        return kept

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Relay:
    """Serves the connections of one listening address."""

    def __init__(self, services: Services, policy: Policy) -> None:
        self._services, self._policy = services, policy

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes, or has to."""
        client, link = Connection(reader, writer), _Link(self._services)
        try:
            while (request := await read_request(client)) is not None:
                try:
                    await self._pass(request, client, link)
                except Refused as refused:
                    _answer(writer, refused)
                await writer.drain()
                if request.last:
                    break
        except (OSError, EOFError, ValueError):
            client.abort()  # what came is no HTTP, or one of the two is gone
        finally:
            link.drop()
            client.close()

    async def _pass(self, request: Request, client: Connection, link: _Link) -> None:
        hop = self._policy.route(request)
        if delay_s := self._services.delays_s.get(hop.service):
            await asyncio.sleep(delay_s)
        cause: OSError = ConnectionResetError("the endpoint ended without an answer")
        for _ in range(self._policy.attempts):
            try:
                upstream = await link.to(hop)
            except NoEndpointError as error:
                cause = error
                break
            except OSError as error:
                cause = error
                continue
            try:
                upstream.writer.write(hop.request.to_bytes())
                head = await read_head(upstream.reader)
            except (OSError, EOFError):
                link.drop()
                if request.repeatable:
                    continue
                break
            if not await pass_answer(head, request, upstream, client):
                link.drop()
            return
        self._fail(cause)

    def _fail(self, cause: OSError) -> None:
        if not self._policy.hides_failure:
            raise cause
        nobody = isinstance(cause, NoEndpointError)
        raise Refused("503 Service Unavailable" if nobody else "502 Bad Gateway", str(cause))


async def read_head(reader: asyncio.StreamReader) -> list[str]:
    """Read the lines of a head. Raises ValueError, EOFError or OSError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise ValueError("the head is too long") from error
    return head.decode("latin-1").rstrip("\r\n").split("\r\n")


async def read_request(client: Connection) -> Request | None:
    """Read one request; None when the client has no more. Raises ValueError, EOFError or OSError."""
    try:
        line, *lines = await read_head(client.reader)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    method, target, version = line.split(" ")
    pairs = [line.partition(":") for line in lines]
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    if not version.startswith("HTTP/1."):
        raise ValueError("no HTTP/1 request")
    request = Request(method, target, headers, last=version == "HTTP/1.0")
    if request.header("expect").lower() == "100-continue":
        client.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = replace(request, headers=tuple(h for h in headers if h[0] != "expect"))
    last = request.last or request.header("connection").lower() == "close"
    return replace(request, last=last, body=await _body(request, client.reader))


async def _body(request: Request, reader: asyncio.StreamReader) -> bytes:
    if request.header("transfer-encoding").lower() != "chunked":
        length = int(request.header("content-length") or 0)
        if not 0 <= length <= _LONGEST_BODY:
            raise ValueError("the body is too long")
        return await reader.readexactly(length)
    body = bytearray()
    while len(body) <= _LONGEST_BODY:
        size = await reader.readline()
        length = int(size.partition(b";")[0], 16)
        body += size + await reader.readexactly(min(length, _LONGEST_BODY) + 2)
        if length == 0:
            return bytes(body)
    raise ValueError("the body is too long")


async def pass_answer(head: list[str], request: Request, upstream: Connection, client: Connection) -> bool:
    """Hand an answer on; return whether its connection can be used again. Raises EOFError where it breaks off."""
    while head[0].split(" ")[1].startswith("1"):
        head = await read_head(upstream.reader)
    fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:]}
    kept = [line for line in head if not line.lower().startswith("connection:")]
    writer, status = client.writer, head[0].split(" ")[1]
    chunked = fields.get("transfer-encoding", "").lower() == "chunked"
    empty = request.method == "HEAD" or status in {"204", "304"}
    ends = not (empty or chunked or "content-length" in fields)  # by the end of the connection
    writer.write("\r\n".join([*kept, *(["connection: close"] if ends else []), "", ""]).encode("latin-1"))
    if chunked and not empty:
        await _pass_chunks(upstream.reader, writer)
    elif not empty:
        await _pass_bytes(upstream.reader, writer, None if ends else int(fields["content-length"]))
    if ends:
        client.close()
    return not ends and fields.get("connection", "").lower() != "close"


async def _pass_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    length = -1
    while length:
        size = await reader.readline()
        length = int(size.partition(b";")[0], 16)
        writer.write(size)
        await _pass_bytes(reader, writer, length + 2)


async def _pass_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int | None) -> None:
    left = -1 if length is None else length
    while left:
        chunk = await reader.read(_CHUNK if left < 0 else min(left, _CHUNK))
        if not chunk and left > 0:
            raise EOFError("the answer breaks off")
        if not chunk:
            return
        left -= len(chunk) if left > 0 else 0
        writer.write(chunk)
        await writer.drain()


def _answer(writer: asyncio.StreamWriter, refused: Refused) -> None:
    body = f"{refused}\n".encode()
    head = f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode("latin-1") + body)
