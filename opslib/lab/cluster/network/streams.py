"""Connections that are carried on: each direction to its own end, then ended on the other side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Connection:
    """Both directions of one TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def abort(self) -> None:
        """Cut it, without sending what still waits."""
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


async def join(one: Connection, other: Connection) -> None:
    """Carry both directions until both have ended; a broken one cuts both."""
    try:
        await asyncio.gather(carry(one.reader, other.writer), carry(other.reader, one.writer))
    except OSError:
        one.abort()
        other.abort()
    finally:
        one.close()
        other.close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction to its end, then end it on the other side. Raises OSError when either side breaks."""
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
