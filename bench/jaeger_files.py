"""Seeded Jaeger JSON, as its HTTP answers and the files saved from it: so many traces of so many spans, so many a file."""

from __future__ import annotations

import json
import random
from pathlib import Path

SERVICES = (
    "frontend",
    "checkout",
    "payment",
    "cart",
    "currency",
    "shipping",
    "email",
    "catalog",
    "ads",
    "db",
)
START_US = 1_700_000_000_000_000


def write(folder: Path, *, traces: int, spans: int, files: int, seed: int = 7) -> None:
    """Write the files; each trace is a tree that grows breadth first, its children in turn or in parallel."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    for number in range(files):
        members = range(traces * number // files, traces * (number + 1) // files)
        text = ",".join(json.dumps(trace(i, spans, draw), separators=(",", ":")) for i in members)
        envelope = f'{{"data":[{text}],"total":0,"limit":0,"offset":0,"errors":null}}'
        (folder / f"{number:05d}.json").write_text(envelope)


def trace(number: int, size: int, draw: random.Random) -> dict:
    trace_id = f"{draw.getrandbits(128):032x}"
    spans: list[dict] = []
    root = _span(trace_id, None, START_US + number * 1_000_000, draw.randint(200_000, 900_000), draw)
    spans.append(root)
    grown = 0
    while len(spans) < size:
        above = spans[grown]
        grown += 1
        spans += _children(trace_id, above, min(draw.randint(1, 4), size - len(spans)), draw)
    return {"traceID": trace_id, "spans": spans, "processes": _processes(spans), "warnings": None}


def _children(trace_id: str, above: dict, count: int, draw: random.Random) -> list[dict]:
    start, length = above["startTime"] + 1 + above["duration"] // 50, above["duration"]
    parallel = draw.random() < 0.4
    children = []
    for _ in range(count):
        share = 0.8 if parallel else 0.8 / count
        took = max(4, int(length * share * draw.uniform(0.5, 1)))
        took = max(1, min(took, above["startTime"] + length - start))
        children.append(_span(trace_id, above["spanID"], start, took, draw))
        start += draw.randint(0, length // 20 + 1) if parallel else took + 2
    return children


def _span(trace_id: str, above: str | None, start: int, took: int, draw: random.Random) -> dict:
    process = 0 if above is None else draw.randrange(1, len(SERVICES))
    kind = "server" if above is None else draw.choice(("client", "server"))
    return {
        "traceID": trace_id,
        "spanID": f"{draw.getrandbits(64):016x}",
        "operationName": f"op{draw.randrange(3)}",
        "references": []
        if above is None
        else [{"refType": "CHILD_OF", "traceID": trace_id, "spanID": above}],
        "startTime": start,
        "duration": took,
        "tags": [
            {"key": "span.kind", "type": "string", "value": kind},
            {"key": "http.status_code", "type": "int64", "value": 200},
        ],
        "logs": [],
        "processID": f"p{process}",
        "warnings": None,
    }


def _processes(spans: list[dict]) -> dict:
    used = sorted({span["processID"] for span in spans})
    return {
        key: {
            "serviceName": SERVICES[int(key[1:])],
            "tags": [{"key": "hostname", "type": "string", "value": f"h{key[1:]}"}],
        }
        for key in used
    }
