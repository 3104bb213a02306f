"""What the indices' mappings say of the known fields, and the clauses of a query about them.

A clause finds at least the documents that `documents` reads so; a field of several types is asked by phrase, which
finds a whole value in a keyword and its words in a text.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opslib.core.ids import TRACE_BYTES, hex_id
from opslib.core.windows import Window, rfc3339
from opslib.telemetry.elasticsearch.documents import (
    ATTRIBUTES,
    LEVEL,
    MESSAGE,
    POD,
    SERVICE,
    SPAN,
    TRACE,
    Naming,
    Shape,
    spellings,
)

NS_PER_MS = 1_000_000
_WORDS = frozenset({"text", "match_only_text"})
_TIMES = frozenset({"date", "date_nanos"})
_NUMBERS = frozenset({"byte", "short", "integer", "long", "unsigned_long"})
_OBJECTS = frozenset({"object", "nested"})

Clause = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fields:
    """The mappings of what a pattern of indices matches.

    exact: field -> the field to ask for its whole value and to count by; words: fields of analysed text; numbers: of
    numbers alone.
    """

    indices: tuple[str, ...]
    time: str
    time_types: frozenset[str]
    shape: Shape
    naming: Naming
    exact: Mapping[str, str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    conflicts: tuple[str, ...] = ()

    @property
    def per_ns(self) -> int:
        """Return how many nanoseconds a number in the order by time counts."""
        return 1 if "date_nanos" in self.time_types else NS_PER_MS

    def order(self) -> Clause:
        """Return the sort by time, which indices of both types, and those without the field, can share."""
        how = {"order": "asc", "unmapped_type": "date"}
        return {self.time: how | ({"numeric_type": "date_nanos"} if len(self.time_types) > 1 else {})}

    def sources(self) -> list[str]:
        """Return what of a document is to be sent."""
        shape = self.shape
        names = (*shape.message, *shape.level, *shape.trace, *shape.span, *shape.pod, *shape.service)
        mapped = (name for _, name, _ in self.naming.mapped)
        return [
            self.time,
            *dict.fromkeys((*names, *mapped)),
            *ATTRIBUTES,
            *(f"{name}.*" for name in ATTRIBUTES),
        ]

    def during(self, window: Window) -> Clause:
        """Return the clause for a window, up to the whole milliseconds around it."""
        start, end = (
            bound // NS_PER_MS * NS_PER_MS for bound in (window.start_ns, window.end_ns + NS_PER_MS - 1)
        )
        return self.between(start, end)

    def within(self, window: Window) -> Clause:
        """Return the clause for a window as the index keeps times."""
        return self.between(
            *(-(-bound // self.per_ns) * self.per_ns for bound in (window.start_ns, window.end_ns))
        )

    def between(self, start_ns: int, end_ns: int) -> Clause:
        bounds = {"gte": rfc3339(start_ns), "lt": rfc3339(end_ns)}
        return {"range": {self.time: {**bounds, "format": "strict_date_optional_time_nanos"}}}

    def equals(self, name: str, values: Iterable[str]) -> Clause:
        exact = self.exact.get(name)
        if exact is not None:
            return {"terms": {exact: sorted(values)}}
        return either([{"match_phrase": {name: value}} for value in sorted(values)])

    def any_of(self, names: Iterable[str], values: Iterable[str]) -> Clause:
        chosen = list(values)
        return either([self.equals(name, chosen) for name in names])

    def severity(self, severity: str) -> Clause:
        if not severity:
            return without({"exists": {"field": name}} for name in self.shape.level)
        return self.any_of(self.shape.level, spellings(severity))

    def service(self, service: str) -> Clause:
        """Return the clause for the documents whose service has our name; of no service for the empty one."""
        ways: list[Clause] = []
        before: list[Clause] = []
        for ours, name, value in self.naming.mapped:
            equal = self.equals(name, [value])
            if ours == service:
                ways.append(but_not(equal, before))
            before = [*before, equal]
        renamed = self.naming.renamed
        theirs = [name for name in (*renamed, service) if renamed.get(name, name) == service]
        for name in self.shape.service:
            if service:
                ways.append(but_not(self.equals(name, theirs), before))
            before = [*before, {"exists": {"field": name}}]
        return either(ways) if service else without(before)

    def trace(self, trace_id: str) -> Clause:
        """Return the clause for a trace id in any of its spellings, in its fields or in the message."""
        digits = hex_id(trace_id, TRACE_BYTES, short_hex=True)
        words = {trace_id}
        if digits is not None:
            words |= {digits, str(uuid.UUID(digits)), digits.removeprefix("0" * 16)}
        words |= {word.upper() for word in words}
        in_text = [self.contains(word) for word in sorted(words)]
        return either([self.equals(name, words) for name in self.shape.trace] + in_text)

    def contains(self, text: str) -> Clause:
        """Return the clause for messages with these words side by side; in a keyword, with this text."""
        pattern = "".join(f"\\{c}" if c in "*?\\" else c for c in text)
        return either(
            [
                {"match_phrase": {name: text}}
                if name in self.words
                else {"wildcard": {name: {"value": f"*{pattern}*", "case_insensitive": True}}}
                for name in self.shape.message
            ]
        )


def either(clauses: list[Clause]) -> Clause:
    """Return the clause that one of several holds; of none, that nothing does."""
    if not clauses:
        return {"match_none": {}}
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses, "minimum_should_match": 1}}


def but_not(clause: Clause, others: list[Clause]) -> Clause:
    return {"bool": {"filter": [clause], "must_not": others}} if others else clause


def without(clauses: Iterable[Clause]) -> Clause:
    return {"bool": {"must_not": list(clauses)}}


def asked_names(time: str, naming: Naming) -> tuple[str, ...]:
    """Return the names to ask the mappings about, with the keyword fields that texts may have beside them."""
    mapped = (name for _, name, _ in naming.mapped)
    names = dict.fromkeys((*MESSAGE, *LEVEL, *TRACE, *SPAN, *POD, *SERVICE, *mapped))
    return (time, *names, *(f"{name}.keyword" for name in names))


def read_fields(
    indices: tuple[str, ...], caps: Mapping[str, Mapping[str, Any]], time: str, naming: Naming
) -> Fields:
    """Read what `_field_caps` says."""
    types = {name: frozenset(told) - _OBJECTS - {"unmapped"} for name, told in caps.items()}
    counted = {name for name, told in caps.items() if types[name] and _aggregatable(told)}

    def there(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if types.get(name))

    exact = {
        name: name if name in counted else f"{name}.keyword"
        for name in types
        if name in counted or f"{name}.keyword" in counted
    }
    conflicts = sorted(
        name for name, found in types.items() if len(found) > 1 and not (name == time and found <= _TIMES)
    )
    return Fields(
        indices,
        time,
        types.get(time, frozenset()) & _TIMES,
        Shape(*map(there, (MESSAGE, LEVEL, TRACE, SPAN, POD, SERVICE))),
        naming,
        exact,
        frozenset(name for name, found in types.items() if found and found <= _WORDS),
        frozenset(name for name, found in types.items() if found and found <= _NUMBERS),
        tuple(f"the indices disagree on the type of {n} ({', '.join(sorted(types[n]))})" for n in conflicts),
    )


def _aggregatable(told: Mapping[str, Any]) -> bool:
    return all(isinstance(one, dict) and one.get("aggregatable") is True for one in told.values())
