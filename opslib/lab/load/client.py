"""A small asynchronous HTTP/1.1 client for one server: the load must not cost what the shop costs.

Connections are kept alive and taken last-in first-out; a broken one is dropped with its request, never repeated.
"""

from __future__ import annotations

import asyncio

_TIMEOUT_S = 15.0
_MAX_LINE = 8 * 1024
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HttpClient:
    """Sends requests to one address; belongs to one event loop."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[_Connection] = []

    async def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        """Return the status. Raises OSError, EOFError, ValueError or IndexError when there is no proper answer."""
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await self._connection()
            try:
                writer.write(_head(method, path, len(body), {"Host": self._host, **headers}) + body)
                status = await _read_answer(reader)
            except BaseException:
                writer.close()
                raise
        self._idle.append((reader, writer))
        return status

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _connection(self) -> _Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port, limit=_MAX_LINE)


def _head(method: str, path: str, length: int, headers: dict[str, str]) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Content-Length: {length}",
        "Content-Type: application/json",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _read_answer(reader: asyncio.StreamReader) -> int:
    """Read one answer whole and return its status. Raises ValueError for what is no HTTP answer with a length."""
    status = int((await reader.readline()).split(b" ", 2)[1])
    length = -1
    while (line := await reader.readline()) != b"\r\n":
        if not line:
            raise EOFError("the answer ends in its head")
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length < 0:
        raise ValueError("an answer without a length")
    await reader.readexactly(length)
    return status
