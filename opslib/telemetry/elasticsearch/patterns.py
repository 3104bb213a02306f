"""Patterns of log lines and how often each comes, without reading the lines: a sample tells the patterns, the server counts.

What a round's patterns do not match is sampled in the next, so that what is rare beside the common ones is found. Lines
left at the end are few enough to be read, else their patterns are estimated from their sample, and said to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, islice
from operator import sub
from typing import Any, TypeVar

from opslib.diagnosis.logpatterns import pattern
from opslib.telemetry.elasticsearch.documents import Row, rows_of
from opslib.telemetry.elasticsearch.fields import Clause, Fields, but_not
from opslib.telemetry.elasticsearch.phrases import Runs, clause, holds, runs_of, shape_of, weight
from opslib.telemetry.elasticsearch.rates import grouped, telling, telling_names, told_by
from opslib.telemetry.elasticsearch.server import Snapshot
from opslib.telemetry.logtables import PatternCount

_SAMPLE = 2_000  # lines of a window
_ROUNDS = 5
_CLAUSES = 800  # words that are asked for at once: OpenSearch takes 1,024 clauses, Elasticsearch more
_WORDS = 2  # that a pattern has at least, to be asked for
_DISTINCT = 50_000  # messages of a keyword field that are read one by one
_SEEN = 5  # lines of a sample, for its pattern to be estimated
_SEED = 7
_SPLIT = 1_000  # services, or severities

T = TypeVar("T")
Key = tuple[str, str, str]  # service, severity, pattern


@dataclass(frozen=True, slots=True)
class Sample:
    """Lines drawn evenly from those that match: all of them where there are no more."""

    total: int
    rows: list[Row]

    @property
    def whole(self) -> bool:
        return self.total == len(self.rows)


@dataclass(frozen=True, slots=True)
class Family:
    """Patterns with the same constant words, named by the commonest one; an example of each that was sampled."""

    runs: Runs
    pattern: str
    examples: tuple[str, ...]

    @property
    def alike(self) -> bool:
        return len({shape_of(pattern(line)) for line in self.examples}) == 1


class Tally:
    """Counts of both windows by key, each key's example, and which keys are not exact."""

    def __init__(self) -> None:
        self._counts: dict[Key, list[int]] = {}
        self._examples: dict[Key, str] = {}
        self._inexact: set[Key] = set()

    def add(self, key: Key, window: int, count: int, example: str, *, exact: bool = True) -> None:
        self._counts.setdefault(key, [0, 0])[window] += count
        self._examples[key] = min(self._examples.get(key, example), example)
        if not exact:
            self._inexact.add(key)

    def rows(self) -> Iterator[PatternCount]:
        for key, (incident, baseline) in self._counts.items():
            if incident or baseline:
                yield PatternCount(*key, incident, baseline, self._examples[key], key not in self._inexact)


def count_patterns(snapshot: Snapshot, queries: list[Clause], fields: Fields) -> list[PatternCount]:
    """Count the patterns of what matches the queries, one for each window."""
    tally = Tally()
    if not _by_message(snapshot, queries, fields, tally):
        families, samples = _told_apart(snapshot, queries, fields)
        for window, (sample, counts) in enumerate(
            zip(samples, _counted(snapshot, queries, fields, families), strict=True)
        ):
            for key, count, example, exact in counts:
                tally.add(key, window, count, example, exact=exact)
            _remaining(sample, tally, window)
    return list(tally.rows())


def _by_message(snapshot: Snapshot, queries: list[Clause], fields: Fields, tally: Tally) -> bool:
    """Count by whole messages, where one keyword holds them and there are few; tells whether that could be done."""
    (name, *others) = fields.shape.message or ("",)
    if name not in fields.exact or others:
        return False
    how = {"field": fields.exact[name]}
    for query in queries:
        found = snapshot.ask({"size": 0, "query": query, "aggs": {"distinct": {"cardinality": how}}})
        if (found.told("distinct", "value") or 0) > _DISTINCT:
            return False
    message = {name: {"terms": {**how, "missing_bucket": True}}}
    for window, query in enumerate(queries):
        groups, cut = grouped(snapshot, query, [message, *telling(fields)])
        if cut:
            snapshot.amiss["there are more messages than were counted"] = None
        for key, count in groups:
            body = str(key[name] or "")
            tally.add((*told_by(key, fields), pattern(body)), window, count, body)
    return True


def _told_apart(
    snapshot: Snapshot, queries: list[Clause], fields: Fields
) -> tuple[list[Family], list[Sample]]:
    """Return the families, the more specific first, and samples of what none of them matches."""
    families: dict[Runs, Family] = {}
    samples = _each(lambda query: draw(snapshot, query, fields), queries)
    for _ in range(_ROUNDS):
        room = _CLAUSES - sum(map(weight, families))
        new = [family for family in _families(samples, room) if family.runs not in families]
        if all(sample.whole for sample in samples) or not new or not fields.words:
            break
        families |= {family.runs: family for family in new}
        known = [clause(runs, fields) for runs in families]
        rest = [but_not(query, known) for query in queries]
        samples = _each(lambda query: draw(snapshot, query, fields), rest)
    return sorted(families.values(), key=lambda family: (-weight(family.runs), family.runs)), samples


