"""Addresses of one cluster's pods and node: 127.B.0.0/16 on loopback, B held while the cluster runs.

Where the system has only 127.0.0.1 the addresses are names: what listens on one has a free port of 127.0.0.1 instead,
and `reach` says which. So it is too for a port that only root may listen on. Whoever connects asks `reach` first.
"""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from opslib.core.errors import LabError
from opslib.lab import ports

_BLOCKS = range(16, 96)  # Services have theirs above
_LOCK_PORT = 10250  # the kubelet's on a real node


class Addresses:
    """Hands out addresses of pods. `shared`: only 127.0.0.1 is there."""

    def __init__(self, block: int, lock: socket.socket | None) -> None:
        self.node = f"127.{block}.0.1"
        self._pods = IPv4Network(f"127.{block}.128.0/17")
        self._lock, self.shared = lock, lock is None
        self._next = 1
        self._taken: set[str] = set()
        self._elsewhere: dict[tuple[str, int], int] = {}

    @classmethod
    def claim(cls, state: Path) -> Addresses:
        """Take the block that this state folder had before, or a free one. Raises LabError when it is in use."""
        remembered = state / "block"
        if not _is_local("127.16.0.1"):
            return cls(_BLOCKS[0], None)
        had = _number(remembered)
        start = int.from_bytes(hashlib.sha256(str(state).encode()).digest()[:2])
        order = [had] if had else [_BLOCKS[(start + i) % len(_BLOCKS)] for i in range(len(_BLOCKS))]
        for block in order:
            lock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                lock.bind((f"127.{block}.0.1", _LOCK_PORT))
            except OSError:
                lock.close()
                continue
            remembered.write_text(str(block))
            return cls(block, lock)
        raise LabError("the addresses of this cluster are in use", hint="end the cluster that has them")

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def take(self, wanted: str = "") -> str:
        """Return an address for a pod: the one it had before if that is free, else the next."""
        while not wanted or wanted in self._taken:
            wanted = str(self._pods[self._next])
            self._next = self._next % (self._pods.num_addresses - 2) + 1
        self._taken.add(wanted)
        return wanted

    def release(self, ip: str) -> None:
        """Give a pod's address back, with the ports that stood for its own."""
        self._taken.discard(ip)
        for key in [key for key in self._elsewhere if key[0] == ip]:
            del self._elsewhere[key]

    def reach(self, ip: str, port: int) -> tuple[str, int]:
        """Return where on this machine an address of the cluster is."""
        if (ip, port) in self._elsewhere:
            return ports.LOOPBACK, self._elsewhere[ip, port]
        return ip, port

    def place(self, ip: str, port: int) -> tuple[str, int]:
        """Return where a pod's process is to listen for a port of its own."""
        if self.shared and (ip, port) not in self._elsewhere:
            with ports.reserve() as handle:
                self._elsewhere[ip, port] = ports.number(handle)
        return self.reach(ip, port)

    def listen(self, ip: str, port: int) -> socket.socket:
        """Return a socket that listens for an address of the node or of a Service."""
        # TCP by name: of a socket of protocol 0 asyncio does not know that it may switch Nagle's algorithm off.
        handle = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            try:
                handle.bind((ip, port))
            except OSError:  # below 1024 without the right, or not an address here
                handle.bind((ports.LOOPBACK, 0))
                self._elsewhere[ip, port] = ports.number(handle)
            handle.listen(256)
        except BaseException:
            handle.close()
            raise
        return handle


def _is_local(ip: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as handle, suppress(OSError):
        handle.bind((ip, 0))
        return True
    return False


def _number(path: Path) -> int | None:
    try:
        number = int(path.read_text())
    except (OSError, ValueError):
        return None
    return number if number in _BLOCKS else None
