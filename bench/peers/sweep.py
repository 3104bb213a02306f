"""A peer: what one would write first. Every trace as dicts of dicts (orjson), children clipped by an interval sweep.

`python bench/peers/sweep.py FOLDER` prints one JSON line: spans, and seconds of parsing and of the sweep.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson


def critical_path(trace: dict) -> tuple[list[tuple[str, int, int]], int]:
    """Return the segments (span, from, to) of one trace of Jaeger JSON, and the duration of its root."""
    spans = {span["spanID"]: span for span in trace["spans"]}
    children: dict[str, list[dict]] = {}
    root = trace["spans"][0]
    for span in trace["spans"]:
        above = next((r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"), None)
        if above in spans:
            children.setdefault(above, []).append(span)
        else:
            root = span
    segments: list[tuple[str, int, int]] = []
    waiting = [(root, root["startTime"], root["startTime"] + root["duration"])]
    while waiting:
        span, low, high = waiting.pop()
        at = high
        for child in sorted(
            children.get(span["spanID"], ()), key=lambda c: -(c["startTime"] + c["duration"])
        ):
            end, start = min(child["startTime"] + child["duration"], at), max(child["startTime"], low)
            if end <= start:
                continue
            if end < at:
                segments.append((span["spanID"], end, at))
            waiting.append((child, start, end))
            at = start
        if at > low:
            segments.append((span["spanID"], low, at))
    return segments, root["duration"]


def traces(folder: Path) -> Iterator[dict]:
    for path in sorted(folder.glob("*.json")):
        yield from orjson.loads(path.read_bytes())["data"]


def main() -> None:
    begin = time.perf_counter()
    parsed = list(traces(Path(sys.argv[1])))
    middle = time.perf_counter()
    for trace in parsed:
        segments, duration = critical_path(trace)
        assert sum(high - low for _, low, high in segments) == duration
    end = time.perf_counter()
    spans = sum(len(trace["spans"]) for trace in parsed)
    print(json.dumps({"spans": spans, "parse_s": middle - begin, "sweep_s": end - middle}))


if __name__ == "__main__":
    main()
