"""The seam to the network: a `Transport` sends one `Request` and brings one `Response`, each with its time-out.

It knows no objects, no retries and no meaning of a status; tests put a function in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

MAX_ANSWER_BYTES = 64 * 1024**2
MAX_LINE_BYTES = 8 * 1024**2
"""An object is at most 1.5 MiB in the store; its JSON is not much more."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask. `timeout_s` bounds each wait for the network; `repeatable` says that twice does what once does."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    timeout_s: float = 30.0
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; the names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Both calls raise ClusterError where there is no whole answer, `sent` telling whether the request left."""

    @property
    def host(self) -> str:
        """The server's address, for messages."""
        ...

    def send(self, request: Request) -> Response: ...

    def stream(self, request: Request) -> AbstractContextManager[tuple[Response, Iterator[bytes]]]:
        """Open an answer that goes on: its head (an error's with its body), and lines as they come."""
        ...
