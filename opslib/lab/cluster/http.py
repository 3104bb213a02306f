"""The API over HTTP: an ASGI application. Whatever comes in is answered, errors as a Status object; nothing is gzipped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from opslib.lab.cluster import discovery, openapi, statuses
from opslib.lab.cluster.access import MASTERS, Ask, Rules, Tokens, User, impersonated
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.faults import Faults
from opslib.lab.cluster.handlers import Answer, Handlers, Question
from opslib.lab.cluster.paths import group_of, target_of, verb_of
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.watches import Watches

_MAX_BODY = 3 << 20
_FAULTS = "/practice/faults"
_HEALTH = ("/healthz", "/livez", "/readyz")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """The ASGI application; `page` is what people see who open it in a browser."""

    api: Api
    tokens: Tokens
    rules: Rules
    watches: Watches
    faults: Faults
    handlers: Handlers
    page: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except StatusError as error:
            response = _error(error)
        except ClientDisconnect:
            return
        except Exception:  # noqa: BLE001 - a server answers whatever went wrong
            _log.exception("%s %s failed", request.method, request.url.path)
            response = _error(statuses.internal("the practice cluster failed; its log says where"))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path, query = request.url.path, _query(request)
        user = self._user(request)
        if path == "/":
            return Response(self.page, media_type="text/markdown; charset=utf-8")
        found = group_of(path)
        if found is None or not found[2]:
            self._allow(user, Ask(request.method.lower(), path=path.rstrip("/")))
            return await self._plain(request, path.rstrip("/"), user)
        target = target_of(self.api.resources, *found)
        if target is None:
            if discovery.resource_list(self.api.resources, *found[:2]) is None:
                return _unknown_path()
            raise statuses.no_such_resource()
        verb = verb_of(request.method, target, query)
        ask = target.ask(verb, query)
        if not self.rules.allows(user, ask):
            raise statuses.forbidden(target.resource, target.name, ask.refusal(user))
        await self.faults.meet(ask)
        body = await _body(request)
        asked = Question(target, verb, query, request.headers, body, user)
        return self._sent(await self.handlers.answer(asked), ask)

    def _user(self, request: Request) -> User:
        found = self.tokens.user(request.headers.get("authorization", ""))
        user = impersonated(found, request.headers)
        if user is None:
            text = f'users "{request.headers["impersonate-user"][:128]}" is forbidden: User "{found.name}" cannot '
            raise StatusError(
                403, "Forbidden", text + 'impersonate resource "users" in API group ""', details={}
            )
        return user

    def _allow(self, user: User, ask: Ask) -> None:
        if not self.rules.allows(user, ask):
            message = f"forbidden: {ask.refusal(user)}"
            raise StatusError(403, "Forbidden", message, details={})

    async def _plain(self, request: Request, path: str, user: User) -> Response:
        """Answer what is no resource: versions, groups, schemas, health, and the switches for faults."""
        if path == _FAULTS and MASTERS in user.groups:
            return await self._switch(request)
        if path in _HEALTH:
            return Response("ok", media_type="text/plain")
        found = self._described(path)
        return _unknown_path() if found is None else _json(found)

    def _described(self, path: str) -> Any:
        """Return what clients read to learn what there is; None where a path says nothing."""
        resources, parts = self.api.resources, path.split("/")[1:]
        tables: Mapping[str, Callable[[], Any]] = {
            "/version": discovery.version,
            "/api": discovery.core_versions,
            "/apis": lambda: discovery.groups(resources),
            "/openapi/v3": lambda: openapi.index(resources),
        }
        if path in tables:
            return tables[path]()
        if path.startswith("/openapi/v3/"):
            return openapi.document(resources, path.removeprefix("/openapi/v3/"))
        if len(parts) == 2 and parts[0] == "apis":
            return discovery.group(resources, parts[1])
        named = group_of(path)
        return discovery.resource_list(resources, *named[:2]) if named else None

    async def _switch(self, request: Request) -> Response:
        if request.method == "POST":
            values = _decoded(await _body(request))
            if isinstance(values, dict) and "drop_watches" in values:
                self.watches.drop(str(values["drop_watches"] or ""))
            elif isinstance(values, dict) and "compact" in values:
                self.api.store.compact()
            else:
                await self.faults.add(values)
        elif request.method == "DELETE":
            await self.faults.clear()
        open_now = {"watches": len(self.watches), "tasks": len(asyncio.all_tasks())}
        return _json({"faults": self.faults.to_list(), **open_now})

    def _sent(self, answer: Answer, ask: Ask) -> Response:
        if answer.stream is not None:
            return StreamingResponse(self._held_back(answer.stream, ask), media_type=answer.media_type)
        return _json(answer.content, answer.code, warnings=answer.warnings)

    async def _held_back(self, stream: AsyncIterator[bytes], ask: Ask) -> AsyncIterator[bytes]:
        async for chunk in stream:
            if self.faults.cut_off(ask):
                await self.faults.healed(ask)
            yield chunk


def _query(request: Request) -> dict[str, str]:
    text = request.scope["query_string"].decode("latin-1")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))


async def _body(request: Request) -> bytes:
    """Read at most _MAX_BODY bytes. Raises StatusError 413."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_BODY:
            raise StatusError(413, "RequestEntityTooLarge", f"limit is {_MAX_BODY} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise statuses.bad_request(f"the body is no JSON: {error}") from error


def _json(content: Any, code: int = 200, *, warnings: Iterable[str] = ()) -> Response:
    response = Response(msgspec.json.encode(content), code, media_type="application/json")
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings]
    if quoted:
        header = ", ".join(f'299 - "{text}"' for text in quoted)
        response.headers["warning"] = header.encode("ascii", "backslashreplace").decode()
    return response


def _error(error: StatusError) -> Response:
    response = _json(error.body, error.code)
    if error.code == 429:
        seconds = (error.body.get("details") or {}).get("retryAfterSeconds", 1)
        response.headers["retry-after"] = str(seconds)
    return response


def _unknown_path() -> Response:
    return Response("404 page not found\n", 404, media_type="text/plain")
