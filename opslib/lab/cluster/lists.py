"""Lists: which objects, as of which revision, page by page. All pages of a list show the same moment.

A continue token is the base64 of the revision of the first page and the key of the last object seen.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from opslib.lab.cluster.causes import forbidden
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.selectors import FieldSelector, LabelSelector, parse_fields, parse_labels
from opslib.lab.cluster.statuses import Cause, StatusError, bad_request, gone, invalid_options, timeout
from opslib.lab.cluster.store import Store

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource are meant."""

    namespace: str = ""
    labels: LabelSelector | None = None
    fields: FieldSelector | None = None

    @classmethod
    def of(cls, namespace: str, query: Mapping[str, str], resource: Resource) -> Selection:
        """Read a request's selectors. Raises StatusError 400."""
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        return cls(
            namespace,
            parse_labels(labels) if labels else None,
            parse_fields(fields, resource) if fields else None,
        )

    @property
    def narrow(self) -> bool:
        return self.labels is not None or self.fields is not None

    def matches(self, obj: Object) -> bool:
        metadata = obj["metadata"]
        if self.namespace and metadata.get("namespace", "") != self.namespace:
            return False
        if self.labels is not None and not self.labels.matches(metadata.get("labels") or {}):
            return False
        return self.fields is None or self.fields.matches(obj)


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list; `token` continues it, `remaining` is how many follow where that is known."""

    items: list[Object]
    revision: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, Any]:
        known: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.token:
            known["continue"] = self.token
        if self.remaining is not None:
            known["remainingItemCount"] = self.remaining
        return known


def list_page(store: Store, resource: Resource, selection: Selection, query: Mapping[str, str]) -> Page:
    """Return what a list request asks for. Raises StatusError 400, 410, 422, 504."""
    token = query.get("continue", "")
    start = ("", "")
    if token:
        revision, start = _token(token, query)
        found = store.scan_at(resource.name, selection.namespace, revision)
        if found is None:
            raise gone(_TOO_OLD, _encoded(store.revision, start))
    else:
        revision = _revision(store, query)
        found = store.scan_at(resource.name, selection.namespace, revision)
        if found is None:
            raise gone("The resourceVersion for the provided list is too old.")
    wanted = [obj for obj in found if selection.matches(obj) and (not token or _key(obj) > start)]
    return _cut(wanted, revision, _limit(query), selection)


def _cut(wanted: list[Object], revision: int, limit: int, selection: Selection) -> Page:
    if not limit or len(wanted) <= limit:
        return Page(wanted, revision)
    page = wanted[:limit]
    remaining = None if selection.narrow else len(wanted) - limit
    return Page(page, revision, _encoded(revision, _key(page[-1])), remaining)


def _revision(store: Store, query: Mapping[str, str]) -> int:
    """Return as of which revision a list is to be: the present one unless an exact one is asked for."""
    text, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if not text:
        if match:
            cause = forbidden(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
            raise invalid_options("ListOptions", [cause])
        return store.revision
    asked = revision_of(text)
    if asked > store.revision:
        cause = Cause("ResourceVersionTooLarge", "Too large resource version")
        raise timeout(f"Too large resource version: {asked}, current: {store.revision}", [cause])
    return asked if match == "Exact" and asked else store.revision


def revision_of(text: str) -> int:
    """Read a resourceVersion. Raises StatusError 400."""
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise bad_request(f"resourceVersion: Invalid value: {text[:64]!r}: invalid resource version")
    return int(text)


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit") or "0"
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise bad_request(f"limit: Invalid value: {text[:64]!r}")
    return int(text)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _encoded(revision: int, key: tuple[str, str]) -> str:
    raw = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": revision, "start": f"{key[0]}/{key[1]}\0"})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _token(token: str, query: Mapping[str, str]) -> tuple[int, tuple[str, str]]:
    if query.get("resourceVersion", "0") not in {"", "0"}:
        raise bad_request("specifying resource version is not allowed when using continue")
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = values["start"].rstrip("\0").partition("/")
        return int(values["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_token(token) from error


def _bad_token(token: str) -> StatusError:
    return bad_request(f"invalid continue token: {token[:64]!r}")
