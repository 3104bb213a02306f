"""Secrets never reach an output: one redactor for parameters, notebooks, reports, journals and errors.

It masks by key name, by known shapes, and by the values it was told to hide. Of evidence, which holds what customers
sent, it masks more: e-mail addresses, card numbers, values in SQL, and what an environment names itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

MASK = "[redacted]"

_SECRET_KEY = re.compile(
    r"(?:^|[_\-.\s])(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential|"
    r"authorization|auth|cookie|session[_-]?id|pwd)s?(?:$|[_\-.\s])",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Each shape keeps what tells a reader which secret it was, and masks the rest.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL), MASK),
    (re.compile(r"(?i)\b((?:bearer|basic|apikey)\s+)[A-Za-z0-9+/=_\-.~]{8,}"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.\-]*://[^\s:/@]*:)[^\s@/]+(@)"), rf"\1{MASK}\2"),
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\b(?:ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs])[_-][A-Za-z0-9_\-]{16,}"), MASK),
    (
        re.compile(
            r"(?i)((?:password|passwd|secret|token|api[_-]?key|access[_-]?key)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&}]{4,}"
        ),
        rf"\1{MASK}",
    ),
)
# Each shape and each secret key holds one of these; looking for them first spares most texts the expressions.
_MARKS = (
    "private key", "bearer", "basic", "eyj", "akia", "asia", "ghp", "gho", "ghs", "ghu", "github", "glpat", "xox",
    "pass", "pwd", "secret", "token", "key", "credential", "auth", "cookie", "session",
)  # fmt: skip


def may_hold_secret(text: str) -> bool:
    """Tell cheaply whether a text could hold a secret or a secret's name; False is certain, True is not."""
    folded = text.casefold()
    return any(mark in folded for mark in _MARKS) or ("://" in folded and "@" in folded)


def is_secret_key(key: str) -> bool:
    """Tell whether a parameter or field of this name holds a secret (`api_key`, `DB_PASSWORD`, `authToken`)."""
    return _SECRET_KEY.search(_CAMEL.sub("_", key)) is not None


_EMAIL = re.compile(r"[\w.+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})+")
# ISO/IEC 7812: the issuers' ranges and lengths; a time in nanoseconds has digits enough, but not these first ones
_CARD = re.compile(
    r"(?<![\w])(?<!\d\.)(?:4\d{3}(?:[ -]?\d{4}){3}|(?:5[1-5]|2[2-7])\d{2}(?:[ -]?\d{4}){3}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|"
    r"6(?:011|5\d{2})(?:[ -]?\d{4}){3})(?!\w|\.\d)"
)
_SQL_KEY = re.compile(r"^db\.(?:statement|query\.text|query\.parameter\..*)$")
_SQL_VALUE = re.compile(r"'(?:[^']|'')*'|(?<![\w.$:])-?\d+(?:\.\d+)?(?![\w.])")
_DIGITS = re.compile(r"\d{4}[ -]?\d{4}|\d{4}[ -]?\d{6}")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is masked in evidence beside secrets: `keys` are names of attributes and headers, `patterns` expressions."""

    emails: bool = True
    cards: bool = True
    sql_values: bool = True
    keys: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def afterwards(self) -> Redaction:
        """Return the rules for what these have masked already, which need no expression of anybody's."""
        return replace(self, keys=(), patterns=())

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Redaction:
        """Return the rules that a table states, the rest as usual. Raises ValueError for what is no rule."""
        rules: dict[str, Any] = {}
        for name, value in table.items():
            if name in {"emails", "cards", "sql_values"} and isinstance(value, bool):
                rules[name] = value
            elif name in {"keys", "patterns"} and isinstance(value, list) and all(map(_is_rule, value)):
                rules[name] = tuple(value)
            else:
                raise ValueError(f"{name} = {value!r} is no rule of redaction")
        for pattern in rules.get("patterns", ()):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return cls(**rules)


USUAL = Redaction()
SECRETS_ONLY = Redaction(emails=False, cards=False, sql_values=False)


def _is_rule(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000


class Redactor:
    """Masks secrets in text and in nested data; `known` are values to hide wherever they stand."""

    def __init__(self, known: Iterable[str] = (), rules: Redaction = SECRETS_ONLY) -> None:
        # Longest first, so that a secret that contains another is masked whole; very short values would mask prose.
        self._known = sorted({value for value in known if len(value) >= 4}, key=len, reverse=True)
        self._rules = rules
        self._keys = {key.casefold() for key in rules.keys}
        self._patterns = tuple(re.compile(pattern) for pattern in rules.patterns)

    def clean(self, texts: Iterable[str]) -> bool:
        """Tell at one look whether surely none of many texts holds anything to mask."""
        return not self.may_mask("\n".join(texts))

    def may_mask(self, text: str) -> bool:
        """Tell cheaply whether a text, or JSON, could hold something to mask; False is certain, True is not."""
        return may_hold_secret(text) or any(value in text for value in self._known) or any(self._more(text))

    def _more(self, text: str) -> Iterator[bool]:
        rules = self._rules
        yield rules.emails and "@" in text
        yield rules.sql_values and '"db.' in text
        yield rules.cards and _DIGITS.search(text) is not None
        yield bool(self._keys) and any(key in text.casefold() for key in self._keys)
        yield any(pattern.search(text) for pattern in self._patterns)

    def text(self, text: str) -> str:
        for value in self._known:
            text = text.replace(value, MASK)
        if may_hold_secret(text):
            for pattern, replacement in _SHAPES:
                text = pattern.sub(replacement, text)
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        if self._rules.emails and "@" in text:
            text = _EMAIL.sub(MASK, text)
        return _CARD.sub(_masked_card, text) if self._rules.cards else text

    def data(self, value: Any, key: str = "") -> Any:
        """Return a copy of nested dicts, lists and texts with secrets masked."""
        if isinstance(value, dict):
            return {name: self.data(item, str(name)) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item, key) for item in value]
        if key and self._is_hidden(key) and value not in (None, "", True, False):
            return value if isinstance(value, str) and value.startswith(("env:", "file:")) else MASK
        if not isinstance(value, str):
            return value
        if self._rules.sql_values and _SQL_KEY.match(key):
            value = _SQL_VALUE.sub("?", value)
        return self.text(value)

    def _is_hidden(self, key: str) -> bool:
        return is_secret_key(key) or key.casefold() in self._keys


def _masked_card(found: re.Match[str]) -> str:
    """Mask digits that pass the check of ISO/IEC 7812-1, annex B (Luhn); others are no card's."""
    digits = [int(c) for c in found[0] if c.isdigit()]
    doubled = [2 * d - 9 if d > 4 else 2 * d for d in digits[-2::-2]]
    return MASK if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else found[0]
