"""A manifest is an object as somebody wrote it, and where: every finding and error about it names that place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from opslib.core.errors import ManifestError
from opslib.core.words import printable
from opslib.kube import Object, Ref, ref_of


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object; `source` is `FILE:LINE`. The body is never changed in place."""

    body: Object
    source: str

    @property
    def ref(self) -> Ref:
        return ref_of(self.body)


def manifests_of(value: Any, source: str) -> Iterator[Manifest]:
    """Yield the objects of one document, those of a List one by one. Raises ManifestError for what is no object."""
    if not isinstance(value, dict):
        raise ManifestError(f"{source}: a manifest is a mapping", hint="each document holds one object")
    items, metadata = value.get("items"), value.get("metadata")
    if (
        str(value.get("kind", "")).endswith("List")
        and isinstance(items, list)
        and not (metadata or {}).get("name")
    ):
        for item in items:
            yield from manifests_of(item, source)
        return
    for key in ("apiVersion", "kind"):
        if not isinstance(value.get(key), str) or not value[key]:
            raise ManifestError(
                f"{source}: `{key}` is missing", hint="every object has apiVersion, kind and a name"
            )
    named = metadata if isinstance(metadata, dict) else {}
    if not isinstance(named.get("name"), str) or not named["name"]:
        raise ManifestError(
            f"{source}: the {printable(value['kind'], 60)} has no metadata.name",
            hint="what is applied again and again needs a name; generateName makes a new object each time",
        )
    if not isinstance(named.get("namespace", ""), str):
        raise ManifestError(f"{source}: metadata.namespace is no text", hint="quote it")
    yield Manifest(value, source)


def refuse_doubles(manifests: Iterable[Manifest]) -> None:
    """Raise ManifestError where two manifests are the same object."""
    seen: dict[tuple[str, str, str, str], str] = {}
    for manifest in manifests:
        if manifest.ref.key in seen:
            first = seen[manifest.ref.key]
            raise ManifestError(
                f"{manifest.source}: {manifest.ref} stands in {first} already", hint="take one of the two out"
            )
        seen[manifest.ref.key] = manifest.source
