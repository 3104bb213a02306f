"""A transport that is a function from request to response, and a clock that only tests move."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opslib.core.errors import ClusterError
from opslib.kube.wire import Request, Response

CORE = {
    "resources": [
        {"kind": "Namespace", "name": "namespaces", "namespaced": False},
        {"kind": "ConfigMap", "name": "configmaps", "namespaced": True, "verbs": ["get", "list"]},
        {"kind": "Secret", "name": "secrets", "namespaced": True},
        {"kind": "Pod", "name": "pods", "namespaced": True},
        {"kind": "Service", "name": "services", "namespaced": True},
        {"kind": "Pod", "name": "pods/status", "namespaced": True},
    ]
}


class FakeClock:
    """Sleeping moves it."""

    def __init__(self) -> None:
        self.now_s, self.slept = 0.0, []

    def now_ns(self) -> int:
        return int(self.now_s * 1e9)

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def answer(body, status: int = 200, **headers: str) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {"content-type": "application/json", **headers}, data)


def status(code: int, message: str = "", reason: str = "", **more) -> Response:
    return answer({"kind": "Status", "code": code, "message": message, "reason": reason, **more}, code)


@dataclass
class FakeTransport:
    """Answers discovery of the core group by itself; `streams` are what watches say, one after the other."""

    reply: Callable[[Request], Response]
    streams: list = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    host: str = "https://api.example"

    def send(self, request: Request) -> Response:
        if request.path == "/api/v1":
            return answer(CORE)
        self.asked.append(request)
        return self.reply(request)

    @contextmanager
    def stream(self, request: Request) -> Iterator[tuple[Response, Iterator[bytes]]]:
        self.asked.append(request)
        said = self.streams.pop(0)
        if isinstance(said, Response):
            yield said, iter(())
            return
        yield answer(b""), self._lines(said)

    @staticmethod
    def _lines(said) -> Iterator[bytes]:
        for event in said:
            if isinstance(event, ClusterError):
                raise event
            yield event if isinstance(event, bytes) else json.dumps(event).encode()
