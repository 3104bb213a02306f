"""Texts become values by the annotation alone: `false` is False for a bool and a text for a str.

Nothing that is parsed here can become code: names must be declared, values are plain literals, numbers are finite.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opslib.core.errors import ParameterError, near_names
from opslib.core.words import printable
from opslib.run.declared import Parameter, ParameterType, Scalar, Value

MAX_TEXT = 100_000
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_NONE = frozenset({"none", "null", "~", ""})
_INTEGER = re.compile(r"[+-]?\d{1,100}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")


@dataclass(frozen=True, slots=True)
class Plain:
    """A word as it was typed on a command line or stood bare in a file: the annotation says what it means."""

    text: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """A text in quotation marks in a file: it is a text and nothing else."""

    text: str


Raw = Plain | Quoted | list[Plain | Quoted]


class ValueRefused(Exception):  # noqa: N818 - the word that the message begins with
    """The text is no value of the type; the message says what was wanted."""


def resolve(
    declared: Sequence[Parameter], *sources: Sequence[tuple[str, Raw]]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return (given, all) values by name: later sources win, the rest are defaults. Raises ParameterError with all
    that is wrong at once.
    """
    known = {parameter.name: parameter for parameter in declared}
    given: dict[str, Value] = {}
    problems: list[str] = []
    for name, raw in (pair for source in sources for pair in source):
        try:
            given[name] = _value(name, raw, known)
        except ValueRefused as refusal:
            problems.append(str(refusal))
    if problems:
        hint = "; ".join(f"{p.name}: {p.type}" for p in declared) or "the notebook declares no parameters"
        raise ParameterError("; ".join(problems), hint=f"declared are {hint}" if declared else hint)
    return given, {name: given.get(name, parameter.default) for name, parameter in known.items()}


def _value(name: str, raw: Raw, known: Mapping[str, Parameter]) -> Value:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueRefused(f"{printable(name, 60)!r} is no parameter's name")
    if name not in known:
        raise ValueRefused(f"unknown parameter {printable(name, 60)!r}: {near_names(name, known)}")
    try:
        return parse(raw, known[name].type)
    except ValueRefused as refusal:
        raise ValueRefused(f"{name}: {refusal}") from None


def parse(raw: Raw, kind: ParameterType) -> Value:
    """Return the value that a raw text has under a type. Raises ValueRefused."""
    if isinstance(raw, list):
        if kind.kind != "list":
            raise ValueRefused(f"wanted {kind}, got a list")
        return [_scalar(item, kind.item) for item in raw]
    if len(raw.text) > MAX_TEXT:
        raise ValueRefused(f"longer than {MAX_TEXT:,} characters")
    if kind.optional and isinstance(raw, Plain) and raw.text.strip().lower() in _NONE:
        return None
    if kind.kind == "list":
        if isinstance(raw, Quoted):
            raise ValueRefused(f"wanted {kind}, got the quoted text {_shown(raw)}")
        words = raw.text.split(",") if raw.text.strip() else []
        return [_scalar(Plain(word.strip()), kind.item) for word in words]
    if kind.kind == "Literal":
        return _choice(raw, kind)
    return _scalar(raw, kind.kind)


def _choice(raw: Plain | Quoted, kind: ParameterType) -> Scalar:
    for choice in kind.choices:
        if isinstance(choice, str):
            if choice == raw.text:
                return choice
        elif isinstance(raw, Plain) and str(choice).lower() == raw.text.strip().lower():
            return choice
    raise ValueRefused(f"{_shown(raw)} is none of {', '.join(map(str, kind.choices))}")


def _scalar(raw: Plain | Quoted, kind: str) -> Scalar:
    if kind == "str":
        if "\0" in raw.text:
            raise ValueRefused("a text cannot hold a null character")
        return raw.text
    if isinstance(raw, Quoted):
        raise ValueRefused(
            f"wanted {kind}, got the quoted text {_shown(raw)}; write it without quotation marks"
        )
    word = raw.text.strip()
    if kind == "bool":
        if word.lower() in _TRUE | _FALSE:
            return word.lower() in _TRUE
        raise ValueRefused(f"wanted bool (true or false), got {_shown(raw)}")
    if kind == "int":
        if _INTEGER.fullmatch(word):
            return int(word)
        raise ValueRefused(f"wanted int, got {_shown(raw)}")
    return _finite(word, raw)


def _finite(word: str, raw: Plain) -> float:
    if _NUMBER.fullmatch(word) and math.isfinite(value := float(word)):
        return value
    raise ValueRefused(f"wanted float (a finite number), got {_shown(raw)}")


def _shown(raw: Plain | Quoted) -> str:
    return repr(printable(raw.text, 60))


def literal(value: Any) -> str:
    """Return the Python literal that injects a value into a notebook; only plain types have one."""
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    if value is None or type(value) in {bool, int, str} or (type(value) is float and math.isfinite(value)):
        return repr(value)
    raise TypeError(f"no plain value: {type(value).__name__}")
