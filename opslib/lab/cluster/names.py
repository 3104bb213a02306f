"""How names, labels, keys and ports may be written; each check returns the complaints in Kubernetes' words, or none."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ENDS = "and must start and end with an alphanumeric character"


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write something: what it must look like, in words, as a pattern, by examples, and how long."""

    words: str
    pattern: str
    examples: tuple[str, ...]
    longest: int

    def complaints(self, text: str) -> list[str]:
        """Return what is wrong with the text, length first."""
        found = [f"must be no more than {self.longest} characters"] if len(text) > self.longest else []
        if len(text) > 4 * self.longest or re.fullmatch(self.pattern, text, re.ASCII) is None:
            examples = " or ".join(f"'{example}', " for example in self.examples)
            found.append(f"{self.words} (e.g. {examples}regex used for validation is '{self.pattern}')")
        return found


DNS_LABEL = Form(
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS}",
    _LABEL,
    ("my-name", "123-abc"),
    63,
)
DNS_SUBDOMAIN = Form(
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS}",
    rf"{_LABEL}(\.{_LABEL})*",
    ("example.com",),
    253,
)
DNS_1035 = Form(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    ("my-name", "abc-123"),
    63,
)
LABEL_VALUE = Form(
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS}",
    f"({_QUALIFIED})?",
    ("MyValue", "my_value", "12345"),
    63,
)
CONFIG_KEY = Form(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "[-._a-zA-Z0-9]+",
    ("key.name", "KEY_NAME", "key-name"),
    253,
)
_NAME_PART = Form(
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS}",
    _QUALIFIED,
    ("MyName", "my.name", "123-abc"),
    63,
)


def qualified_name(text: str) -> list[str]:
    """Check the key of a label or an annotation: a name with an optional `prefix/`."""
    *prefixes, name = text.split("/")
    if len(prefixes) > 1:
        (words,) = _NAME_PART.complaints("/")
        return [
            f"a qualified name {words} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    found = []
    for prefix in prefixes:
        complaints = DNS_SUBDOMAIN.complaints(prefix) if prefix else ["must be non-empty"]
        found += [f"prefix part {complaint}" for complaint in complaints]
    if not name:
        found.append("name part must be non-empty")
    return found + [f"name part {complaint}" for complaint in _NAME_PART.complaints(name)]


def port_name(text: str) -> list[str]:
    """Check the name of a port: at most 15 of a-z, 0-9 and single hyphens inside, with a letter."""
    rules = (
        (len(text) <= 15, "must be no more than 15 characters"),
        (
            re.fullmatch("[-a-z0-9]+", text),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (re.search("[a-z]", text), "must contain at least one letter (a-z)"),
        ("--" not in text, "must not contain consecutive hyphens"),
        (not text.startswith("-") and not text.endswith("-"), "must not begin or end with a hyphen"),
    )
    return [complaint for right, complaint in rules if not right]


def port_number(port: int) -> list[str]:
    return [] if 0 < port < 65536 else ["must be between 1 and 65535, inclusive"]
