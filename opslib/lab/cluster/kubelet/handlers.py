"""What probes and lifecycle hooks do: an HTTP GET, a TCP connection or a command, judged as the kubelet judges them.

Source: pkg/probe/{http,tcp,exec}: 200 to 399 is success, redirects are not followed, TLS is not verified, no
connection is kept, no proxy is asked, at most 10 KB are read. `success` None: the attempt could not even be made.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

_MOST_READ = 10 * 1024
_USER_AGENT = "kube-probe/1.34"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went."""

    success: bool | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The container that is asked; `reach` says where an address of the cluster is on this machine."""

    ip: str
    ports: Mapping[str, int]
    reach: Callable[[str, int], tuple[str, int]]
    run: Callable[[list[str]], Awaitable[tuple[int, str]]]  # exit code and output; OSError: cannot start


async def act(handler: Mapping[str, Any], target: Target, timeout_s: float) -> Outcome:
    """Do what a probe or hook says, within its time."""
    try:
        if "exec" in handler:
            return await _exec(list(handler["exec"].get("command") or []), target, timeout_s)
        if "httpGet" in handler:
            return await _http(handler["httpGet"], target, timeout_s)
        if "tcpSocket" in handler:
            return await _tcp(handler["tcpSocket"], target, timeout_s)
        if "sleep" in handler:  # hooks only
            await asyncio.wait_for(asyncio.sleep(int(handler["sleep"]["seconds"])), timeout_s)
            return Outcome(success=True)
    except _UnknownPortError as error:
        return Outcome(None, str(error))
    except TimeoutError:
        return Outcome(success=False, text="the grace period was over")
    return Outcome(None, f"not imitated by the practice cluster: {', '.join(handler) or 'no handler'}")


class _UnknownPortError(Exception):
    """A port's name that the container does not declare."""


def _port(named: Any, target: Target) -> int:
    if isinstance(named, int) or str(named).isdecimal():
        return int(named)
    if named not in target.ports:
        raise _UnknownPortError(f"couldn't find port with name {named!r}")
    return target.ports[named]


async def _exec(command: list[str], target: Target, timeout_s: float) -> Outcome:
    try:
        code, output = await asyncio.wait_for(target.run(command), timeout_s)
    except TimeoutError:
        return Outcome(
            success=False, text=f'command timed out: "{" ".join(command)}" timed out after {timeout_s:g}s'
        )
    except OSError as error:
        return Outcome(None, f'exec: "{command[0] if command else ""}": {error.strerror}')
    return Outcome(code == 0, output[:_MOST_READ])


async def _tcp(socket: Mapping[str, Any], target: Target, timeout_s: float) -> Outcome:
    host, port = socket.get("host") or target.ip, _port(socket["port"], target)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*target.reach(host, port)), timeout_s)
    except TimeoutError:
        return Outcome(success=False, text=f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(success=False, text=f"dial tcp {host}:{port}: connect: {_reason(error)}")
    writer.close()
    return Outcome(success=True)


async def _http(get: Mapping[str, Any], target: Target, timeout_s: float) -> Outcome:
    scheme = str(get.get("scheme") or "HTTP").lower()
    host, port = get.get("host") or target.ip, _port(get["port"], target)
    url = urljoin(f"{scheme}://{host}:{port}/", get.get("path") or "/")
    headers = {str(h["name"]).title(): str(h.get("value", "")) for h in get.get("httpHeaders") or []}
    try:
        async with asyncio.timeout(timeout_s):
            status, body = await _get(url, headers, target)
            if 200 <= status < 400:
                return Outcome(success=True, text=body)
            return Outcome(success=False, text=f"HTTP probe failed with statuscode: {status}")
    except TimeoutError:
        waiting = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(success=False, text=f'Get "{url}": {waiting}')
    except OSError as error:
        return Outcome(success=False, text=f'Get "{url}": dial tcp {host}:{port}: connect: {_reason(error)}')
    except (EOFError, ValueError):
        return Outcome(success=False, text=f'Get "{url}": EOF')


async def _get(url: str, headers: Mapping[str, str], target: Target) -> tuple[int, str]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    context = _unverified() if secure else None
    reader, writer = await asyncio.open_connection(*target.reach(parts.hostname or "", port), ssl=context)
    try:
        sent = {"Host": parts.netloc, "User-Agent": _USER_AGENT, "Accept": "*/*", "Connection": "close"}
        lines = [f"{name}: {value}" for name, value in {**sent, **headers}.items()]
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        writer.write("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1", "replace"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        return status, (await reader.read(_MOST_READ)).decode(errors="replace")
    except IndexError as error:
        raise ValueError("no HTTP answer") from error
    finally:
        writer.close()


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: OSError) -> str:
    return "connection refused" if isinstance(error, ConnectionRefusedError) else str(error.strerror or error)
