"""The ports of one lab, all held from before the first process starts until after the last has ended."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping

from opslib.lab import ports
from opslib.lab.control import Address

SUPERVISOR = "supervisor"


class Addresses:
    """Where each process serves, and where it takes control calls. Raises LabError when a fixed port is taken."""

    def __init__(
        self, serving: tuple[str, ...], controlled: tuple[str, ...], fixed: Mapping[str, int]
    ) -> None:
        self._token = secrets.token_hex(16)
        self._held: list[socket.socket] = []
        try:
            self._serving = {name: self._hold(fixed.get(name, 0)) for name in serving}
            self._control = {name: self._hold(0) for name in (*controlled, SUPERVISOR)}
        except BaseException:
            self.close()
            raise

    def _hold(self, port: int) -> int:
        handle = ports.reserve(port)
        self._held.append(handle)
        return ports.number(handle)

    def serving(self, name: str) -> int | None:
        """Return the port that a process serves on, None for one that serves nothing."""
        return self._serving.get(name)

    def url(self, name: str) -> str:
        """Return where a process answers HTTP."""
        return f"http://{ports.LOOPBACK}:{self._serving[name]}"

    def control(self, name: str) -> Address:
        """Return where a process takes control calls."""
        return Address(self._control[name], self._token)

    def close(self) -> None:
        """Give all ports back."""
        for handle in self._held:
            handle.close()
