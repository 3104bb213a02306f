"""Saved searches of Kibana's Discover that match what the log queries ask, as NDJSON for its import.

Their attributes keep to Kibana's schema of a saved search (src/plugins/saved_search/server/saved_objects/schema.ts); the
versions named let Kibana 8 and later bring them up to date.
"""

from __future__ import annotations

import json
from typing import Any

DATA_VIEW = "opslib-filebeat"
_INDEX_REF = "kibanaSavedObjectMeta.searchSourceJSON.index"
_COLUMNS = ("service.name", "kubernetes.pod.name", "log.level", "message", "trace.id")
_ERRORS = 'log.level: ("error" or "ERROR" or "err" or "critical" or "CRITICAL" or "fatal" or "FATAL")'
# id -> title, what it shows, its query in KQL
SEARCHES: dict[str, tuple[str, str, str]] = {
    "opslib-logs": ("opslib: logs", "All log records, newest first.", ""),
    "opslib-errors": ("opslib: errors", "Records of level error and above.", _ERRORS),
    "opslib-traced": (
        "opslib: logs with a trace",
        "Records that name a trace: open it in Jaeger.",
        "trace.id: *",
    ),
    "opslib-restarts": (
        "opslib: ends and starts",
        "What containers say when they stop or begin.",
        'message: ("shutting down" or "started" or "SIGTERM" or "out of memory" or "panic")',
    ),
}


def saved_objects(index: str = "filebeat-*") -> str:
    """Return a data view of `index` and the saved searches on it, one JSON object a line."""
    objects = [_data_view(index), *(_search(id_, *texts) for id_, texts in SEARCHES.items())]
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in objects)


def _data_view(index: str) -> dict[str, Any]:
    attributes = {"title": index, "name": f"opslib: {index}", "timeFieldName": "@timestamp"}
    return _saved("index-pattern", DATA_VIEW, attributes, [])


def _search(id_: str, title: str, description: str, query: str) -> dict[str, Any]:
    source = {"query": {"query": query, "language": "kuery"}, "filter": [], "indexRefName": _INDEX_REF}
    attributes = {
        "title": title,
        "description": description,
        "columns": list(_COLUMNS),
        "sort": [["@timestamp", "desc"]],
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }
    return _saved("search", id_, attributes, [{"id": DATA_VIEW, "name": _INDEX_REF, "type": "index-pattern"}])


def _saved(
    kind: str, id_: str, attributes: dict[str, Any], references: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "id": id_,
        "type": kind,
        "attributes": attributes,
        "references": references,
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": "8.0.0",
    }
