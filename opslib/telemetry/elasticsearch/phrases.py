"""A log pattern as a query: its constant words stand in a message in their order, those side by side as a phrase.

A word next to something variable without white space between is left out, since an analyser may make one word of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from opslib.telemetry.elasticsearch.fields import Clause, Fields, either

_VARIABLE = re.compile(r"<(?:n|hex|text|uuid|ip)>")
_WORD = re.compile(r"\w+")
_LONGEST = 40  # words of a pattern that are asked for

Runs = tuple[str, ...]


def runs_of(pattern: str) -> Runs:
    """Return the runs of constant words of a pattern."""
    runs: list[list[str]] = [[]]
    for word in pattern.split(" ")[: 2 * _LONGEST]:
        if _VARIABLE.search(word):
            runs.append([])
        elif _WORD.search(word) and sum(map(len, runs)) < _LONGEST:
            runs[-1].append(word)
    return tuple(" ".join(run) for run in runs if run)


def shape_of(pattern: str) -> str:
    """Return a pattern with everything variable alike: what kind a value looks like may be chance."""
    return _VARIABLE.sub("<>", pattern)


def weight(runs: Iterable[str]) -> int:
    """Return how many words there are; the more, the fewer lines can have them by chance."""
    return sum(len(_WORD.findall(run)) for run in runs)


def clause(runs: Runs, fields: Fields) -> Clause:
    """Return the query for messages with these runs, in the fields whose words are known."""
    return either([_in(name, runs) for name in fields.shape.message if name in fields.words])


def _in(name: str, runs: Runs) -> Clause:
    if len(runs) == 1:
        return {"match_phrase": {name: runs[0]}}
    parts = [{"match": {"query": run, "max_gaps": 0, "ordered": True}} for run in runs]
    return {"intervals": {name: {"all_of": {"ordered": True, "intervals": parts}}}}


def holds(runs: Runs, line: str) -> bool:
    """Tell about as the server does whether a line has these runs."""
    said, at = [word.casefold() for word in _WORD.findall(line)], 0
    for run in runs:
        words = [word.casefold() for word in _WORD.findall(run)]
        found = next(
            (i for i in range(at, len(said) - len(words) + 1) if said[i : i + len(words)] == words), -1
        )
        if found < 0:
            return False
        at = found + len(words)
    return True
