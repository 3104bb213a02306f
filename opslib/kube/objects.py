"""Objects of a cluster are plain JSON; a `Ref` names one, a `Kind` says at which path its like are served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from opslib.core.errors import ManifestError
from opslib.core.words import printable

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object; `namespace` is empty for what lies in none. `str()` reads `Deployment shop/payment`."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same in every version of the API."""
        return self.group, self.kind, self.namespace, self.name

    @property
    def identity(self) -> str:
        """What plans and journals name: `apps/v1 Deployment shop/payment`; `of_identity` reads it."""
        return f"{self.api_version} {self.kind} {self.namespace}/{self.name}"

    @classmethod
    def of_identity(cls, text: str) -> Ref:
        api_version, kind, where = text.split(" ", 2)
        namespace, _, name = where.partition("/")
        return cls(api_version, kind, namespace, name)

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return printable(f"{self.kind} {where}", 300)


def ref_of(body: Object) -> Ref:
    """Return the reference of an object that has its kind and name."""
    metadata = body["metadata"]
    return Ref(body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"])


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource as discovery lists it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """As `kubectl auth can-i` writes it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of the collection, or of one object. Raises ManifestError for what is no name."""
        root = group_path(self.api_version)
        where = f"/namespaces/{_segment(namespace)}" if self.namespaced and namespace else ""
        parts = (f"/{_segment(part)}" for part in (name, subresource) if part)
        return f"{root}{where}/{_segment(self.plural)}{''.join(parts)}"


def group_path(api_version: str) -> str:
    """Return where a group and version is served: `/apis/apps/v1`, the core one at `/api/v1`."""
    parts = [_segment(part) for part in api_version.split("/")]
    return f"/{'apis' if len(parts) > 1 else 'api'}/{'/'.join(parts)}"


def below(path: str) -> str:
    """Return a path to put below another one. Raises ManifestError for what would lead out of it."""
    last = "/" if path.endswith("/") else ""
    return "".join(f"/{_segment(part)}" for part in path.split("/") if part) + last


def _segment(text: str) -> str:
    """Return one segment of a path; `..` would name the parent, that is another object."""
    if text in {"", ".", ".."} or "/" in text or "%" in text:
        raise ManifestError(
            f"{printable(text, 60)!r} is no name", hint="a name has no slash and is not empty"
        )
    return quote(text, safe=":")
