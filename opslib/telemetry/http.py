"""How a telemetry server is asked: every call has a time-out and a deadline, few retries, and bounded answers.

Only reads are sent, so that a call may be made again; what is no answer in the server's own language is a SourceError
that says what came instead. Credentials come by reference and stand in no message. One `Http` may be shared by threads.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import SourceError, UsageError
from opslib.core.words import printable
from opslib.telemetry.endpoint import Endpoint, tls_context

_AGAIN = frozenset({429, 502, 503, 504})
_RETRIES = 3
_LONGEST_WAIT_S = 5.0
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; the names of headers are lower case. `said` names server and path for messages."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    said: str

    def json(self, type_: Any = Any) -> Any:
        """Decode the body, into `type_` where given. Raises SourceError where it is something else."""
        if "html" in self.headers.get("content-type", ""):
            raise SourceError(
                f"{self.said} answered with a web page (status {self.status}), not with JSON",
                hint="does the url name the server itself, with its base path, and no login page before it?",
            )
        try:
            return msgspec.json.decode(self.body, type=type_)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise SourceError(
                f"{self.said} answered what is not its protocol: {printable(str(error))}: {self.excerpt()}",
                hint="is it the kind of server that the environment says, and is nothing between?",
            ) from error

    def excerpt(self) -> str:
        return printable(self.body[:800].decode("utf-8", "replace"))


class Http:
    """Asks one server. Raises SourceError from every call that brings no whole answer, also for 401, 403 and 5xx."""

    def __init__(
        self, where: Endpoint, *, clock: Clock | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.endpoint = where
        self._clock = clock or SystemClock()
        self._client = httpx2.Client(
            headers={"Accept": "application/json", "User-Agent": "opslib", **where.headers},
            timeout=httpx2.Timeout(where.timeout_s, connect=min(5.0, where.timeout_s)),
            limits=httpx2.Limits(max_connections=16, max_keepalive_connections=16),
            verify=tls_context(where) if where.url.startswith("https") else False,
            trust_env=False,  # a proxy of the environment is for the outside, and these are our own servers
            transport=transport,
        )
        weakref.finalize(self, self._client.close)  # nobody ends a source: its connections end with it

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Ask by GET; values of `params` may be lists."""
        return self._ask("GET", path, params, None)

    def post(self, path: str, body: Any, params: Mapping[str, Any] | None = None) -> Answer:
        """Ask by POST with a JSON body: a search, never a change."""
        return self._ask("POST", path, params, msgspec.json.encode(body))

    def delete(self, path: str, body: Any) -> Answer:
        """Give back what a search has opened."""
        return self._ask("DELETE", path, None, msgspec.json.encode(body))

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, params: Mapping[str, Any] | None, content: bytes | None) -> Answer:
        started_s = self._clock.monotonic_s()
        for attempt in range(_RETRIES + 1):
            last = attempt == _RETRIES or self._left_s(started_s) <= 0
            try:
                answer = self._once(method, path, params, content, started_s)
            except _BrokenOffError as broken:
                if last or not broken.again:
                    raise broken.told from broken.__cause__
                wait_s = 0.1 * 2.0**attempt
            else:
                if last or answer.status not in _AGAIN:
                    return self._accepted(answer)
                wait_s = _asked_s(answer) or 0.2 * 2.0**attempt
            self._clock.sleep(max(0.0, min(wait_s, _LONGEST_WAIT_S, self._left_s(started_s))))
        raise AssertionError("the last attempt answers or raises")

    def _left_s(self, started_s: float) -> float:
        return self.endpoint.deadline_s - (self._clock.monotonic_s() - started_s)

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        started_s: float,
    ) -> Answer:
        said = f"{self.endpoint.kind} at {self.endpoint.url}{path}"
        kind = {"Content-Type": "application/json"} if content is not None else {}
        with (
            _as_source_error(said, self.endpoint),
            self._client.stream(
                method, f"{self.endpoint.url}{path}", params=params, content=content, headers=kind
            ) as answer,
        ):
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > self.endpoint.max_bytes:
                    raise SourceError(f"{said} answered more than {self.endpoint.max_bytes // 1024**2} MiB")
                if self._left_s(started_s) <= 0:
                    raise _too_slow(said, self.endpoint.deadline_s)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status_code, headers, bytes(body), said)

    def _accepted(self, answer: Answer) -> Answer:
        """Raise for what is wrong whatever was asked; other statuses are the backend's to read."""
        if answer.status in {401, 403}:
            known = (
                "our credentials" if "Authorization" in self.endpoint.headers else "us without credentials"
            )
            raise SourceError(
                f"{answer.said} does not accept {known} (status {answer.status})",
                hint='set auth = "env:NAME" of the source in opslib.toml',
            )
        if answer.status == 429 or (answer.status >= 500 and answer.status != 501):
            raise SourceError(
                f"{answer.said} answered {answer.status}: {answer.excerpt()}",
                hint="it refuses more work" if answer.status == 429 else "its own log says why",
            )
        if 300 <= answer.status < 400:
            raise SourceError(
                f"{answer.said} sends us elsewhere (status {answer.status})",
                hint=f"put the address that it names into opslib.toml: {printable(answer.headers.get('location', ''))}",
            )
        return answer


class _BrokenOffError(Exception):
    """There is no whole answer; `again` tells whether asking once more may bring one."""

    def __init__(self, told: SourceError, *, again: bool) -> None:
        super().__init__(str(told))
        self.told, self.again = told, again


@contextmanager
def _as_source_error(said: str, where: Endpoint) -> Iterator[None]:
    """Say in our words why there is no whole answer."""
    try:
        yield
    except httpx2.InvalidURL as error:
        raise UsageError(f"{said}: {printable(str(error))}", hint="look at the url in opslib.toml") from error
    except httpx2.TimeoutException as error:
        told = SourceError(
            f"{said} did not answer within {where.timeout_s:g} s",
            hint="it is overloaded, or cut off from here",
        )
        raise _BrokenOffError(told, again=isinstance(error, _NOT_SENT)) from error
    except httpx2.ConnectError as error:
        raise _BrokenOffError(_unreachable(said, error), again="CERTIFICATE" not in str(error)) from error
    except httpx2.HTTPError as error:
        told = SourceError(
            f"the answer of {said} broke off: {printable(str(error))}",
            hint=_of_broken_off(where),
        )
        raise _BrokenOffError(told, again=True) from error


def _of_broken_off(where: Endpoint) -> str:
    if where.url.startswith("https") and where.cert is None:  # under TLS 1.3 its lack shows only so
        return "ask again; if it stays so, the server may want a client certificate: cert and cert_key"
    return "ask again; if it stays so, something between cuts answers short"


def _unreachable(said: str, error: httpx2.ConnectError) -> SourceError:
    if "CERTIFICATE" in str(error):
        return SourceError(
            f"no trusted connection to {said}: {printable(str(error))}",
            hint='name the authority that signed its certificate: ca = "file.pem"',
        )
    return SourceError(f"cannot connect to {said}", hint="is it running, and is it reachable from here?")


def _too_slow(said: str, deadline_s: float) -> SourceError:
    return SourceError(f"{said} had not answered whole after {deadline_s:g} s", hint="ask for a shorter time")


def _asked_s(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
