"""The capture's columns (schema 1): names, DuckDB types and which of them must be there.

Order is free, extra columns are allowed, and a missing optional column reads as null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SignalFile = Literal["spans", "logs", "metrics", "events", "topology"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its DuckDB type, and whether a file without it is refused."""

    name: str
    type: Literal["VARCHAR", "BIGINT", "DOUBLE"]
    required: bool = True


def _text(*names: str, required: bool = True) -> tuple[Column, ...]:
    return tuple(Column(name, "VARCHAR", required) for name in names)


def _time(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "BIGINT") for name in names)


COLUMNS: dict[SignalFile, tuple[Column, ...]] = {
    "spans": (
        *_text("trace_id", "span_id", "parent_span_id", "name", "kind"),
        *_time("start_time_unix_nano", "end_time_unix_nano"),
        *_text("status_code", "service_name"),
        *_text(
            "service_version", "k8s_pod_name", "k8s_namespace_name", "attributes", "links", required=False
        ),
    ),
    "logs": (
        *_time("time_unix_nano"),
        *_text("severity_text", "body", "service_name"),
        *_text("k8s_pod_name", "trace_id", "span_id", "attributes", required=False),
    ),
    "metrics": (
        *_time("time_unix_nano"),
        *_text("name"),
        Column("value", "DOUBLE"),
        *_text("unit", "service_name", "k8s_pod_name", "labels", required=False),
    ),
    "events": (
        *_time("time_unix_nano"),
        *_text("type", "reason", "message", "kind", "name", "namespace"),
        *_text("attributes", required=False),
    ),
    "topology": _text("caller", "callee"),
}

# The column that says when a row happened; topology has no time.
TIME_COLUMN: dict[SignalFile, str | None] = {
    "spans": "start_time_unix_nano",
    "logs": "time_unix_nano",
    "metrics": "time_unix_nano",
    "events": "time_unix_nano",
    "topology": None,
}

MAX_TEXT = 16_384  # characters of a name or a log line; longer ones are shortened
MAX_JSON = 262_144  # characters of attributes as JSON; longer ones are left out, since half of it is no JSON
JSON_COLUMNS = frozenset({"attributes", "links", "labels"})
ID_COLUMNS = frozenset({"trace_id", "span_id", "parent_span_id"})

SPAN_KINDS = ("SERVER", "CLIENT", "INTERNAL", "PRODUCER", "CONSUMER", "UNSPECIFIED")

# Who a client span calls: the first attribute present names it (DESIGN: how a dependency is named).
PEER_SERVICE_ATTRIBUTES = ("service.peer.name", "peer.service")
PEER_DATABASE_ATTRIBUTES = ("db.namespace", "db.name")
PEER_ADDRESS_ATTRIBUTES = ("server.address",)
PEER_SYSTEM_ATTRIBUTES = ("db.system.name", "db.system")
