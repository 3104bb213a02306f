"""The load and its client on real sockets in one process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from opslib.lab import ports
from opslib.lab.load.client import HttpClient
from opslib.lab.load.generator import Load


def run(talk: Coroutine) -> Any:
    """Run a conversation, and let every connection of it come to its end."""

    async def settled() -> Any:
        result = await talk
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=10)
        for _ in range(5):
            await asyncio.sleep(0)
        return result

    return asyncio.run(settled())


@contextlib.asynccontextmanager
async def server(handler) -> AsyncIterator[int]:
    handle, talks = ports.listen(0), set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    running = await asyncio.start_server(connected, sock=handle)
    async with running:
        yield ports.number(handle)


def answering(*answers: bytes):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-len")
            )
            await reader.readexactly(length)
            writer.write(answer)
            await writer.drain()
        writer.close()

    return handle


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_the_client_keeps_its_connection_and_opens_another_when_it_is_gone() -> None:
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(OK, OK.replace(b"200", b"503"))(reader, writer)

    async def talk() -> list[int]:
        async with server(count) as port:
            client = HttpClient("127.0.0.1", port)
            got = []
            for _ in range(3):
                got.append(await client.request("POST", "/", b"abc", {"x": "y"}))
                await asyncio.sleep(0.01)  # lets the end of the connection arrive
            client.close()
            await asyncio.sleep(0.01)
            return got

    assert run(talk()) == [200, 503, 200]
    assert connections == 2


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n", b"x" * 20_000, b"HTTP/1.1 x y\r\n\r\n"]
)
def test_what_is_no_answer_is_an_error_and_closes_the_connection(answer: bytes) -> None:
    async def talk() -> None:
        async with server(answering(answer)) as port:
            with pytest.raises((ValueError, EOFError, OSError, IndexError)):
                await HttpClient("127.0.0.1", port).request("GET", "/", b"", {})
            await asyncio.sleep(0.01)  # lets both ends close

    run(talk())


def test_the_load_sends_what_is_due_and_stops_when_nobody_asks() -> None:
    async def talk() -> dict:
        async with server(answering(*[OK] * 1000)) as port:
            settings = {
                "front_door": ["127.0.0.1", port],
                "rates": {"browse": 100.0},
                "seed": 1,
                "duration_s": 0.3,
            }
            load = Load(settings)
            assert load.summary() == {}
            assert await load.warm_up() == {"failed": 0}
            await load.go_on()
            await asyncio.wait_for(load.run(), 10)
            await asyncio.wait_for(load.drained(), 10)
            return load.summary()

    total = run(talk())["total"]

    assert total["offered"] == pytest.approx(30, abs=1)
    assert total["answered"] == total["offered"]


def test_a_shop_that_is_gone_is_counted_as_failed() -> None:
    async def talk() -> dict:
        with ports.reserve() as nobody:
            port = ports.number(nobody)
            load = Load(
                {"front_door": ["127.0.0.1", port], "rates": {"payment": 50.0}, "seed": 1, "duration_s": 0.1}
            )
            await load.go_on()
            await asyncio.wait_for(load.run(), 10)
            await asyncio.wait_for(load.drained(), 10)
            return load.summary()

    summary = run(talk())

    assert summary["total"]["failed"] == summary["total"]["offered"] > 0
