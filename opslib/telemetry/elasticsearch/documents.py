"""A log document, of whatever shape, as a row of the capture: ECS names, their commonest kin, nested or with dots.

Nothing is guessed but a trace id that the message itself calls one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from opslib.core.columns import MAX_JSON, MAX_TEXT
from opslib.core.ids import SPAN_BYTES, TRACE_BYTES, hex_id, hex_ids

# The first that a document has counts.
MESSAGE = ("message", "body.text", "body", "log", "msg")
LEVEL = ("log.level", "level", "severity_text", "severity", "levelname")
TRACE = ("trace.id", "trace_id", "traceId", "traceID")
SPAN = ("span.id", "span_id", "spanId", "spanID")
POD = ("kubernetes.pod.name", "kubernetes.pod_name", "resource.attributes.k8s.pod.name", "k8s.pod.name")
SERVICE = (
    "service.name",
    "resource.attributes.service.name",
    "service",
    "kubernetes.labels.app_kubernetes_io/name",
    "kubernetes.labels.app.kubernetes.io/name",
    "kubernetes.labels.app",
    "kubernetes.container.name",
    "kubernetes.container_name",
    "container.name",
)
ATTRIBUTES = ("attributes", "labels", "error", "event", "http", "url", "exception")
_ATTRIBUTES = frozenset(ATTRIBUTES)

_HEX_ID = r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])"
_TRACE_IN_TEXT = re.compile(rf"trace[ ._-]?id\b[\"']?\s*[:=]?\s*[\"'\[]?({_HEX_ID})", re.IGNORECASE)
_SPAN_IN_TEXT = re.compile(rf"span[ ._-]?id\b[\"']?\s*[:=]?\s*[\"'\[]?({_HEX_ID})", re.IGNORECASE)
_TRACEPARENT = re.compile(r"\b[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\b")
_FRACTION = re.compile(r"\.(\d{4,9})(?!\d)")
# Levels as bunyan and pino count them.
_NUMBERED = {"10": "TRACE", "20": "DEBUG", "30": "INFO", "40": "WARN", "50": "ERROR", "60": "FATAL"}

Row = tuple[int, str | None, str, str, str | None, str | None, str | None, str | None]


def value_of(document: Mapping[str, Any], name: str) -> Any:
    """Return a field's value, of several the first: None where it is absent, or an object of other fields."""
    found = document.get(name)
    if found is None and "." in name:
        at = name.find(".")
        while found is None and at >= 0:  # any of the dots may be in a name
            inner = document.get(name[:at])
            if isinstance(inner, dict):
                found = value_of(inner, name[at + 1 :])
            at = name.find(".", at + 1)
    if isinstance(found, list):
        found = found[0] if found else None
    return None if isinstance(found, dict) else found


def text_of(document: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return the first value of these fields as text."""
    for name in names:
        found = value_of(document, name)
        if found is not None and found != "":
            return str(found)
    return None


def severity_of(level: str | None) -> str | None:
    """Return a level in capitals, as OpenTelemetry's SDKs write it."""
    return None if level is None else _NUMBERED.get(level, level.upper())


def spellings(severity: str) -> list[str]:
    """Return the values that `severity_of` reads as this one."""
    numbers = [number for number, word in _NUMBERED.items() if word == severity.upper()]
    return sorted({severity, severity.upper(), severity.lower(), severity.capitalize(), *numbers})


@dataclass(frozen=True, slots=True)
class Naming:
    """Which service a document is of: the environment's service map first, then the usual fields.

    mapped: (our name, field, value) in the map's order; renamed: their name in the usual fields -> ours.
    """

    mapped: tuple[tuple[str, str, str], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def services(self, documents: Sequence[Mapping[str, Any]], usual: Sequence[str | None]) -> list[str]:
        """Return our names of the documents' services, `usual` being what the usual fields say."""
        found = [self.renamed.get(name or "", name or "") for name in usual]
        for ours, name, value in reversed(self.mapped):
            for at, document in enumerate(documents):
                if str(value_of(document, name)) == value:
                    found[at] = ours
        return found


@dataclass(frozen=True, slots=True)
class Shape:
    """Which of the known names the indices have, by what they tell."""

    message: tuple[str, ...] = MESSAGE
    level: tuple[str, ...] = LEVEL
    trace: tuple[str, ...] = TRACE
    span: tuple[str, ...] = SPAN
    pod: tuple[str, ...] = POD
    service: tuple[str, ...] = SERVICE


def rows_of(
    documents: Sequence[Mapping[str, Any]], times: Sequence[int], shape: Shape, naming: Naming
) -> list[Row]:
    """Return rows in the order of `COLUMNS["logs"]`; `times` in ns."""
    bodies = [(text or "")[:MAX_TEXT] for text in _texts(documents, shape.message)]
    levels = _texts(documents, shape.level)
    severities = {level: severity_of(level) for level in set(levels)}
    usual = _texts(documents, shape.service)
    traces = hex_ids(_texts(documents, shape.trace), TRACE_BYTES, short_hex=True)
    spans = hex_ids(_texts(documents, shape.span), SPAN_BYTES, short_hex=True)
    for at, trace in enumerate(traces):
        if trace is None:
            traces[at], span = _ids_in(bodies[at])
            spans[at] = spans[at] or span
    columns = (
        [severities[level] for level in levels],
        bodies,
        naming.services(documents, usual),
        _texts(documents, shape.pod),
        traces,
        spans,
        [None if _ATTRIBUTES.isdisjoint(document) else _attributes(document) for document in documents],
    )
    return list(zip(times, *columns, strict=True))


def _texts(documents: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str | None]:
    """Return `text_of` each document; at once where all of them have a text in one and the same place."""
    if not names:
        return [None] * len(documents)
    column: list[Any] = list(documents)
    try:
        for part in names[0].split("."):
            column = [inner[part] for inner in column]
    except (KeyError, TypeError):
        column = []
    if set(map(type, column)) == {str} and "" not in column:
        return column
    return [text_of(document, names) for document in documents]


def exact_times(times: list[int], documents: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """Return times in ns with the digits after the milliseconds, where documents have more than their index keeps."""
    written = [document.get(name) for document in documents]
    if not any(isinstance(text, str) and len(text) > 24 for text in written):
        return times
    return [_exact_ns(time_ns, text) for time_ns, text in zip(times, written, strict=True)]


def _exact_ns(time_ns: int, written: Any) -> int:
    found = _FRACTION.search(written) if isinstance(written, str) else None
    if found is None or int(found[1][:3]) != time_ns // 1_000_000 % 1_000:
        return time_ns
    return time_ns - time_ns % 1_000_000_000 + int(found[1].ljust(9, "0"))


def _ids_in(body: str) -> tuple[str | None, str | None]:
    if "race" not in body and "RACE" not in body and "-" not in body:
        return None, None
    named = _TRACE_IN_TEXT.search(body)
    if named is not None:
        span = _SPAN_IN_TEXT.search(body)
        return hex_id(named[1], TRACE_BYTES, short_hex=True), hex_id(span and span[1], SPAN_BYTES)
    parent = _TRACEPARENT.search(body)
    return (hex_id(parent[1], TRACE_BYTES), hex_id(parent[2], SPAN_BYTES)) if parent else (None, None)


def _attributes(document: Mapping[str, Any]) -> str | None:
    found = {name: value for name, value in document.items() if name in _ATTRIBUTES}
    text = msgspec.json.encode(found).decode()
    return text if len(text) <= MAX_JSON else None
