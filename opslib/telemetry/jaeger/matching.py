"""Traces by attributes of their spans: by the server where it can, else here.

Some versions take the parameter and ignore it. Whether one does shows in what it finds for an attribute that no span
has; there is no other sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.foreign import json_object
from opslib.core.windows import Window
from opslib.telemetry.capture.parts import Row
from opslib.telemetry.jaeger.answers import Found, anchors
from opslib.telemetry.jaeger.asking import Asking
from opslib.telemetry.jaeger.dialects import MOST, Dialect, Search
from opslib.telemetry.jaeger.slices import asked_whole, cut

_SLICES = 16
_MOST_ANSWERS = 200
_NOBODYS = (("opslib.no.such.attribute", "1"),)
_RESOURCE = {
    "service.version": "service_version",
    "k8s.pod.name": "k8s_pod_name",
    "k8s.namespace.name": "k8s_namespace_name",
}


@dataclass(frozen=True, slots=True)
class Matching:
    """Spans of the traces that match, in the order of `COLUMNS["spans"]`; whether there are more traces."""

    rows: list[Row]
    more: bool
    warnings: tuple[str, ...] = ()


def matching(
    dialect: Dialect, service: str, window: Window, attributes: Mapping[str, str], limit: int
) -> Matching:
    """Return the earliest traces with a span of the service that has all the attributes. Raises SourceError."""
    pairs = tuple(sorted(attributes.items()))
    ignored = bool(dialect.search(Search(service, window, 1, attributes=_NOBODYS)).rows)
    asking = Asking(dialect, service, MOST, () if ignored else pairs)
    first: dict[str, int] = {}
    rows: dict[str, list[Row]] = {}
    more = False
    for number, (at, found) in enumerate(_answers(asking, window)):
        own = {t: start for t, start in anchors(found, service).items() if start in at}
        own = {t: own[t] for t in own.keys() & _having(found, service, pairs)} if ignored else own
        first |= own
        for trace_id, row in zip(found.column("trace_id"), found.tuples(), strict=True):
            if trace_id in own:
                rows.setdefault(trace_id, []).append(row)
        more = len(first) > limit or number >= _MOST_ANSWERS
        if more:
            break
    chosen = sorted(first, key=lambda trace_id: (first[trace_id], trace_id))[:limit]
    said = ("this Jaeger ignores attributes: its traces were compared here",) if ignored else ()
    return Matching([row for trace_id in chosen for row in rows[trace_id]], more, said)


def _answers(asking: Asking, window: Window) -> Iterator[tuple[Window, Found]]:
    """Yield answers that cover a window, by time."""
    for piece in cut(window, _SLICES):
        for at, answer in asked_whole(asking.ask, piece):
            yield at, answer.found


def _having(found: Found, service: str, pairs: tuple[tuple[str, str], ...]) -> set[str]:
    """Return the traces with a span of the service that has all the attributes, as Jaeger compares them: as text."""
    names = ("trace_id", "service_name", "status_code", "attributes", *_RESOURCE.values())
    having = set()
    for trace_id, name, status, text, *resource in zip(*map(found.column, names), strict=True):
        if name == service and trace_id not in having:
            known = dict(zip(_RESOURCE, resource, strict=True)) | json_object(text)
            known |= {"error": status == "ERROR"}
            if all(key in known and _text(known[key]) == value for key, value in pairs):
                having.add(trace_id)
    return having


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
