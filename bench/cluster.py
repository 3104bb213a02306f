"""The practice cluster under 1,000 objects and 50 watches, in a process of its own, asked over TLS.

The objects are Deployments without replicas, each with its ReplicaSet: more for the controllers to do than ConfigMaps.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import psutil
from measure import MB

OBJECTS, WATCHES, PODS = 1_000, 50, 4
WRITES = 100
IDLE_S = 30.0
PATH = "/apis/apps/v1/namespaces/default/deployments"
POD = """
import http.server, os
host, _, port = os.environ["POD_LISTEN_8080"].rpartition(":")
http.server.ThreadingHTTPServer((host, int(port)), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@dataclass(frozen=True)
class Figures:
    """What was measured: seconds, a share of a core, bytes."""

    starts_s: float
    lists_s: Sequence[float]
    list_bytes: int
    events_s: Sequence[float]
    idle_cores: float
    rss_bytes: int


@dataclass
class Running:
    """A cluster in a process of its own, and a connection that stays open."""

    process: subprocess.Popen[bytes]
    port: int
    context: ssl.SSLContext
    headers: dict[str, str]
    _connection: HTTPSConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, media_type: str = "application/json") -> bytes:
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, {**self.headers, "Content-Type": media_type})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {content[:200]!r}")
        return content

    def close(self) -> None:
        self._connection.close()

    def cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system


@contextmanager
def running(state: Path) -> Iterator[Running]:
    """Start a cluster, and stop it."""
    state.mkdir()
    images = {"web": {"command": [sys.executable, "-c", POD]}}
    (state / "images.json").write_text(json.dumps(images))
    command = [sys.executable, "-m", "opslib.lab.cluster", "--state", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not process.stdout.readline().startswith(b"ready"):
            raise RuntimeError("the cluster did not start")
        config = json.loads((state / "kubeconfig").read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        port = int(cluster["server"].rpartition(":")[2])
        with closing(Running(process, port, context, {"Authorization": f"Bearer {user['token']}"})) as found:
            yield found
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout:
            process.stdout.close()


def measure(state: Path) -> Figures:
    """Fill a new cluster and measure it; takes about a minute."""
    begin = time.perf_counter()
    with running(state) as cluster:
        starts_s = time.perf_counter() - begin
        for number in range(OBJECTS):
            cluster.ask("POST", PATH, _deployment(f"d-{number}", replicas=0))
        cluster.ask("POST", PATH, _deployment("pods", replicas=PODS))
        _wait_for_quiet(cluster)
        lists = [_timed(cluster) for _ in range(10)]
        events_s, idle_cores = asyncio.run(_watched(cluster))
        rss = psutil.Process(cluster.process.pid).memory_info().rss
        return Figures(starts_s, [s for s, _ in lists], lists[0][1], events_s, idle_cores, rss)


def rows(found: Figures) -> Iterator[tuple[str, str, str]]:
    """Name, figure and limit of each line of the table."""
    size = f"{OBJECTS:,} Deployments, {found.list_bytes / MB:.1f} MB"
    yield "practice cluster, start", f"{found.starts_s:.1f} s", ""
    yield f"   list {size}", _spread(found.lists_s), "limit 200 ms"
    yield f"   write until seen on {WATCHES} watches", _spread(found.events_s), "limit 50 ms"
    yield (
        f"   idle with {PODS} pods that are probed, {WATCHES} watches",
        f"{found.idle_cores:.1%} of a core",
        "limit 3%",
    )
    yield "   resident memory", f"{found.rss_bytes / MB:.0f} MB", ""


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"median {statistics.median(ordered) * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms"


def _deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    container: dict[str, Any] = {"name": "c", "image": "web:v1", "ports": [{"containerPort": 8080}]}
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 5}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def _wait_for_quiet(cluster: Running) -> None:
    """Until all pods are ready and the controllers have nothing to do."""
    end_s, before = time.monotonic() + 120, cluster.cpu_s()
    while time.monotonic() < end_s:
        time.sleep(1)
        ready = json.loads(cluster.ask("GET", f"{PATH}/pods")).get("status", {}).get("readyReplicas")
        now = cluster.cpu_s()
        if ready == PODS and now - before < 0.1:
            return
        before = now
    raise RuntimeError("the cluster did not come to rest")


def _timed(cluster: Running) -> tuple[float, int]:
    begin = time.perf_counter()
    content = cluster.ask("GET", PATH)
    return time.perf_counter() - begin, len(content)


async def _watched(cluster: Running) -> tuple[list[float], float]:
    """Open the watches; return the seconds of each write until the last watch has it, and the cores used at rest."""
    seen: asyncio.Queue[bytes] = asyncio.Queue()
    version = json.loads(cluster.ask("GET", f"{PATH}?limit=1"))["metadata"]["resourceVersion"]
    readers = [asyncio.create_task(_read(cluster, version, seen)) for _ in range(WATCHES)]
    for _ in range(WATCHES):
        await seen.get()  # the head of each answer
    took = [await _written(cluster, number, seen) for number in range(WRITES)]
    before = cluster.cpu_s()
    await asyncio.sleep(IDLE_S)
    cores = (cluster.cpu_s() - before) / IDLE_S
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    return took, cores


async def _read(cluster: Running, version: str, seen: asyncio.Queue[bytes]) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", cluster.port, ssl=cluster.context, limit=1 << 20
    )
    try:
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "c", **cluster.headers}.items())
        writer.write(f"GET {PATH}?watch=1&resourceVersion={version} HTTP/1.1\r\n{head}\r\n".encode())
        while line := await reader.readline():
            if line.startswith((b"HTTP/1.1 200", b'{"type"')):
                seen.put_nowait(line)
    finally:
        writer.close()


async def _written(cluster: Running, number: int, seen: asyncio.Queue[bytes]) -> float:
    """Change one object; return the seconds until every watch has told so."""
    patch = {"metadata": {"annotations": {"round": f"n{number}"}}}
    path, media_type = f"{PATH}/d-{number}", "application/merge-patch+json"
    begin, left = time.perf_counter(), WATCHES
    asking = asyncio.to_thread(cluster.ask, "PATCH", path, patch, media_type)
    written = asyncio.create_task(asking)
    while left:
        left -= f'"round":"n{number}"'.encode() in await seen.get()
    took = time.perf_counter() - begin
    await written
    return took
