"""Jaeger's own JSON (`/api/traces`, its files): times in microseconds, a span's service in its trace's processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from opslib.core.ids import SPAN_BYTES, TRACE_BYTES, hex_id, hex_ids, shared_hex_ids
from opslib.core.units import to_ns_column
from opslib.telemetry.importers.spans import KINDS, STATUSES, Bools, Ints, add_spans, parent_ids
from opslib.telemetry.importers.tables import Source, Table, source_of
from opslib.telemetry.importers.values import bounded, json_texts
from opslib.telemetry.importers.wire import JaegerProcess, JaegerSpan

_NO_PROCESS = source_of({})
_NO_TAGS: dict[str, Any] = {}
_MAX_KNOWN = 4_096  # process texts remembered
_PROCESS = msgspec.json.Decoder(JaegerProcess)
_PROCESSES = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)

OfProcess = dict[str | None, Source]


class Processes:
    """What processes say of their spans. Traces repeat them word by word, so each text is decoded once."""

    def __init__(self) -> None:
        self._of_text: dict[bytes, OfProcess] = {}
        self._sources: dict[bytes, Source] = {}

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
        try:
            return {
                name: self._source(bytes(process))
                for name, process in (_PROCESSES.decode(text) or {}).items()
            }
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return {}

    def _source(self, text: bytes) -> Source:
        found = self._sources.get(text)
        if found is None:
            if len(self._sources) >= _MAX_KNOWN:
                self._sources.clear()
            found = self._sources[text] = _source(_PROCESS.decode(text))
        return found


def _source(process: JaegerProcess) -> Source:
    return source_of({tag.key: tag.value for tag in process.tags or ()}, process.service_name)


def add_jaeger(
    spans: Sequence[JaegerSpan], of_span: Sequence[Source | None], table: Table, refused: Counter[str]
) -> None:
    """Add spans and where each ran (None: it says so itself, or nobody does)."""
    tags = [{tag.key: tag.value for tag in span.tags} if span.tags else _NO_TAGS for span in spans]
    traces = [span.trace_id for span in spans]
    parents, links = _references(spans, traces)
    where = (
        of_span if None not in of_span else [s or _own(span) for s, span in zip(of_span, spans, strict=True)]
    )
    add_spans(
        {
            "trace_id": shared_hex_ids(traces, TRACE_BYTES, short_hex=True),
            "span_id": hex_ids([span.span_id for span in spans], SPAN_BYTES, short_hex=True),
            "parent_span_id": parent_ids(parents, refused, short_hex=True),
            "name": bounded([span.name or "" for span in spans], refused),
            "kind": _kinds(tags),
            "status_code": _statuses(tags),
            "attributes": json_texts(tags, refused),
            "links": json_texts(links, refused) if any(links) else None,
        },
        where,  # type: ignore[arg-type]
        _times(spans),
        table,
        refused,
    )


def _times(spans: Sequence[JaegerSpan]) -> tuple[Ints, Ints, Bools]:
    start, has_start = to_ns_column([span.start for span in spans], "us")
    duration, has_duration = to_ns_column([span.duration for span in spans], "us")
    end = start + duration  # numpy wraps around silently
    fits = (end >= start) == (duration >= 0)
    return start, end, has_start & has_duration & fits & (start >= 0)


def _own(span: JaegerSpan) -> Source:
    return _NO_PROCESS if span.process is None else _source(span.process)


def _kinds(tags: Sequence[dict[str, Any]]) -> list[str]:
    words = [tag.get("span.kind") for tag in tags]
    try:
        return [KINDS.get(word, "UNSPECIFIED") for word in words]
    except TypeError:  # a list or an object is no kind
        return [KINDS.get(word, "UNSPECIFIED") if isinstance(word, str) else "UNSPECIFIED" for word in words]


def _statuses(tags: Sequence[dict[str, Any]]) -> list[str]:
    codes = [tag.get("otel.status_code") for tag in tags]
    errors = [tag.get("error") for tag in tags]
    if not any(codes) and not any(errors):
        return ["UNSET"] * len(tags)
    return [_status(code, error) for code, error in zip(codes, errors, strict=True)]


def _status(code: Any, error: Any) -> str:
    if isinstance(code, str) and code in STATUSES:
        return STATUSES[code]
    return "ERROR" if error in (True, "true") else "UNSET"


Links = list[list[dict[str, str]] | None]


def _references(spans: Sequence[JaegerSpan], traces: list[str | None]) -> tuple[list[str | None], Links]:
    """Return each span's parent, and its other references as links; of several parents the first in its trace counts."""
    every = [span.references for span in spans]
    kinds = {reference.kind for references in every if references for reference in references}
    if kinds <= {"CHILD_OF"} and max(map(len, filter(None, every)), default=0) <= 1:
        same = [refs[0].trace_id if refs else trace for refs, trace in zip(every, traces, strict=True)]
        if same == traces:
            parents = [
                refs[0].span_id if refs else s.parent_span_id for refs, s in zip(every, spans, strict=True)
            ]
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
