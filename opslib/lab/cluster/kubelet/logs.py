"""What containers write, a file per start of a container: each line with its time, as the container runtime keeps it.

A file that grows beyond its bound is turned into `.old`, which is not read any more; of earlier starts the last one's
is kept; all of them go with their pod. `Logs` answers `pods/log` with the texts of the kubelet.
"""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import LogOptions, Object
from opslib.lab.cluster.statuses import bad_request

LIMIT = 10 << 20
_LONGEST = 16 * 1024
_EVERY_S = 0.1


class LogFile(asyncio.Protocol):
    """The file of one start of a container; the reading end of the pipe that the container writes to."""

    def __init__(self, path: Path, clock: Clock, limit: int = LIMIT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._clock, self._limit = path, clock, limit
        self._file = path.open("ab")
        self._rest = b""
        self.ended = asyncio.Event()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def close(self) -> None:
        """Read no further, should somebody still be able to write."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        self._write(lines)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its name is the protocol's
        self._write([self._rest] if self._rest else [])
        self._file.close()
        self.ended.set()

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        now = _stamp(self._clock.now_ns())
        self._file.writelines(now + b" " + line + b"\n" for line in lines)
        self._file.flush()
        if self._file.tell() > self._limit:
            self._file.close()
            self._path.replace(self._path.with_suffix(".old"))
            self._file = self._path.open("ab")


def open_log(folder: Path, pod: Object, container: str, number: int, clock: Clock) -> LogFile:
    """Return the file for a start of a container; of the starts before, the last one's stays."""
    for path in log_path(folder, pod, container, number).parent.glob(f"{number - 2}.*"):
        path.unlink()
    return LogFile(log_path(folder, pod, container, number), clock)


def log_path(folder: Path, pod: Object, container: str, restarts: int) -> Path:
    return folder / str(pod["metadata"]["uid"]) / container / f"{restarts}.log"


class Logs:
    """Reads the logs under `folder`."""

    def __init__(self, api: Api, folder: Path, clock: Clock) -> None:
        self._api, self._folder, self._clock = api, folder, clock

    async def read(self, namespace: str, pod: str, wanted: LogOptions) -> AsyncIterator[bytes]:
        """Return the lines, and with `follow` those to come. Raises StatusError 404 or 400 before the first."""
        found = self._api.get("pods", namespace, pod)
        name = _chosen(found, wanted.container)
        status = _status_of(found, name)
        restarts = int(status.get("restartCount") or 0)
        state = status.get("state") or {}
        if wanted.previous:
            if "terminated" not in (status.get("lastState") or {}):
                raise bad_request(f'previous terminated container "{name}" in pod "{pod}" not found')
            restarts -= "waiting" not in state
        elif not state or ("waiting" in state and "terminated" not in (status.get("lastState") or {})):
            raise bad_request(f'container "{name}" in pod "{pod}" is waiting to start: {_reason(state)}')
        path = log_path(self._folder, found, name, restarts)
        now_ns, since_s = self._clock.now_ns(), wanted.since_s
        since = _stamp(now_ns - round(since_s * 1e9)) if since_s is not None else b""
        goes_on = wanted.follow and not wanted.previous
        on = (lambda: self._is_running(found, name, restarts)) if goes_on else (lambda: False)
        file: BinaryIO = path.open("rb") if path.exists() else io.BytesIO()
        return _lines(file, wanted.tail_lines, since, timestamps=wanted.timestamps, goes_on=on)

    def _is_running(self, pod: Object, container: str, restarts: int) -> bool:
        metadata = pod["metadata"]
        pods = self._api.list("pods", metadata["namespace"], fields=f"metadata.name={metadata['name']}")
        now = next((p for p in pods if p["metadata"]["uid"] == metadata["uid"]), None)
        status = _status_of(now, container) if now else {}
        return "running" in (status.get("state") or {}) and status.get("restartCount") == restarts


def _chosen(pod: Object, container: str) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    names = [c["name"] for c in spec["containers"]]
    if not container:
        if len(names) > 1:
            text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
            raise bad_request(text)
        return str(names[0])
    if container not in [*names, *(c["name"] for c in spec.get("initContainers") or [])]:
        raise bad_request(f"container {container} is not valid for pod {name}")
    return container


def _status_of(pod: Object, container: str) -> Object:
    status = pod.get("status") or {}
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return next((s for s in every if s["name"] == container), {})


def _reason(state: Object) -> str:
    reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
    texts = {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }
    return texts.get(reason, str(reason))


def _stamp(now_ns: int) -> bytes:
    """Return a time that sorts as text, as it is in the file."""
    return f"{stamp(now_ns)[:-1]}.{now_ns % 1_000_000_000:09d}Z".encode()


async def _lines(
    file: BinaryIO, tail: int | None, since: bytes, *, timestamps: bool, goes_on: Callable[[], bool]
) -> AsyncIterator[bytes]:
    def shown(line: bytes) -> bytes:
        return line if timestamps else line.partition(b" ")[2]

    with file:
        present = deque((line for line in file if line >= since), tail)
        for line in present:
            yield shown(line)
        while True:
            last = not goes_on()  # asked first: what is written before the end is read below
            for line in file:
                yield shown(line)
            if last:
                return
            await asyncio.sleep(_EVERY_S)
