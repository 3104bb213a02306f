"""How the lab's processes are told things: small JSON calls on loopback with a token, beside all telemetry.

A control call makes no span, no log record and no metric, so nothing that the lab is told shows in the capture.
"""

from __future__ import annotations

import hmac
import http.client
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opslib.core.errors import LabError
from opslib.lab.ports import LOOPBACK

_MAX_BODY = 1 << 20

Handler = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a process listens for control calls, and the token it wants."""

    port: int
    token: str
    host: str = LOOPBACK


class ControlServer:
    """Serves named commands from daemon threads; starts at construction, ends with the process or `close`."""

    def __init__(self, address: Address, commands: Mapping[str, Handler]) -> None:
        handler = type("Handler", (_Handler,), {"token": address.token, "commands": dict(commands)})
        try:
            self._server = _Server((address.host, address.port), handler)
        except OSError as error:
            raise LabError(f"control port {address.port} cannot be used: {error.strerror}") from error
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="control", daemon=True)
        thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_port = True


class _Handler(BaseHTTPRequestHandler):
    token = ""
    commands: Mapping[str, Handler] = {}
    timeout = 30

    def do_POST(self) -> None:
        given = self.headers.get("Authorization", "")
        length = self.headers.get("Content-Length", "0")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            self._answer(401, {"error": "wrong token"})
        elif not length.isdecimal() or int(length) > _MAX_BODY:
            self._answer(413, {"error": "too large"})
        else:
            self._answer(*self._run(self.rfile.read(int(length))))

    def _run(self, body: bytes) -> tuple[int, dict[str, Any]]:
        command = self.commands.get(self.path.strip("/"))
        if command is None:
            return 404, {"error": f"no such command: {self.path}"}
        try:
            arguments = json.loads(body or b"{}")
            return 200, command(arguments)
        except LabError as error:
            return 409, {"error": str(error), "hint": error.hint}
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one call, the server goes on
            return 500, {"error": f"{type(error).__name__}: {error}"}

    def _answer(self, status: int, record: dict[str, Any]) -> None:
        body = json.dumps(record).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing: control calls leave no trace."""


def call(address: Address, command: str, *, timeout_s: float = 5.0, **arguments: Any) -> dict[str, Any]:
    """Run one command of another process and return its answer. Raises LabError when it does not answer or fails."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    try:
        connection.request(
            "POST",
            f"/{command}",
            json.dumps(arguments),
            {"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        status, record = answer.status, json.loads(answer.read(_MAX_BODY))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LabError(f"a process of the lab did not answer {command!r}: {error}") from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise LabError(str(record.get("error")), hint=str(record.get("hint", "")))
    return dict(record)
