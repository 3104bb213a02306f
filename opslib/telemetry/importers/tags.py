"""What Jaeger's tags say of a span. Spans repeat them word by word, so each text is decoded once, many at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from opslib.telemetry.importers.repair import decoded
from opslib.telemetry.importers.spans import KINDS, STATUSES
from opslib.telemetry.importers.values import LONG_JSON, json_texts
from opslib.telemetry.importers.wire import Tag

_MANY = msgspec.json.Decoder(list[list[Tag] | None])
_ONE = msgspec.json.Decoder(list[Tag] | None)
_MAX_KNOWN, _LONGEST = 8_192, 1_024  # texts remembered, and how long each may be


class Told(NamedTuple):
    """The columns that come from a span's tags."""

    attributes: str | None
    kind: str
    status: str
    left_out: bool  # the attributes, since they are too long


class Tags:
    """Remembers what tags say by their text."""

    def __init__(self) -> None:
        self._known: dict[bytes, Told | None] = {}

    def of(self, raws: Sequence[msgspec.Raw], refused: Counter[str]) -> list[Told | None]:
        """Return what each span's tags say; None for what are no tags."""
        texts = [bytes(raw) for raw in raws]
        known = self._known
        new = [text for text in dict.fromkeys(texts) if text not in known]
        told = dict(zip(new, _told_by(new), strict=True))
        found = [known[text] if text in known else told[text] for text in texts]
        if len(known) + len(told) > _MAX_KNOWN:
            known.clear()
        known.update((text, said) for text, said in told.items() if len(text) <= _LONGEST)
        if any(said.left_out for said in told.values() if said):
            refused[LONG_JSON] += sum(said.left_out for said in found if said)
        return found


def _told_by(texts: list[bytes]) -> list[Told | None]:
    every = _decoded(texts)
    tags = [{tag.key: tag.value for tag in found or ()} for found, _ in every]
    attributes = json_texts(tags, Counter())
    columns = zip(every, tags, attributes, _kinds(tags), _statuses(tags), strict=True)
    return [
        Told(text, kind, status, bool(of_span) and text is None) if good else None
        for (_, good), of_span, text, kind, status in columns
    ]


def _decoded(texts: list[bytes]) -> list[tuple[list[Tag] | None, bool]]:
    """Return the tags of each text, and whether it could be decoded."""
    try:
        return [(tags, True) for tags in _MANY.decode(b"[" + b",".join(t or b"null" for t in texts) + b"]")]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [decoded(_ONE, text) if text else (None, True) for text in texts]


def _kinds(tags: Sequence[dict[str, Any]]) -> list[str]:
    words = [tag.get("span.kind") for tag in tags]
    try:
        return [KINDS.get(word, "UNSPECIFIED") for word in words]
    except TypeError:  # a list or an object is no kind
        return [KINDS.get(word, "UNSPECIFIED") if isinstance(word, str) else "UNSPECIFIED" for word in words]


def _statuses(tags: Sequence[dict[str, Any]]) -> list[str]:
    return [_status(tag.get("otel.status_code"), tag.get("error")) for tag in tags]


def _status(code: Any, error: Any) -> str:
    if isinstance(code, str) and code in STATUSES:
        return STATUSES[code]
    return "ERROR" if error in (True, "true") else "UNSET"
