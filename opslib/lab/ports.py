"""Loopback ports: chosen by the system, held for the lab's whole life, listened on by one child at a time.

The supervisor keeps each port bound without listening. While a child is down its callers are refused, as they would
be in production, and no other program can take the port before the child is back.
"""

from __future__ import annotations

import socket

from opslib.core.errors import LabError

LOOPBACK = "127.0.0.1"


def reserve(port: int = 0) -> socket.socket:
    """Bind a loopback port (0: a free one) without listening. Raises LabError when a named port is taken."""
    if port:
        _refuse_taken(port)
    return _bound(port)


def listen(port: int, host: str = LOOPBACK) -> socket.socket:
    """Return a listening socket, on loopback on a port that the supervisor holds. Raises LabError when it is taken."""
    handle = _bound(port, host)
    handle.listen(256)
    return handle


def number(handle: socket.socket) -> int:
    """Return the port of a bound socket."""
    return int(handle.getsockname()[1])


def _bound(port: int, host: str = LOOPBACK) -> socket.socket:
    handle = socket.socket(
        socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # else asyncio leaves Nagle on
    try:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        handle.bind((host, port))
    except (OSError, OverflowError) as error:
        handle.close()
        raise _taken(port, error) from error
    return handle


def _refuse_taken(port: int) -> None:
    # SO_REUSEPORT would share the port with another program of the same user; a plain bind would not.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise _taken(port, error) from error


def _taken(port: int, error: Exception) -> LabError:
    reason = getattr(error, "strerror", None) or str(error)
    return LabError(
        f"port {port} on {LOOPBACK} cannot be used: {reason}",
        hint="name another port, or none: then a free one is taken",
    )
