"""Jaeger's own JSON (`/api/traces`, its files): times in microseconds, a span's service in its trace's processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Any

import msgspec

from opslib.core.ids import SPAN_BYTES, TRACE_BYTES, hex_id, hex_ids, shared_hex_ids
from opslib.core.units import to_ns_column
from opslib.telemetry.importers.repair import decoded
from opslib.telemetry.importers.spans import Times, add_spans, parent_ids
from opslib.telemetry.importers.tables import Source, Table, source_of
from opslib.telemetry.importers.tags import Tags
from opslib.telemetry.importers.values import bounded, json_texts
from opslib.telemetry.importers.wire import JaegerProcess, JaegerSpan

_NO_PROCESS = source_of({})
_MAX_KNOWN = 4_096  # process texts remembered
_PROCESS = msgspec.json.Decoder(JaegerProcess)
_PROCESSES = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)

OfProcess = dict[str | None, Source]


class Processes:
    """What processes say of their spans. Traces repeat them word by word, so each text is decoded once."""

    def __init__(self) -> None:
        self._of_text: dict[bytes, OfProcess] = {}
        self._sources: dict[bytes, Source | None] = {}

    def of(self, text: msgspec.Raw) -> OfProcess:
        """Return the sources by the names of the processes; none where the text cannot be decoded."""
        key = bytes(text)
        found = self._of_text.get(key)
        if found is None:
            if len(self._of_text) >= _MAX_KNOWN:
                self._of_text.clear()
            found = self._of_text[key] = self._decoded(key) if key else {}
        return found

    def _decoded(self, text: bytes) -> OfProcess:
        processes = decoded(_PROCESSES, text)[0] or {}
        sources = {name: self._source(bytes(process)) for name, process in processes.items()}
        return {name: found for name, found in sources.items() if found is not None}

    def _source(self, text: bytes) -> Source | None:
        if text not in self._sources:
            if len(self._sources) >= _MAX_KNOWN:
                self._sources.clear()
            process = decoded(_PROCESS, text)[0]
            self._sources[text] = _source(process) if process is not None else None
        return self._sources[text]


def _source(process: JaegerProcess) -> Source:
    return source_of({tag.key: tag.value for tag in process.tags or ()}, process.service_name)


NOT_DECODED = "member of a JSON text that is no span, log record or metric"


def add_jaeger(
    of_tags: Tags,
    spans: Sequence[JaegerSpan],
    of_span: Sequence[Source | None],
    table: Table,
    refused: Counter[str],
) -> None:
    """Add spans and where each ran (None: it says so itself, or nobody does)."""
    told: Any = of_tags.of([span.tags for span in spans], refused)
    if None in told:
        refused[NOT_DECODED] += told.count(None)
        spans, of_span, told = (list(compress(column, told)) for column in (spans, of_span, told))
    if not spans:
        return
    attributes, kinds, statuses, _ = zip(*told, strict=True)
    traces = [span.trace_id for span in spans]
    parents, links = _references(spans)
    where = (
        of_span if None not in of_span else [s or _own(span) for s, span in zip(of_span, spans, strict=True)]
    )
    add_spans(
        {
            "trace_id": shared_hex_ids(traces, TRACE_BYTES, short_hex=True),
            "span_id": hex_ids([span.span_id for span in spans], SPAN_BYTES, short_hex=True),
            "parent_span_id": parent_ids(parents, refused, short_hex=True),
            "name": bounded([span.name or "" for span in spans], refused),
            "kind": kinds,
            "status_code": statuses,
            "attributes": attributes,
            "links": json_texts(links, refused) if any(links) else None,
        },
        where,  # type: ignore[arg-type]
        _times(spans),
        table,
        refused,
    )


def _times(spans: Sequence[JaegerSpan]) -> tuple[Times, Times]:
    start = to_ns_column([span.start for span in spans], "us")
    duration = to_ns_column([span.duration for span in spans], "us")
    pairs = zip(start, duration, strict=True)
    return start, [s + d if s is not None and s >= 0 and d is not None else None for s, d in pairs]


def _own(span: JaegerSpan) -> Source:
    return _NO_PROCESS if span.process is None else _source(span.process)


Links = list[list[dict[str, str]] | None]


def _references(spans: Sequence[JaegerSpan]) -> tuple[list[str | None], Links]:
    """Return each span's parent, and its other references as links; of several parents the first in its trace counts."""
    parents: list[str | None] = []
    for span in spans:
        references = span.references
        if not references:
            parents.append(span.parent_span_id)
            continue
        first = references[0]
        if len(references) > 1 or first.kind != "CHILD_OF" or first.trace_id != span.trace_id:
            break
        parents.append(first.span_id)
    else:
        return parents, []
    both = [_split(span) for span in spans]
    return [parent for parent, _ in both], [links for _, links in both]


def _split(span: JaegerSpan) -> tuple[str | None, list[dict[str, str]] | None]:
    references = span.references
    if not references:
        return span.parent_span_id, None
    parent = next((r for r in references if r.kind == "CHILD_OF" and r.trace_id in ("", span.trace_id)), None)
    others = [
        {
            "trace_id": hex_id(r.trace_id, TRACE_BYTES, short_hex=True) or "",
            "span_id": hex_id(r.span_id, SPAN_BYTES, short_hex=True) or "",
        }
        for r in references
        if r is not parent
    ]
    return (parent.span_id if parent else None), others
