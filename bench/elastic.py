"""Elasticsearch with log documents made up for it, and `python elastic.py URL export|patterns`: opslib asks it.

Export reads every document as rows; patterns compares a 15-minute incident with the 15 minutes before. Each prints JSON.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from opslib.core.clock import SystemClock
from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.telemetry.elasticsearch import connect

DOCUMENTS = 1_000_000
INDEX = "opslib-bench-logs"
START_S = 1_769_828_400
HALF_S = 900
BASELINE, INCIDENT = (
    Window((START_S + k * HALF_S) * NS_PER_S, (START_S + (k + 1) * HALF_S) * NS_PER_S) for k in (0, 1)
)
STACK = Path(__file__).resolve().parents[1] / "tests/stack/telemetry"
VARIABLE = "OPSLIB_TEST_ELASTICSEARCH"
KEYWORD = {"type": "keyword", "ignore_above": 1024}
MAPPING = {
    "@timestamp": {"type": "date"},
    "message": {"type": "text"},
    **dict.fromkeys(("log.level", "service.name", "kubernetes.pod.name", "trace.id", "span.id"), KEYWORD),
}
# service, level, weight in the baseline and in the incident, message
LINES: list[tuple[str, str, float, float, str]] = [
    (service, "info", 30 / (k + 1), 30 / (k + 1), text)
    for service in ("storefront", "order", "payment", "risk", "ledger", "catalog", "mailer")
    for k, text in enumerate(
        (
            "request {n} to /api/{word} handled in {n} ms with status 200",
            "cache lookup of session {hex} took {n} us",
            "GET /items/{n} from 10.0.{byte}.{byte} returned 200",
            "published event {uuid} to topic {word}-events partition {n}",
            "connection {n} of pool main checked out after {n} us",
            "user '{word}{n}' loaded {n} rows from table accounts",
            "health check passed in {n} ms",
            "refreshed settings version {n} from the store",
        )
    )
] + [
    ("payment", "warn", 0.5, 6.0, "retry {n} of call to risk after {n} ms: deadline exceeded"),
    ("payment", "error", 0.0, 2.0, "authorisation of order {n} failed: connection to risk reset by peer {ip}"),
    ("risk", "error", 0.0, 0.004, "worker {n} ran out of file descriptors while opening model {word}"),
    ("ledger", "warn", 1.0, 1.0, "slow statement INSERT INTO entries took {n} ms"),
    ("order", "warn", 0.02, 0.02, "stale price of item {n} replaced"),
    ("mailer", "error", 0.01, 0.01, "mailbox of recipient {hex} refused: quota exceeded"),
]  # fmt: skip
WORDS = ("orders", "carts", "users", "prices", "offers")


def message(template: str, random_: random.Random) -> str:
    number = random_.randrange(100_000)
    return template.format(
        n=number,
        word=WORDS[number % 5],
        byte=number % 256,
        hex=f"{random_.getrandbits(64):016x}",
        uuid=f"{random_.getrandbits(32):08x}-1111-4222-8333-{random_.getrandbits(48):012x}",
        ip=f"10.1.{number % 256}.7:{8000 + number % 100}",
    )


def documents(count: int, seed: int = 7) -> Iterator[str]:
    """Yield documents as JSON, half of them in each window, by time."""
    random_ = random.Random(seed)
    for half, weights in enumerate(([line[2] for line in LINES], [line[3] for line in LINES])):
        number = count // 2
        for k, line in enumerate(random_.choices(LINES, weights, k=number)):
            service, level, _, _, template = line
            ms = int((START_S + half * HALF_S) * 1000 + k * HALF_S * 1000 / number)
            yield json.dumps(
                {
                    "@timestamp": ms,
                    "message": message(template, random_),
                    "log": {"level": level},
                    "service": {"name": service},
                    "kubernetes": {
                        "pod": {"name": f"{service}-{k % 4}"},
                        "namespace": "shop",
                        "node": {"name": "n1"},
                    },
                    "trace": {"id": f"{random_.getrandbits(128):032x}"},
                    "agent": {"type": "filebeat", "version": "8.19.21", "name": "n1"},
                    "ecs": {"version": "8.0.0"},
                    "stream": "stdout",
                }
            )


def ask(url: str, method: str, path: str, body: str = "") -> dict:
    kind = "application/x-ndjson" if path.endswith("_bulk") else "application/json"
    request = Request(f"{url}{path}", body.encode() or None, {"Content-Type": kind}, method=method)
    with urlopen(request, timeout=120) as answer:
        return json.load(answer)


def fill(url: str, count: int) -> None:
    """Make the index anew unless it has as many documents; what the server has kept of answers is forgotten."""
    try:
        there = ask(url, "GET", f"/{INDEX}/_count")["count"]
    except HTTPError:
        there = -1
    if there != count:
        if there >= 0:
            ask(url, "DELETE", f"/{INDEX}")
        _index(url, count)
    ask(url, "POST", f"/{INDEX}/_cache/clear")


def _index(url: str, count: int) -> None:
    settings = {"number_of_shards": 2, "number_of_replicas": 0, "refresh_interval": "-1"}
    ask(url, "PUT", f"/{INDEX}", json.dumps({"settings": settings, "mappings": {"properties": MAPPING}}))
    lines = documents(count)
    with ThreadPoolExecutor(2) as senders:
        while batch := list(islice(lines, 20_000)):  # two halves at once, and no more in memory
            halves = [f'{{"create":{{}}}}\n{text}\n' for text in batch]
            sent = senders.map(
                lambda half: ask(url, "POST", f"/{INDEX}/_bulk", "".join(half)), (halves[::2], halves[1::2])
            )
            assert not any(answer["errors"] for answer in sent)
    ask(url, "POST", f"/{INDEX}/_forcemerge?max_num_segments=4")
    ask(url, "POST", f"/{INDEX}/_refresh")


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the URL of a server, started in `folder` for it where it is built, and why there is none where there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if VARIABLE in os.environ:
        yield os.environ[VARIABLE].rstrip("/"), ""
    elif not list((cache / "opslib-stack").glob("elasticsearch-*")):
        yield "", f"no Elasticsearch: tests/stack/telemetry/build elasticsearch, or set {VARIABLE}"
    else:
        up = subprocess.run(
            [STACK / "up", "--state", folder, "elasticsearch"], check=True, stdout=subprocess.PIPE
        )
        try:
            yield json.loads(up.stdout)["elasticsearch"]["url"], ""
        finally:
            subprocess.run([STACK / "down", "--state", folder], check=True)


def main(url: str, what: str) -> None:
    settings = SourceSettings("elasticsearch", url, {"index": INDEX, "timeout_s": 60})
    source = connect(settings, Environment("bench"), "bench", SystemClock())
    begin = time.perf_counter()
    if what == "export":
        found = source.logs(Window(BASELINE.start_ns, INCIDENT.end_ns))
    else:
        found = source.log_patterns(Windows(INCIDENT, BASELINE))
    took = time.perf_counter() - begin
    print(json.dumps({"rows": len(found.frame), "s": took, "truncated": found.note.truncated}))


if __name__ == "__main__":
    main(*sys.argv[1:])
