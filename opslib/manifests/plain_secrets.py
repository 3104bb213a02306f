"""Does a text that everybody may read hold a secret? By its name, by known shapes, or by how random it looks.

Random means: a word of 24 characters or more with capital and small letters and digits, of more than 4.2 bits per
character (Shannon). Hexadecimal digests and UUIDs have no capital letters, and prose repeats itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from opslib.core.redact import Redactor

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAME = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|private_?key|access_?key|secret_?key|credentials?)$"
)
_NO_VALUE = re.compile(
    r"|\$[({].*[)}]|<.*>|\*+|x+|true|false|[0-9]{1,5}|(?:env|file|vault):.*", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z0-9+_=-]{24,}")
_BITS = 4.2
_REDACTOR = Redactor()


def looks_secret(name: str, value: str) -> str:
    """Return why a value looks like a secret (``""`` where it does not); the reason does not repeat it."""
    if _NO_VALUE.fullmatch(value.strip()):
        return ""
    if _NAME.search(_CAMEL.sub("_", name).lower().replace("-", "_").replace(".", "_")):
        return "its name says that it is a secret"
    if _REDACTOR.text(value) != value:
        return "it has the shape of a credential"
    if any(_is_random(word) for word in _WORD.findall(value)):
        return "it holds a long random word"
    return ""


def secret_arguments(arguments: Iterable[object]) -> Iterator[str]:
    """Yield the reasons why arguments of a command look like secrets; `--token X` is looked at as one."""
    before = ""
    for argument in arguments:
        text = str(argument)
        flag = text.startswith("-")
        name, _, value = text.partition("=") if flag else (before, "", text)
        if value and (reason := looks_secret(name.lstrip("-"), value)):
            yield reason
        before = text if flag and not value else ""


def _is_random(word: str) -> bool:
    mixed = (
        any(c.isupper() for c in word) and any(c.islower() for c in word) and any(c.isdigit() for c in word)
    )
    return mixed and entropy_bits(word) > _BITS


def entropy_bits(text: str) -> float:
    """Return Shannon's entropy of a text's characters, in bits per character."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
