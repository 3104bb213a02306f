"""What Jaeger answers, as columns of the capture: read as an import reads the same texts, in either of its formats."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec

from opslib.core.columns import COLUMNS
from opslib.core.errors import SourceError
from opslib.core.words import printable
from opslib.telemetry.capture.parts import Row
from opslib.telemetry.http import Answer
from opslib.telemetry.importers.gather import Gatherer
from opslib.telemetry.importers.json_texts import NotTelemetryError, add_text
from opslib.telemetry.importers.tables import Table

_WHOLE = 1 << 62  # rows; an answer is one table
_LINE = b'\n{"result"'  # gateways of version 1 stream one object after the other


@dataclass(frozen=True, slots=True)
class Found:
    """Spans of whole traces; `columns` are those of `COLUMNS["spans"]`, None where null throughout."""

    columns: dict[str, list[Any] | None] = field(default_factory=dict)
    rows: int = 0
    warnings: Counter[str] = field(default_factory=Counter)

    def column(self, name: str) -> Sequence[Any]:
        values = self.columns.get(name)
        return [None] * self.rows if values is None else values

    def trace_ids(self) -> set[str]:
        return set(self.column("trace_id"))

    def tuples(self) -> list[Row]:
        """Return the spans as rows in the order of `COLUMNS["spans"]`."""
        values = (self.columns.get(c.name) or repeat(None, self.rows) for c in COLUMNS["spans"])
        return list(zip(*values, strict=True))


def read(answer: Answer) -> Found:
    """Decode a whole answer. Raises SourceError where it is something else."""
    if b"html" in answer.headers.get("content-type", "").encode():
        answer.json()  # which says so
    tables: list[Table] = []
    gather = Gatherer(_WHOLE, tables.append)
    body = answer.body
    texts = body.split(b"\n") if _LINE in body else [body]
    try:
        for text in texts:
            if text.strip():
                add_text(text, gather)
    except NotTelemetryError as error:
        if not _is_empty(answer):
            raise SourceError(
                f"{answer.said} answered what are no traces: {error}: {answer.excerpt()}",
                hint="does the url name Jaeger's query service?",
            ) from error
    gather.finish()
    warnings = gather.refused + _errors(body)
    if not tables:
        return Found(warnings=warnings)
    rows = tables[0].rows
    return Found(tables[0].take(), rows, warnings)


class _Errors(msgspec.Struct):
    errors: list[dict[str, Any]] | None = None


def _errors(body: bytes) -> Counter[str]:
    """Return what the server itself says to be amiss, beside what it found."""
    if b'"errors":[{' not in body:
        return Counter()
    try:
        told = msgspec.json.decode(body, type=_Errors).errors or []
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Counter()
    return Counter(f"Jaeger says: {printable(str(error.get('msg')))}" for error in told)


def _is_empty(answer: Answer) -> bool:
    try:
        value = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return isinstance(value, dict) and set(value) <= {"result"} and not value.get("result")


def anchors(found: Found, service: str) -> dict[str, int]:
    """Return for each trace the start that says to which slice of time it belongs; a search of that slice finds it.

    Asked by a service it is the first start of the service's spans. Asked for all services it is the start of the root
    as every reader of spans chooses it (`core.blocks.root_rows`), for that decides the trace's window.
    """
    first: dict[str, int] = {}
    columns = (
        found.column(name) for name in ("trace_id", "start_time_unix_nano", "service_name", "parent_span_id")
    )
    for trace_id, start, name, parent in zip(*columns, strict=True):
        if (name == service if service else parent is None) and start < first.get(trace_id, sys.maxsize):
            first[trace_id] = start
    rootless = found.trace_ids() - first.keys() if not service else set()
    return first | _orphans(found, rootless) if rootless else first


def _orphans(found: Found, traces: set[str]) -> dict[str, int]:
    """Return the earliest start of spans whose parent is not there; where a cycle leaves none, of any span."""
    columns = (
        found.column(name) for name in ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano")
    )
    rows = [row for row in zip(*columns, strict=True) if row[0] in traces]
    known = {(trace_id, span_id) for trace_id, span_id, _, _ in rows}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for trace_id, _, parent, start in rows:
        into = last if (trace_id, parent) in known else first
        into[trace_id] = min(start, into.get(trace_id, start))
    return last | first
