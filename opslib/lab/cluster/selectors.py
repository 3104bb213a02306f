"""Which objects a list or a watch is about: label selectors and field selectors, as text and as objects.

A selector is parsed once and then only compares; the texts of its errors are those of Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opslib.lab.cluster import names
from opslib.lab.cluster.causes import invalid
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.statuses import StatusError, bad_request

_LONGEST = 16_384
_BINARY = {"=": "In", "==": "In", "!=": "NotIn", "in": "In", "notin": "NotIn"}
_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^=!(),<> \t\r\n]+)|$)")
_POD_FIELDS = (
    *(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
    ),
    *("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
)
_EVENT_FIELDS = (
    *(f"involvedObject.{field}" for field in ("kind", "namespace", "name", "uid", "apiVersion")),
    *("involvedObject.resourceVersion", "involvedObject.fieldPath"),
    *("reason", "reportingComponent", "source", "type"),
)
_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": _POD_FIELDS,
    "events": _EVENT_FIELDS,
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "jobs.batch": ("status.successful",),
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; `operator` as objects write it: In, NotIn, Exists, DoesNotExist."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator in ("NotIn", "DoesNotExist"):
            return value is None or (self.operator == "NotIn" and value not in self.values)
        return value is not None and (self.operator == "Exists" or value in self.values)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements together; none selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        return all(requirement.matches(labels or {}) for requirement in self.requirements)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Terms of path, whether equal is wanted, and value; a field that an object lacks is the empty text."""

    terms: tuple[tuple[str, bool, str], ...] = ()

    def matches(self, obj: Mapping[str, Any]) -> bool:
        return all((_field(obj, path) == value) is equal for path, equal, value in self.terms)


def parse_labels(text: str) -> LabelSelector:
    """Read `app=shop,tier in (a, b),!old`. Raises StatusError 400."""
    tokens = _Tokens(text)
    found: list[Requirement] = []
    while tokens.peek():
        if tokens.peek() != "!" and not _is_word(tokens.peek()):
            raise bad_request(f"found '{tokens.peek()}', expected: !, identifier, or 'end of string'")
        try:
            found.append(_requirement(tokens))
        except ValueError as error:
            raise bad_request(f"unable to parse requirement: {error}") from None
        _separator(tokens)
    return LabelSelector(tuple(found))


def match_label_selector(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """Tell whether a LabelSelector object (matchLabels, matchExpressions) matches; no selector matches nothing."""
    if selector is None:
        return False
    return of_object(selector).matches(labels)


def of_object(selector: Mapping[str, Any]) -> LabelSelector:
    """Return the requirements of a LabelSelector object; an empty one matches everything."""
    equal = [
        Requirement(key, "In", frozenset([value]))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    expressions = [
        Requirement(each["key"], each["operator"], frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    ]
    return LabelSelector((*equal, *expressions))


def parse_fields(text: str, resource: Resource) -> FieldSelector:
    """Read `spec.nodeName=node1,status.phase!=Running`. Raises StatusError 400, also for a field not selectable."""
    if len(text) > _LONGEST:
        raise bad_request(f"the selector is longer than {_LONGEST} characters")
    terms = [term for term in re.findall(r"((?:\\.|[^,\\])*\\?)(?:,|$)", text) if term]
    return FieldSelector(tuple(_term(term, text, resource) for term in terms))


def _term(term: str, text: str, resource: Resource) -> tuple[str, bool, str]:
    match = re.match(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
    if match is None:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
    path, operator, value = match.groups()
    own = _FIELDS.get(resource.name, ())
    everywhere = (
        ("metadata.name", "metadata.namespace") if resource.namespaced or not own else ("metadata.name",)
    )
    if path not in everywhere + own:
        raise _unknown_field(path, resource)
    return path, operator != "!=", _unescape(value)


def _unknown_field(path: str, resource: Resource) -> StatusError:
    if resource.name == "jobs.batch":
        return bad_request(f'field label "{path}" not supported for Job')
    if resource.name in _FIELDS:
        return bad_request(f"field label not supported: {path}")
    return bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _unescape(value: str) -> str:
    wrong = re.search(r"\\([^\\,=]|$)", re.sub(r"\\[\\,=]", "", value))
    if wrong:
        raise bad_request(f"invalid field selector: invalid escape sequence: {wrong[0]}")
    bare = re.search("[,=]", re.sub(r"\\.", "", value))
    if bare:
        raise bad_request(f"invalid field selector: unescaped character in value: {ord(bare[0])}")
    return re.sub(r"\\(.)", r"\1", value)


def _field(obj: Mapping[str, Any], path: str) -> str:
    found: Any = obj
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if path == "source" and isinstance(found, Mapping):
        found = found.get("component")
    if path == "status.successful":
        found = (obj.get("status") or {}).get("succeeded", 0)
    if isinstance(found, bool) or path in ("spec.hostNetwork", "spec.unschedulable"):
        return "true" if found else "false"
    return "" if found is None else str(found)


class _Tokens:
    """The tokens of a label selector and how far they are read; "" is the end."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise bad_request(f"the selector is longer than {_LONGEST} characters")
        self._left = [match[1] or match[2] for match in _TOKEN.finditer(text) if match[1] or match[2]][::-1]

    def peek(self) -> str:
        return self._left[-1] if self._left else ""

    def take(self) -> str:
        return self._left.pop() if self._left else ""


def _is_word(token: str) -> bool:
    return bool(token) and token[0] not in "=!(),<>"


def _separator(tokens: _Tokens) -> None:
    token = tokens.take()
    if token not in ("", ","):
        raise bad_request(f"found '{token}', expected: ',' or 'end of string'")
    following = tokens.peek()
    if token and following != "!" and not _is_word(following):
        raise bad_request(f"found '{following}', expected: identifier after ','")


def _requirement(tokens: _Tokens) -> Requirement:
    absent = tokens.peek() == "!" and bool(tokens.take())
    key = tokens.take()
    if not _is_word(key):
        raise ValueError(f"found '{key}', expected: identifier")
    _check("<nil>", key, names.qualified_name(key))
    if absent or tokens.peek() in ("", ","):
        return Requirement(key, "DoesNotExist" if absent else "Exists")
    operator = tokens.take()
    if operator not in _BINARY:
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    values = _values(tokens) if operator in ("in", "notin") else frozenset([_exact(tokens)])
    for n, value in enumerate(sorted(values)):
        _check(f"values[{n}][{key}]", value, names.LABEL_VALUE.complaints(value))
    return Requirement(key, _BINARY[operator], values)


def _exact(tokens: _Tokens) -> str:
    if tokens.peek() in ("", ","):
        return ""
    token = tokens.take()
    if not _is_word(token):
        raise ValueError(f"found '{token}', expected: identifier")
    return token


def _values(tokens: _Tokens) -> frozenset[str]:
    """Read `(a, b)`; a missing value between commas is the empty text."""
    opening = tokens.take()
    if opening != "(":
        raise ValueError(f"found '{opening}' expected: '('")
    found, value = set(), ""
    while True:
        word = tokens.take()
        if word in (",", ")"):
            found.add(value)
            value = ""
            if word != ",":
                return frozenset(found)
        elif not _is_word(word):
            raise ValueError(f"found '{word}', expected: ',', ')' or identifier")
        elif value:
            raise ValueError(f"found '{word}', expected: ',' or ')'")
        else:
            value = word


def _check(path: str, value: str, complaints: list[str]) -> None:
    if complaints:
        raise ValueError(f"{path}: {invalid(path, value, '; '.join(complaints)).message}")
