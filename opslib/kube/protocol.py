"""What the rooms ask of a cluster, in plain JSON objects; a test's fake needs no more than this.

Every call ends: with an answer, or with one of the errors of `core.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from opslib.core.errors import OpslibError
from opslib.kube.objects import Kind, Object, Ref

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch tells. QUIET (no object) comes once the first list is told, and then every few seconds."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "QUIET"]
    object: Object


class Cluster(Protocol):
    """One cluster, and the namespace that objects without one belong to."""

    @property
    def namespace(self) -> str: ...

    def identity(self) -> str:
        """Return what no two clusters share: the uid of kube-system, or the server's address where we may not see it."""
        ...

    def version(self) -> str:
        """Return the server's version, such as `v1.34.2`."""
        ...

    def kind(self, api_version: str, kind: str) -> Kind:
        """Return how a kind is served. Raises NotFoundError where it is not."""
        ...

    def get(self, ref: Ref) -> Object | None:
        """Return an object, None where there is none."""
        ...

    def get_all(self, refs: Iterable[Ref]) -> dict[Ref, Object]:
        """Return those of many objects that are there; many of one kind are read as a list. Raises what one raises."""
        ...

    def list_objects(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """Return all objects of a kind, read in pages; without a namespace those of all."""
        ...

    def watch(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Iterator[Change]:
        """List, then watch, and list again where the server has forgotten; ends only when it is closed."""
        ...

    def apply(self, body: Object, *, manager: str, dry_run: bool = False, force: bool = False) -> Object:
        """Server-side apply. Raises ConflictError where other managers own fields and `force` is not given."""
        ...

    def patch(
        self, ref: Ref, operations: Sequence[Object], *, dry_run: bool = False, subresource: str = ""
    ) -> Object:
        """JSON patch. Raises ConflictError where a `test` of it fails."""
        ...

    def create(self, body: Object, *, dry_run: bool = False) -> Object: ...

    def delete(self, ref: Ref, *, uid: str, dry_run: bool = False, orphan: bool = False) -> None:
        """Delete the object with this uid, what it owns in the background; gone already is well."""
        ...

    def logs(
        self, namespace: str, pod: str, container: str, *, tail_lines: int = 20, previous: bool = False
    ) -> str: ...

    def ask_service(self, service: Ref, port: str, path: str) -> int:
        """GET a path of a Service by the API's proxy; return its own status.

        Raises what an API server says that does not let us, or reaches nobody.
        """
        ...

    def may(self, verb: str, kind: Kind, namespace: str = "", name: str = "") -> bool:
        """Tell by SelfSubjectAccessReview whether we have a right."""
        ...

    def each(self, call: Callable[[Item], Result], items: Iterable[Item]) -> list[Result | OpslibError]:
        """Make many calls, at most 32 at a time; results and errors in the order of the items."""
        ...
