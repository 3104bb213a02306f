"""Lines per step, service and severity, counted by the server: pages of a composite aggregation, and no document."""

from __future__ import annotations

from typing import Any

from opslib.core.windows import Window
from opslib.telemetry.elasticsearch.documents import severity_of, text_of
from opslib.telemetry.elasticsearch.fields import NS_PER_MS, Clause, Fields
from opslib.telemetry.elasticsearch.server import Snapshot

_PAGE = 10_000
_PAGES = 50


def rates(
    snapshot: Snapshot, query: Clause, fields: Fields, window: Window, step: int
) -> tuple[dict[tuple[int, str, str], int], bool]:
    """Count what matches by (start of the step of `step` ns, service, severity); tells whether that was cut short."""
    step_ms, start_ms = step // NS_PER_MS, window.start_ns // NS_PER_MS
    histogram = {
        "field": fields.time,
        "fixed_interval": f"{step_ms}ms",
        "offset": f"{start_ms % step_ms}ms",
    }
    counts: dict[tuple[int, str, str], int] = {}
    groups, cut = grouped(snapshot, query, [{"time": {"date_histogram": histogram}}, *telling(fields)])
    for key, count in groups:
        at = window.start_ns + (int(key["time"]) - start_ms) * NS_PER_MS
        who = (at, *told_by(key, fields))
        counts[who] = counts.get(who, 0) + count
    return counts, cut


def telling(fields: Fields) -> list[Clause]:
    """Return sources of a composite aggregation by what tells service and severity, named as the fields are."""
    return [
        {name: {"terms": {"field": fields.exact[name], "missing_bucket": True}}}
        for name in telling_names(fields)
    ]


def telling_names(fields: Fields) -> list[str]:
    """Return the fields that tell service and severity and can be counted by."""
    mapped = (name for _, name, _ in fields.naming.mapped)
    names = dict.fromkeys((*mapped, *fields.shape.service, *fields.shape.level))
    return [name for name in names if name in fields.exact]


def told_by(key: dict[str, Any], fields: Fields) -> tuple[str, str]:
    """Return service and severity that a key of these sources tells."""
    usual, level = text_of(key, fields.shape.service), text_of(key, fields.shape.level)
    return fields.naming.services([key], [usual])[0], severity_of(level) or ""


def grouped(
    snapshot: Snapshot, query: Clause, sources: list[Clause]
) -> tuple[list[tuple[dict[str, Any], int]], bool]:
    """Return all keys of a composite aggregation with their counts, and whether there are more than the pages taken."""
    found: list[tuple[dict[str, Any], int]] = []
    after: dict[str, Any] = {}
    for _ in range(_PAGES):
        how = {"sources": sources, "size": _PAGE, **after}
        body = {"size": 0, "query": query, "aggs": {"groups": {"composite": how}}, "track_total_hits": False}
        page = snapshot.ask(body)
        buckets, last = page.told("groups", "buckets") or [], page.told("groups", "after_key")
        found += [(bucket["key"], int(bucket["doc_count"])) for bucket in buckets]
        if len(buckets) < _PAGE or not last:
            return found, False
        after = {"after": last}
    return found, True
