"""Control calls: a token, small JSON, errors that arrive as errors; ports that are held."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from opslib.core.errors import LabError
from opslib.lab import ports
from opslib.lab.control import Address, ControlServer, call


@pytest.fixture
def address() -> Iterator[Address]:
    def fail(_: dict) -> dict:
        raise LabError("it cannot", hint="do this")

    held = ports.reserve()
    address = Address(ports.number(held), "secret")
    server = ControlServer(address, {"echo": lambda values: values, "fail": fail, "bug": lambda _: 1 / 0})
    yield address
    server.close()
    held.close()


def test_a_command_gets_its_arguments_and_returns_its_answer(address: Address) -> None:
    assert call(address, "echo", a=1, b=[2]) == {"a": 1, "b": [2]}


def test_errors_of_a_command_arrive_with_their_hint(address: Address) -> None:
    with pytest.raises(LabError, match="it cannot") as caught:
        call(address, "fail")

    assert caught.value.hint == "do this"
    with pytest.raises(LabError, match="ZeroDivisionError"):
        call(address, "bug")


def test_wrong_tokens_and_unknown_commands_are_refused(address: Address) -> None:
    with pytest.raises(LabError, match="wrong token"):
        call(Address(address.port, "guess"), "echo")
    with pytest.raises(LabError, match="no such command"):
        call(address, "nonsense")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Authorization": "Bearer secret", "Content-Length": "9999999999"}, b"", 413),
        ({"Authorization": "Bearer secret", "Content-Length": "-1"}, b"", 413),
        ({"Authorization": "Bearer secret"}, b"{", 500),
        ({}, b"{}", 401),
    ],
)
def test_nothing_that_is_sent_ends_the_server(
    address: Address, headers: dict[str, str], body: bytes, status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=5)
    connection.request("POST", "/echo", body, headers)
    got = connection.getresponse().status
    connection.close()

    assert got == status
    assert call(address, "echo", fine=True) == {"fine": True}


def test_nobody_there_is_a_lab_error() -> None:
    with ports.reserve() as held, pytest.raises(LabError, match="did not answer 'ready'"):
        call(Address(ports.number(held), "t"), "ready")


def test_a_held_port_refuses_callers_until_it_is_listened_on() -> None:
    with ports.reserve() as held:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports.number(held)), timeout=2)
        with ports.listen(ports.number(held)):
            socket.create_connection(("127.0.0.1", ports.number(held)), timeout=2).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports.number(held)), timeout=2)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_port_that_another_program_has_is_refused_with_a_hint(*, reuse: bool) -> None:
    with socket.socket() as other:
        if reuse:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(LabError, match="cannot be used") as caught:
            ports.reserve(ports.number(other))

    assert "another port" in caught.value.hint


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(LabError):
        ports.reserve(70_000)
