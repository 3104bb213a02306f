"""The log records of a query, all of them or the oldest: slices of time that fit a page each, read side by side.

A slice is read page by page within one point in time. Where that is lost, reading goes on in another behind the last
instant that was read whole, so nothing is missing and nothing comes twice. Rows are sorted, whatever order they came in.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from opslib.core.errors import SourceError
from opslib.telemetry.elasticsearch.documents import Row, exact_times, rows_of
from opslib.telemetry.elasticsearch.fields import NS_PER_MS, Clause, Fields
from opslib.telemetry.elasticsearch.server import ExpiredError, Found, Hit, Snapshot

PAGE = 10_000  # documents: as many as an index gives at once, unless it is set otherwise
_CUTS = 2_000  # of the time that has documents, at most
_READERS = 3  # at once: the server works on some pages while another is decoded here
_REOPENED = 3


@dataclass(frozen=True, slots=True)
class Extent:
    """How many documents match, and the times of the first and the last one in whole milliseconds."""

    total: int
    first_ms: int = 0
    last_ms: int = 0


def extent(snapshot: Snapshot, query: Clause, fields: Fields) -> Extent:
    """Count what matches."""
    how = {"field": fields.time}
    body = {
        "size": 0,
        "query": query,
        "aggs": {
            name: {f"{'value_count' if name == 'count' else name}": how} for name in ("count", "min", "max")
        },
        "track_total_hits": False,
    }
    found = snapshot.ask(body)
    total, first, last = (int(found.told(name, "value") or 0) for name in ("count", "min", "max"))
    return Extent(total, first, last)


def read(
    snapshot: Snapshot, query: Clause, fields: Fields, limit: int, wanted: Callable[[Row], bool]
) -> tuple[list[Row], bool]:
    """Return the rows that are wanted, by time, and whether there are more than the limit."""
    whole = extent(snapshot, query, fields)
    if not whole.total:
        return [], False
    slices, cut = _slices(snapshot, query, fields, whole, limit)
    rows: list[Row] = []
    with ThreadPoolExecutor(_READERS) as readers, _no_search_for_cycles():
        for found in readers.map(lambda one: _slice(snapshot, query, fields, one), slices):
            rows += sorted_rows(filter(wanted, found))
    return rows[:limit], cut or len(rows) > limit


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Keep the garbage collector from walking a million small objects again and again: JSON has no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def sorted_rows(rows: Iterator[Row]) -> list[Row]:
    """Return rows by time, those of one instant by all that they say."""
    ordered = sorted(rows, key=itemgetter(0))
    if len({row[0] for row in ordered}) == len(ordered):
        return ordered
    by_time = groupby(ordered, key=itemgetter(0))
    return [row for _, same in by_time for row in sorted(same, key=repr)]


def _slices(
    snapshot: Snapshot, query: Clause, fields: Fields, whole: Extent, limit: int
) -> tuple[list[tuple[int, int]], bool]:
    """Cut the time into [start, end) in milliseconds of about a page each, until they hold more than the limit.

    Returns them, and whether there is more behind them.
    """
    if whole.total <= PAGE:
        return [(whole.first_ms, whole.last_ms + 1)], False
    step = max(1, -(-(whole.last_ms + 1 - whole.first_ms) // _CUTS))
    cut = {"date_histogram": {"field": fields.time, "fixed_interval": f"{step}ms", "min_doc_count": 1}}
    found = snapshot.ask({"size": 0, "query": query, "aggs": {"cut": cut}, "track_total_hits": False})
    slices: list[tuple[int, int]] = []
    held = taken = 0
    for bucket in found.told("cut", "buckets") or ():
        start, count = int(bucket["key"]), int(bucket["doc_count"])
        if slices and held + count <= PAGE:
            slices[-1] = (slices[-1][0], start + step)
            held += count
        elif taken > limit:
            break
        else:
            slices.append((start, start + step))
            held = count
        taken += count
    return slices, taken < whole.total


def _slice(snapshot: Snapshot, query: Clause, fields: Fields, one: tuple[int, int]) -> list[Row]:
    hits = _hits(snapshot, query, fields, one[0] * NS_PER_MS, one[1] * NS_PER_MS)
    documents, per_ns = [hit.source for hit in hits], fields.per_ns
    times = exact_times([hit.sort[0] * per_ns for hit in hits], documents, fields.time)
    return rows_of(documents, times, fields.shape, fields.naming)


def _hits(snapshot: Snapshot, query: Clause, fields: Fields, start_ns: int, end_ns: int) -> list[Hit]:
    kept: list[Hit] = []
    after: list[Any] = []
    lost = 0
    while True:
        try:
            page = _placed(snapshot.page(_page(snapshot, query, fields, (start_ns, end_ns), after)))
        except ExpiredError:
            lost += 1
            if lost > _REOPENED:
                raise snapshot.lost() from None
            if after:
                start_ns, after = after[0] * fields.per_ns, []
                kept = [hit for hit in kept if hit.sort[0] * fields.per_ns < start_ns]
            continue
        kept += page
        if len(page) < PAGE:
            return kept
        after, lost = page[-1].sort, 0


def _placed(found: Found) -> list[Hit]:
    if all(len(hit.sort) == 2 and isinstance(hit.sort[0], int) for hit in found.hits.hits):
        return found.hits.hits
    raise SourceError(
        "the log server sent documents without their time", hint="is it an Elasticsearch or an OpenSearch?"
    )


def _page(
    snapshot: Snapshot, query: Clause, fields: Fields, bounds_ns: tuple[int, int], after: list[Any]
) -> dict[str, Any]:
    body = {
        "size": PAGE,
        "query": {"bool": {"filter": [query, fields.between(*bounds_ns)]}},
        "sort": [fields.order(), {snapshot.tie_break: "asc"}],
        "_source": fields.sources(),
        "track_total_hits": False,
    }
    return {**body, "search_after": after} if after else body
