"""Log records as the files that a log shipper reads on a node: one per pod, named as the kubelet names them.

A line is JSON under the names of ECS, as a program writes it that logs for Elasticsearch: what ECS has no name for are
texts in `labels`, so that no two records disagree on a field's type. A file that has grown to `most_bytes` gives its
name to a new one and stays beside it as `.1`, until that one has grown too.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from opslib.core.windows import rfc3339
from opslib.lab.collector.rows import Row
from opslib.telemetry.importers.metrics import label_text

_MOST_BYTES = 16 << 20
_MOST_WAITING = 50_000  # records
_MOST_LINE = 60_000  # bytes; shippers cut longer ones, and half of a line is no JSON
_SHORT = 10_000  # characters
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_ECS = {
    "exception.type": "error.type",
    "exception.message": "error.message",
    "exception.stacktrace": "error.stack_trace",
}


class LogFiles:
    """Takes records at once, and writes them when `flush` is called."""

    def __init__(self, folder: Path, namespace: str, *, most_bytes: int = _MOST_BYTES) -> None:
        self._folder, self._namespace, self._most_bytes = folder, namespace, most_bytes
        self._lock = threading.Lock()
        self._waiting: list[Row] = []
        self._counts = {"sent": 0, "dropped": 0}
        self._error = ""

    def add(self, rows: Iterable[Row]) -> None:
        """Take records, in the order of the capture's columns; too many are dropped, and those of no pod."""
        with self._lock:
            for row in rows:
                if len(self._waiting) < _MOST_WAITING and _of_pod(row):
                    self._waiting.append(row)
                else:
                    self._counts["dropped"] += 1

    def counts(self) -> dict[str, Any]:
        """Return records written, dropped and waiting, and why the last ones could not be written."""
        with self._lock:
            return {**self._counts, "waiting": len(self._waiting), "error": self._error}

    def flush(self) -> None:
        """Append what waits; what a file cannot take is dropped."""
        with self._lock:
            rows, self._waiting = self._waiting, []
        files: Mapping[tuple[str, str], list[bytes]] = defaultdict(list)
        for row in rows:
            files[row[4], row[3]].append(line_of(row))
        error = ""
        for (pod, service), lines in sorted(files.items()):
            try:
                self._append(self._folder / file_name(pod, self._namespace, service), lines)
                self._count("sent", len(lines))
            except OSError as fault:
                error = str(fault)
                self._count("dropped", len(lines))
        if rows:
            self._error = error

    def _count(self, what: str, records: int) -> None:
        with self._lock:
            self._counts[what] += records

    def _append(self, path: Path, lines: list[bytes]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(lines))
            size = file.tell()
        if size > self._most_bytes:
            path.replace(path.with_name(f"{path.name}.1"))


def _of_pod(row: Row) -> bool:
    """Tell whether a record says which pod and container it is from, in names that can be those of a file."""
    return all(isinstance(name, str) and _NAME.fullmatch(name) for name in (row[3], row[4]))


def file_name(pod: str, namespace: str, container: str) -> str:
    """Return what the kubelet calls a container's log; telemetry knows no container's id, so one is made up."""
    container_id = hashlib.sha256(f"{namespace}/{pod}/{container}".encode()).hexdigest()
    return f"{pod}_{namespace}_{container}-{container_id}.log"


def line_of(row: Row) -> bytes:
    """Return a record as a line; one that is too long has no attributes, and a shortened message."""
    time_ns, severity, body, service, _, trace, span, attributes = row
    ids = {"trace.id": trace, "span.id": span}
    own = {
        "@timestamp": rfc3339(time_ns),
        "message": body,
        "log.level": severity,
        "service.name": service,
        **{name: value for name, value in ids.items() if value},
    }
    given = json.loads(attributes or "{}")
    errors = {ecs: given.pop(name) for name, ecs in _ECS.items() if name in given}
    labels = {name.replace(".", "_"): label_text(value) for name, value in given.items()}
    line = _encoded({**own, **errors, **({"labels": labels} if labels else {})})
    if len(line) > _MOST_LINE:
        line = _encoded({**own, "message": body[:_SHORT]})
    return line


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
