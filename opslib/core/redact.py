"""Secrets never reach an output: one redactor for parameters, notebooks, reports, journals and errors.

It masks by key name, by known shapes, and by the values it was told to hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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


class Redactor:
    """Masks secrets in text and in nested data; `known` are values to hide wherever they stand."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        # Longest first, so that a secret that contains another is masked whole; very short values would mask prose.
        self._known = sorted({value for value in known if len(value) >= 4}, key=len, reverse=True)

    def clean(self, texts: Iterable[str]) -> bool:
        """Tell at one look whether surely none of many texts holds a secret."""
        whole = "\n".join(texts)
        return not may_hold_secret(whole) and not any(value in whole for value in self._known)

    def text(self, text: str) -> str:
        for value in self._known:
            text = text.replace(value, MASK)
        if not may_hold_secret(text):
            return text
        for pattern, replacement in _SHAPES:
            text = pattern.sub(replacement, text)
        return text

    def data(self, value: Any, key: str = "") -> Any:
        """Return a copy of nested dicts, lists and texts with secrets masked."""
        if isinstance(value, dict):
            return {name: self.data(item, str(name)) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item, key) for item in value]
        if key and is_secret_key(key) and value not in (None, "", True, False):
            return value if isinstance(value, str) and value.startswith(("env:", "file:")) else MASK
        return self.text(value) if isinstance(value, str) else value
