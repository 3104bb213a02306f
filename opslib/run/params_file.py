"""A parameters file is a flat YAML mapping of names to scalars or lists of scalars, and nothing more.

It is read as events, so nothing is ever constructed: no tags, no anchors, no aliases, no second document, no double
keys, bounded size. A bare word means what the parameter's annotation says (`no`, `1:30`, `2026-01-31` and `1.10` stay
as written until then); a quoted one is a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opslib.core.errors import ParameterError
from opslib.core.words import printable
from opslib.run.values import Plain, Quoted, Raw

MAX_BYTES = 256 * 1024
_HINT = "write one `name: value` a line; a list as [a, b]"


def read_parameters(path: Path) -> list[tuple[str, Raw]]:
    """Return the names and raw values of a parameters file. Raises ParameterError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise ParameterError(f"cannot read the parameters file {path}: {reason}") from error
    if len(data) > MAX_BYTES:
        raise ParameterError(f"the parameters file {path} is larger than {MAX_BYTES // 1024} kB")
    try:
        return parse_parameters(text)
    except ParameterError as error:
        raise ParameterError(f"the parameters file {path}: {error}", hint=error.hint) from error


def parse_parameters(text: str) -> list[tuple[str, Raw]]:
    """Parse the text of a parameters file. Raises ParameterError with the line."""
    import yaml  # noqa: PLC0415 - only a run with -f pays for it

    try:
        events = list(yaml.parse(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ParameterError(f"no YAML: {printable(str(error))}", hint=_HINT) from error
    stream = _checked(events, yaml)
    first = next(stream, None)
    if first is None:
        return []
    if not isinstance(first, yaml.MappingStartEvent):
        raise _refused("the file is no mapping of names to values", first)
    pairs = list(_pairs(stream, yaml))
    if (rest := next(stream, None)) is not None:
        raise _refused("there is a second document", rest)
    return pairs


def _checked(events: list[Any], yaml: Any) -> Iterator[Any]:
    """Yield the events that carry content, and refuse what a parameter has no use for."""
    frame = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)
    for event in events:
        if isinstance(event, frame):
            continue
        if getattr(event, "anchor", None) is not None:
            raise _refused("anchors and aliases are not read", event)
        if getattr(event, "tag", None) is not None:
            raise _refused(f"the tag {printable(event.tag, 60)} is not read", event)
        yield event


def _pairs(stream: Iterator[Any], yaml: Any) -> Iterator[tuple[str, Raw]]:
    seen: set[str] = set()
    for key in stream:
        if isinstance(key, yaml.MappingEndEvent):
            return
        if not isinstance(key, yaml.ScalarEvent):
            raise _refused("a name is a word", key)
        if key.value in seen:
            raise _refused(f"{printable(key.value, 60)!r} stands there twice", key)
        seen.add(key.value)
        yield key.value, _raw(next(stream), stream, yaml)


def _raw(event: Any, stream: Iterator[Any], yaml: Any) -> Raw:
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Plain | Quoted] = []
        for item in stream:
            if isinstance(item, yaml.SequenceEndEvent):
                break
            items.append(_scalar(item, yaml))
        return items
    return _scalar(event, yaml)


def _scalar(event: Any, yaml: Any) -> Plain | Quoted:
    if not isinstance(event, yaml.ScalarEvent):
        raise _refused("a value is a word, a text or a list of them", event)
    return Plain(event.value) if event.style is None else Quoted(event.value)


def _refused(message: str, event: Any) -> ParameterError:
    return ParameterError(f"line {event.start_mark.line + 1}: {message}", hint=_HINT)
