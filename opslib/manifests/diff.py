"""What changes in an object, field by field; a secret is masked on both sides, and still seen to change.

Fields that the server keeps for itself (status, versions, owners) are no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opslib.core.redact import MASK, Redactor
from opslib.kube import Object, is_secret
from opslib.kube.secrets import LAST_APPLIED
from opslib.manifests.fields import Path, items_by_key, path_text
from opslib.manifests.plain_secrets import looks_secret

_SERVERS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_REDACTOR = Redactor()
_OPEN = frozenset(
    {"labels", "matchLabels"}
)  # what everybody selects by is no secret, however random it looks


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, with values as they may be shown; None is none. `owners` are other managers that own it now."""

    path: Path
    before: Any
    after: Any
    owners: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {_short(self.before)} -> {_short(self.after)}"


def _short(value: Any) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) < 200 else f"{text[:190]}…"


def diff(before: Object, after: Object) -> tuple[FieldChange, ...]:
    """Return the changes from one object to another, sorted by path, ready to be shown."""
    found = _changes(without_servers_fields(before), without_servers_fields(after), ())
    secret = is_secret(before) or is_secret(after)
    shown = [FieldChange(path, *(_hidden(v, path, secret=secret) for v in values)) for path, *values in found]
    return tuple(sorted(shown, key=lambda change: path_text(change.path)))


def without_servers_fields(body: Object) -> Object:
    """Return an object as somebody could have written it."""
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key not in _SERVERS}
    notes = metadata.get("annotations")
    if isinstance(notes, dict) and LAST_APPLIED in notes:
        metadata["annotations"] = {key: value for key, value in notes.items() if key != LAST_APPLIED}
    return {key: value for key, value in body.items() if key != "status"} | {"metadata": metadata}


def _changes(before: Any, after: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        sides: list[dict[Any, Any]] = [before, after]
    elif isinstance(before, list) and isinstance(after, list):
        sides = items_by_key(before, after)
    else:
        if type(before) is not type(after) or before != after:
            yield path, before, after
        return
    for token in dict.fromkeys((*sides[0], *sides[1])):
        yield from _changes(sides[0].get(token), sides[1].get(token), (*path, token))


def hidden(body: Object) -> Object:
    """Return an object as it may be shown."""
    shown = {
        key: _hidden(value, (key,), secret=is_secret(body))
        for key, value in without_servers_fields(body).items()
    }
    return {**shown, "metadata": _hidden(shown["metadata"], ("metadata",), secret=False)}


def holds_secret(body: Object) -> bool:
    """Tell whether an object must not be kept or shown as it is."""
    return is_secret(body) or hidden(body) != without_servers_fields(body)


def _hidden(value: Any, path: Path, *, secret: bool) -> Any:
    if secret and path[:1] in {("data",), ("stringData",)}:
        return _masked(value)
    if _OPEN & {token for token in path if isinstance(token, str)}:
        return value
    # The value of a variable is known by the variable's name.
    named = [dict(token).get("name") for token in path if isinstance(token, tuple)]
    key = str(named[-1] if named and path[-1] == "value" else path[-1]) if path else ""
    return _walked(value, key)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return None if value is None else MASK


def _walked(value: Any, key: str) -> Any:
    if key in _OPEN:
        return value
    if isinstance(value, dict):
        own = str(value["name"]) if isinstance(value.get("name"), str) and "value" in value else ""
        return {
            name: _walked(item, own if name == "value" and own else str(name)) for name, item in value.items()
        }
    if isinstance(value, list):
        return [_walked(item, key) for item in value]
    if isinstance(value, str):
        return MASK if looks_secret(key, value) else _REDACTOR.text(value)
    return value
