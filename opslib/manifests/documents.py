"""YAML from outside becomes plain JSON values, document by document, each with its line; nothing else is ever built.

It is read as events: no tags but `!!str`, no key twice, aliases only as often as fits the bound, no depth without end.
Plain words mean what kubectl takes them for: YAML 1.1 with its `yes` and octal numbers, but dates and `1:30` are texts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opslib.core.errors import ManifestError
from opslib.core.words import printable

MAX_WEIGHT = 16 * 1024**2
"""Characters of one document with its aliases written out, each node for 8: an object is at most 1.5 MiB in the store."""
MAX_DEPTH = 100
_NODE = 8

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{w: True for word in ("yes", "true", "on") for w in (word, word.capitalize(), word.upper())},
    **{w: False for word in ("no", "false", "off") for w in (word, word.capitalize(), word.upper())},
}
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[1-9][0-9_]*|0)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 40
_MERGE = object()  # the key `<<` as a plain word; a quoted one is a key like others
_HALVES = re.compile(r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")


def scalar(text: str) -> Any:
    """Return what a plain word means: null, a truth value, a number, else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER or not text[-1:].isascii():
        return text
    if _INTEGER.fullmatch(text):
        sign, digits = ("-", text[1:]) if text[0] == "-" else ("", text.lstrip("+"))
        plain = digits.replace("_", "")
        octal = len(plain) > 1 and plain[0] == "0" and plain[1].isdigit()
        try:
            return int(sign + ("0o" + plain[1:] if octal else plain), 0)
        except ValueError:
            return text
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def read_documents(text: str, source: str) -> Iterator[tuple[int, Any]]:
    """Yield line and value of each document that is not empty. Raises ManifestError with file and line."""
    import yaml  # noqa: PLC0415 - only who reads manifests pays for it

    reader = _Reader(yaml, source)
    try:
        for event in yaml.parse(_json_as_yaml(text), Loader=yaml.CSafeLoader):
            done = reader.take(event)
            if done is not None and done[1] is not None:
                yield done
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ManifestError(f"{source}:{line}: no YAML: {printable(str(error.problem))}") from error
    except yaml.YAMLError as error:  # a character that YAML does not know
        raise ManifestError(f"{source}: no YAML: {printable(str(error))}") from error


def _json_as_yaml(text: str) -> str:
    """Return JSON without what YAML does not know of it: characters escaped as two halves."""
    if not text.startswith("{"):
        return text
    return _HALVES.sub(lambda m: m[1] + json.loads(f'"{m[2]}"'), text)


@dataclass(slots=True)
class _Open:
    """A mapping or list that has begun; `key` is the mapping's key that waits for its value."""

    value: Any
    line: int
    anchor: str | None
    weight: int  # of the document when it began
    key: Any = None
    merged: tuple[Any, ...] = ()


class _Reader:
    """Builds one document at a time of its events."""

    def __init__(self, yaml: Any, source: str) -> None:
        self._source = source
        self._takes: dict[type, Callable[[Any], None]] = {
            yaml.DocumentStartEvent: lambda event: self._reset(event.end_mark.line + 1),
            yaml.AliasEvent: self._alias,
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: lambda event: self._begin(event, {}),
            yaml.SequenceStartEvent: lambda event: self._begin(event, []),
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
        }
        self._document_end = yaml.DocumentEndEvent
        self._reset(0)

    def _reset(self, line: int) -> None:
        self._line = line
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._weight = 0
        self._value: Any = None

    def take(self, event: Any) -> tuple[int, Any] | None:
        """Take the next event; return a document's line and value when it ends."""
        take = self._takes.get(type(event))
        if take is not None:
            take(event)
        return (self._line, self._value) if type(event) is self._document_end else None

    def _begin(self, event: Any, value: Any) -> None:
        self._checked(event, ("map", "seq"))
        if not self._stack:
            self._line = event.start_mark.line + 1
        elif len(self._stack) >= MAX_DEPTH:
            raise self._error(event, f"nested more than {MAX_DEPTH} levels deep")
        if self._stack and self._waits_for_key():
            raise self._error(event, "a key is a word, no list and no mapping")
        self._stack.append(_Open(value, event.start_mark.line, event.anchor, self._weight))
        self._weigh(event, _NODE)

    def _end(self, event: Any) -> None:
        done = self._stack.pop()
        for merged in done.merged:  # what is written goes before what is merged
            done.value |= {key: value for key, value in merged.items() if key not in done.value}
        self._put(event, done.value, done.anchor, self._weight - done.weight)

    def _scalar(self, event: Any) -> None:
        self._checked(event, ("str",))
        plain = event.implicit[0] and not event.tag and event.style in {None, ""}
        value = scalar(event.value) if plain else event.value
        if self._stack and self._waits_for_key():
            self._key(event, _MERGE if plain and value == "<<" else value)
            return
        weight = _NODE + len(event.value)
        self._weigh(event, weight)
        self._put(event, value, event.anchor, weight)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias {printable(event.anchor, 40)!r} has no anchor before it")
        value, weight = self._anchors[event.anchor]
        if self._waits_for_key():
            raise self._error(event, "an alias is no key")
        self._weigh(event, weight)
        self._put(event, value, None, 0)

    def _waits_for_key(self) -> bool:
        top = self._stack[-1]
        return isinstance(top.value, dict) and top.key is None

    def _key(self, event: Any, value: Any) -> None:
        top = self._stack[-1]
        if value is None:
            raise self._error(event, "a key is missing before the colon")
        if value is _MERGE:
            top.key = _MERGE
            return
        key = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
        if key in top.value:
            raise self._error(event, f"the key {printable(key, 60)!r} stands there twice")
        self._weigh(event, len(key))
        top.key = key

    def _put(self, event: Any, value: Any, anchor: str | None, weight: int) -> None:
        if anchor:
            self._anchors[anchor] = value, weight
        if not self._stack:
            self._value = value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            return
        if top.key is _MERGE:
            top.merged += self._merged(event, value)
        else:
            top.value[top.key] = value
        top.key = None

    def _merged(self, event: Any, value: Any) -> tuple[Any, ...]:
        merged = tuple(value) if isinstance(value, list) else (value,)
        if not all(isinstance(item, dict) for item in merged):
            raise self._error(event, "`<<` merges mappings, nothing else")
        return merged

    def _checked(self, event: Any, known: tuple[str, ...]) -> None:
        if event.tag is not None and event.tag not in {"!", *(f"tag:yaml.org,2002:{name}" for name in known)}:
            raise self._error(event, f"the tag {printable(event.tag, 60)} is not read")

    def _weigh(self, event: Any, weight: int) -> None:
        self._weight += weight
        if self._weight > MAX_WEIGHT:
            raise self._error(event, f"a document of more than {MAX_WEIGHT // 1024**2} MB with its aliases")

    def _error(self, event: Any, text: str) -> ManifestError:
        return ManifestError(
            f"{self._source}:{event.start_mark.line + 1}: {text}", hint="correct the manifest there"
        )
