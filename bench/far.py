"""A kubeconfig that leads to its API server by a longer way: each byte is late by half a round trip, both ways."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import yaml


@contextmanager
def farther(kubeconfig: str, round_trip_s: float, folder: Path) -> Iterator[str]:
    """Write a kubeconfig through a relay that takes no more calls after the block; without a round trip the given one."""
    if not round_trip_s:
        yield kubeconfig
        return
    config = yaml.safe_load(Path(kubeconfig).read_text(encoding="utf-8"))
    cluster = config["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _in_thread(_relay, listener, (server.hostname, server.port or 443), round_trip_s / 2)
        cluster["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        cluster.setdefault("tls-server-name", server.hostname)
        path = folder / "far.kubeconfig"
        path.touch(0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield str(path)
        listener.shutdown(socket.SHUT_RDWR)


def _in_thread(call: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=call, args=arguments, daemon=True).start()


def _relay(listener: socket.socket, target: tuple[str, int], late_s: float) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            near, far = listener.accept()[0], socket.create_connection(target)
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _in_thread(_pipe, one, other, late_s)


def _pipe(source: socket.socket, sink: socket.socket, late_s: float) -> None:
    waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
    _in_thread(_send, waiting, sink)
    data = b"-"
    while data:
        try:
            data = source.recv(2**16)
        except OSError:  # cut off: the other side is told as of an end
            data = b""
        waiting.put((time.monotonic() + late_s, data))


def _send(waiting: queue.SimpleQueue[tuple[float, bytes]], sink: socket.socket) -> None:
    with suppress(OSError):
        while True:
            due_s, data = waiting.get()
            time.sleep(max(0.0, due_s - time.monotonic()))
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)
