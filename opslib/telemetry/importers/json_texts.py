"""JSON texts of Jaeger and OpenTelemetry, told apart by what they hold.

A text is decoded in one go. Where that fails, or the text is large, its members are decoded one by one, level by level
down to the single span, so that one bad member costs only itself and a large text is never held as objects at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from opslib.telemetry.importers import wire
from opslib.telemetry.importers.gather import Form, Gatherer
from opslib.telemetry.importers.jaeger import NOT_DECODED
from opslib.telemetry.importers.otlp import source
from opslib.telemetry.importers.repair import FAILURES, MAX_REPAIRED, decoded
from opslib.telemetry.importers.tables import Source
from opslib.telemetry.importers.tasks import LARGE

Share = tuple[int, int]  # the part that is wanted, of how many
ALL: Share = (0, 1)

_T = TypeVar("_T")
_DOCUMENTS = msgspec.json.Decoder(wire.Document | list[wire.Document])
_RAW_DOCUMENTS = msgspec.json.Decoder(wire.RawDocument | list[msgspec.Raw])
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_GROUP = msgspec.json.Decoder(wire.RawGroup)
_RAW_SCOPE = msgspec.json.Decoder(wire.RawScope)
_RAW_TRACE = msgspec.json.Decoder(wire.RawTrace)
_TRACE = msgspec.json.Decoder(wire.JaegerTrace)
_JAEGER_SPAN = msgspec.json.Decoder(wire.JaegerSpan)
_RESOURCE = msgspec.json.Decoder(wire.Resource | None)
# form -> the decoder of one resource's group, of one record, and where the groups hold their records
_GROUPS: dict[Form, tuple[Any, Any, str, str]] = {
    "spans": (
        msgspec.json.Decoder(wire.ResourceSpans),
        msgspec.json.Decoder(wire.Span),
        "scope_spans",
        "spans",
    ),
    "logs": (
        msgspec.json.Decoder(wire.ResourceLogs),
        msgspec.json.Decoder(wire.LogRecord),
        "scope_logs",
        "log_records",
    ),
    "metrics": (
        msgspec.json.Decoder(wire.ResourceMetrics),
        msgspec.json.Decoder(wire.Metric),
        "scope_metrics",
        "metrics",
    ),
}
_RESOURCE_FIELDS: tuple[tuple[Form, str], ...] = (
    ("spans", "resource_spans"),
    ("logs", "resource_logs"),
    ("metrics", "resource_metrics"),
)


class NotTelemetryError(ValueError):
    """JSON, or not even that, but none of the shapes that are understood; the text says what was found."""


def add_text(text: Any, gather: Gatherer, share: Share = ALL) -> None:
    """Add one JSON text, a bytes-like object. Raises NotTelemetryError where nothing in it is understood."""
    if len(text) <= LARGE and share == ALL:
        found = _decode(_DOCUMENTS, text)
        if found is not None:
            _add_documents(found, gather)
            gather.took(len(text))
            return
    _add_raw_text(text, gather, share)


def _add_documents(found: wire.Document | list[wire.Document], gather: Gatherer) -> None:
    documents = found if isinstance(found, list) else [found]
    understood = [_add_document(document, gather) for document in documents]
    if not any(understood):
        raise NotTelemetryError("it is JSON, but holds no `data`, `spans`, `result` or `resourceSpans`")


def _add_document(document: wire.Document, gather: Gatherer) -> bool:
    traces = list(document.data or ())
    if document.spans is not None:
        traces.append(wire.JaegerTrace(document.spans, document.processes))
    for trace in traces:
        _add_trace(trace, gather)
    bodies: list[Any] = [document] + ([document.result] if document.result is not None else [])
    understood = bool(traces) or document.data is not None
    for body in bodies:
        for form, name in _RESOURCE_FIELDS:
            groups = getattr(body, name)
            understood = understood or groups is not None
            for group in groups or ():
                add_group(form, group, gather)
    return understood


def _add_trace(trace: wire.JaegerTrace, gather: Gatherer) -> None:
    spans = trace.spans or []
    of_process = gather.processes.of(trace.processes)
    gather.add("jaeger", spans, [of_process.get(span.process_id) for span in spans])


def add_group(form: Form, group: Any, gather: Gatherer) -> None:
    """Add what one resource holds, of JSON or of protobuf."""
    where = source(group.resource)
    _, _, scopes, members = _GROUPS[form]
    for scope in getattr(group, scopes) or ():
        records = getattr(scope, members) or ()
        gather.add(form, records, [where] * len(records))


def _add_raw_text(text: Any, gather: Gatherer, share: Share) -> None:
    found = _decode(_RAW_DOCUMENTS, text)
    if found is None:
        raise NotTelemetryError(_why(text))
    if isinstance(found, list):
        for member in _shared(found, share):
            _add_member(member, gather)
        return
    if not _add_raw_document(found, gather, share):
        raise NotTelemetryError("it is JSON, but holds no `data`, `spans`, `result` or `resourceSpans`")


def _why(text: Any) -> str:
    try:
        _RAW_DOCUMENTS.decode(text)
    except RecursionError:
        return "it is nested too deeply"
    except FAILURES as error:
        return f"it is no JSON of a known shape: {str(error)[:200]}"
    return "it is no JSON of a known shape"


def _add_raw_document(document: wire.RawDocument, gather: Gatherer, share: Share) -> bool:
    traces = _members(document.data, share)
    for member in traces or ():
        _add_raw_trace(member, gather)
    spans = _members(document.spans, share)
    if spans is not None:
        _add_raw_spans(spans, document.processes, gather)
    understood = traces is not None or spans is not None
    for form, name in _RESOURCE_FIELDS:
        groups = _members(getattr(document, name), share)
        understood = understood or groups is not None
        for member in groups or ():
            _add_raw_group(form, member, gather)
    body = _decode(_RAW_DOCUMENTS, document.result) if _there(document.result) else None
    return (isinstance(body, wire.RawDocument) and _add_raw_document(body, gather, share)) or understood


def _there(raw: msgspec.Raw) -> bool:
    return len(memoryview(raw)) > 0


def _members(raw: msgspec.Raw, share: Share) -> list[msgspec.Raw] | None:
    """Return this share of the members of a list, None where it is absent or no list."""
    found = _decode(_RAW_LIST, raw) if _there(raw) else None
    return None if found is None else _shared(found, share)


def _shared(members: list[msgspec.Raw], share: Share) -> list[msgspec.Raw]:
    part, parts = share
    return members[len(members) * part // parts : len(members) * (part + 1) // parts]


def _decode(decoder: msgspec.json.Decoder[_T], text: Any) -> _T | None:
    return decoded(decoder, text)[0]


def _add_raw_trace(raw: msgspec.Raw, gather: Gatherer) -> None:
    trace = _decode(_TRACE, raw) if len(memoryview(raw)) <= LARGE else None
    if trace is not None:
        _add_trace(trace, gather)
        return
    apart = _decode(_RAW_TRACE, raw)
    if apart is None:
        gather.refused[NOT_DECODED] += 1
    else:
        _add_raw_spans(apart.spans or [], apart.processes, gather)


def _add_raw_spans(raws: Sequence[msgspec.Raw], processes: msgspec.Raw, gather: Gatherer) -> None:
    of_process = gather.processes.of(processes)
    for span in _each(_JAEGER_SPAN, raws, gather):
        gather.add("jaeger", [span], [of_process.get(span.process_id)])


def _add_raw_group(form: Form, raw: msgspec.Raw, gather: Gatherer) -> None:
    whole, single, scopes, members = _GROUPS[form]
    group = _decode(whole, raw) if len(memoryview(raw)) <= LARGE else None
    if group is not None:
        add_group(form, group, gather)
        return
    apart = _decode(_RAW_GROUP, raw)
    if apart is None:
        gather.refused[NOT_DECODED] += 1
        return
    where: Source = source(_decode(_RESOURCE, apart.resource) if _there(apart.resource) else None)
    for scope in _each(_RAW_SCOPE, getattr(apart, scopes) or [], gather):
        for record in _each(single, getattr(scope, members) or [], gather):
            gather.add(form, [record], [where])


def _each(decoder: Any, raws: Sequence[msgspec.Raw], gather: Gatherer) -> Iterator[Any]:
    for raw in raws:
        size = len(memoryview(raw))
        record = _decode(decoder, raw) if size <= MAX_REPAIRED else None
        if record is None:
            gather.refused[NOT_DECODED] += 1
        else:
            yield record
            gather.took(size)


def _add_member(text: msgspec.Raw, gather: Gatherer) -> None:
    try:
        add_text(memoryview(text), gather)
    except NotTelemetryError:
        gather.refused[NOT_DECODED] += 1
