"""The wire between payment and risk: forwards bytes both ways, and can hold them back on their way to risk.

Every chunk waits the same time and keeps its place, as on a long cable; nobody's work takes longer by it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from opslib.lab.control import Address, ControlServer
from opslib.lab.ports import LOOPBACK, listen
from opslib.lab.shop.knobs import Knobs

_CHUNK = 64 * 1024
_IN_FLIGHT = 256  # chunks on the cable; more make the sender wait

_Chunk = tuple[float, bytes]


class Wire:
    """One TCP proxy; knob `delay_ms` holds back what goes towards the target."""

    def __init__(self, target_port: int, knobs: Knobs) -> None:
        self._target_port = target_port
        self._knobs = knobs
        # asyncio before Python 3.11.3 holds a connection's task weakly, and a collected task is a dead connection.
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, port: int) -> None:
        """Forward connections until cancelled."""
        server = await asyncio.start_server(self._connect, sock=listen(port))
        async with server:
            await server.serve_forever()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer_reader, peer_writer = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(
                self._carry(reader, peer_writer, delayed=True),
                self._carry(peer_reader, writer, delayed=False),
            )
        finally:
            writer.close()
            peer_writer.close()

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        """Carry one direction to its end, then end that direction only."""
        cable: asyncio.Queue[_Chunk] = asyncio.Queue(_IN_FLIGHT)
        sending = asyncio.create_task(_send(cable, target))
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while chunk := await source.read(_CHUNK):
                delay_s = self._knobs.get("delay_ms", 0.0) / 1e3 if delayed else 0.0
                await cable.put((loop.time() + delay_s, chunk))
        await cable.put((0.0, b""))
        await sending


async def _send(cable: asyncio.Queue[_Chunk], target: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    alive = True
    while True:
        due, chunk = await cable.get()
        if not chunk:
            break
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        if alive:  # a broken target: drain what still comes, so that the reading side ends
            try:
                target.write(chunk)
                await target.drain()
            except ConnectionError:
                alive = False
    with suppress(OSError):
        target.write_eof()


def main(settings: dict[str, Any]) -> None:
    """Be the wire."""
    knobs = Knobs()
    address = Address(settings["control_port"], settings["token"])
    ControlServer(address, {"ready": lambda _: {"ready": True}, "knobs": knobs.replace})
    with suppress(KeyboardInterrupt):
        asyncio.run(Wire(settings["target_port"], knobs).serve(settings["port"]))
