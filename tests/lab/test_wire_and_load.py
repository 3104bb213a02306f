"""Proxy and load client on real sockets in one process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.lab import ports
from opslib.lab.load.client import HttpClient
from opslib.lab.load.generator import Load
from opslib.lab.proxy import Wire
from opslib.lab.shop.knobs import Knobs


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


@contextlib.asynccontextmanager
async def wire(target_port: int, knobs: Knobs) -> AsyncIterator[int]:
    with ports.reserve() as held:
        task = asyncio.create_task(Wire(target_port, knobs).serve(ports.number(held)))
        for _ in range(100):
            await asyncio.sleep(0)
            with contextlib.suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", ports.number(held)))[1].close()
                break
        yield ports.number(held)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
    writer.close()


@settings(deadline=None, max_examples=10)
@given(st.lists(st.binary(min_size=1, max_size=5000), min_size=1, max_size=5))
def test_the_wire_carries_every_byte_in_order(chunks: list[bytes]) -> None:
    async def talk() -> bytes:
        async with server(echo) as target, wire(target, Knobs()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
            back = await asyncio.wait_for(reader.read(-1), 10)
            writer.close()
            return back

    assert run(talk()) == b"".join(chunks)


def test_the_wire_holds_back_what_goes_to_the_target_only() -> None:
    arrived: list[float] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")  # comes back at once
        if await reader.read(1):
            arrived.append(time.monotonic())
        writer.close()

    async def talk() -> tuple[float, float]:
        knobs = Knobs()
        async with server(note) as target, wire(target, knobs) as port:
            knobs.replace({"delay_ms": 60})
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            begin = time.monotonic()
            writer.write(b"x")
            await reader.readexactly(5)
            greeted = time.monotonic() - begin
            await asyncio.wait_for(reader.read(-1), 10)
            writer.close()
            return greeted, arrived[-1] - begin

    greeted, delayed = run(talk())

    assert delayed >= 0.06
    assert greeted < delayed


def test_a_wire_to_nowhere_closes() -> None:
    async def talk() -> bytes:
        with ports.reserve() as nowhere:
            async with wire(ports.number(nowhere), Knobs()) as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                got = await asyncio.wait_for(reader.read(-1), 10)
                writer.close()
                return got

    assert run(talk()) == b""


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
            client = HttpClient(port)
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
                await HttpClient(port).request("GET", "/", b"", {})
            await asyncio.sleep(0.01)  # lets both ends close

    run(talk())


def test_the_load_sends_what_is_due_and_stops_when_nobody_asks() -> None:
    async def talk() -> dict:
        async with server(answering(*[OK] * 1000)) as port:
            settings = {"storefront_port": port, "rates": {"browse": 100.0}, "seed": 1, "duration_s": 0.3}
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
            load = Load({"storefront_port": port, "rates": {"payment": 50.0}, "seed": 1, "duration_s": 0.1})
            await load.go_on()
            await asyncio.wait_for(load.run(), 10)
            await asyncio.wait_for(load.drained(), 10)
            return load.summary()

    summary = run(talk())

    assert summary["total"]["failed"] == summary["total"]["offered"] > 0