def draw(snapshot: Snapshot, query: Clause, fields: Fields) -> Sample:
    """Draw lines evenly from what matches, the same ones from the same indices."""
    drawn = {"query": query, "random_score": {"seed": _SEED, "field": "_seq_no"}, "boost_mode": "replace"}
    body = {"size": _SAMPLE, "query": {"function_score": drawn}, "_source": fields.sources()}
    found = snapshot.ask({**body, "track_total_hits": True}).hits
    documents = [hit.source for hit in found.hits]
    rows = rows_of(documents, [0] * len(documents), fields.shape, fields.naming)
    return Sample(max(found.total.value if found.total else 0, len(rows)), rows)


def _families(samples: list[Sample], room: int) -> list[Family]:
    """Return the commonest patterns of the samples that can be asked for, of no more words than there is room for."""
    lines = Counter(row[2] for sample in samples for row in sample.rows)
    seen: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for line in sorted(lines):
        text = pattern(line)
        seen[text] += lines[line]
        examples.setdefault(text, line)
    by_runs: dict[Runs, list[str]] = {}
    for text in sorted(seen, key=lambda text: (-seen[text], text)):
        runs = runs_of(text)
        if weight(runs) >= _WORDS:
            by_runs.setdefault(runs, []).append(text)
    room_after = accumulate((weight(runs) for runs in by_runs), sub, initial=room)
    return [
        Family(runs, texts[0], tuple(examples[text] for text in texts))
        for (runs, texts), left in zip(by_runs.items(), islice(room_after, 1, None), strict=True)
        if left >= 0
    ]


def _counted(
    snapshot: Snapshot, queries: list[Clause], fields: Fields, families: list[Family]
) -> list[list[tuple[Key, int, str, bool]]]:
    """Count each family's lines by service and severity; a line of two families is the more specific one's."""
    takes = [
        [any(holds(one.runs, line) for line in other.examples) for other in families] for one in families
    ]
    known = [clause(one.runs, fields) for one in families]
    asked = [
        but_not(known[at], [known[above] for above in range(at) if takes[at][above]])
        for at in range(len(families))
    ]
    aggs = {"families": {"filters": {"filters": asked}, **_split(telling_names(fields), fields)}}

    def count(query: Clause) -> list[tuple[Key, int, str, bool]]:
        body = {"size": 0, "query": query, "aggs": aggs, "track_total_hits": False}
        buckets = snapshot.ask(body).told("families", "buckets") or ()
        return [
            (
                (*told_by(key, fields), one.pattern),
                number,
                one.examples[0],
                one.alike and not any(taken[at + 1 :]),
            )
            for at, (one, taken, bucket) in enumerate(zip(families, takes, buckets, strict=False))
            for key, number in _leaves(bucket, {})
        ]

    return _each(count, queries if families else []) or [[] for _ in queries]


def _each(ask: Callable[[Clause], T], queries: list[Clause]) -> list[T]:
    """Ask about each window at the same time."""
    with ThreadPoolExecutor(len(queries) or 1) as askers:
        return list(askers.map(ask, queries))


def _split(names: list[str], fields: Fields) -> Clause:
    """Return aggregations within one another by these fields, each named as its field is."""
    inner: Clause = {}
    for name in reversed(names):
        missing: Any = -1 if name in fields.numbers else ""
        terms = {"field": fields.exact[name], "missing": missing, "size": _SPLIT}
        inner = {"aggs": {name: {"terms": terms, **inner}}}
    return inner


def _leaves(bucket: Mapping[str, Any], key: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the innermost keys of a bucket with their counts."""
    below = [(name, told) for name, told in bucket.items() if isinstance(told, dict) and "buckets" in told]
    if not below:
        yield key, int(bucket["doc_count"])
    for name, told in below:
        for one in told["buckets"]:
            value = None if one["key"] in ("", -1) else one["key"]
            yield from _leaves(one, {**key, name: value})
        if told.get("sum_other_doc_count"):  # of values beyond those that were asked for
            yield key, int(told["sum_other_doc_count"])


def _remaining(sample: Sample, tally: Tally, window: int) -> None:
    """Add what no family matches: as it was read, else the commonest patterns at their share, the others without one."""
    left, seen = sample.total, Counter((row[3], row[1] or "", pattern(row[2])) for row in sample.rows)
    examples = {
        (row[3], row[1] or "", pattern(row[2])): row[2] for row in sorted(sample.rows, key=lambda r: r[2])
    }
    for key, count in seen.items():
        if sample.whole or count >= _SEEN:
            share = sample.total * count // len(sample.rows)
            tally.add(key, window, share, examples[key], exact=sample.whole)
            left -= share
    tally.add(("", "", ""), window, left, "", exact=False)
