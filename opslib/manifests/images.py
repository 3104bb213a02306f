"""Image references, and their digests from the small file that the image step writes.

The file is `{"schema": 1, "images": {"payment:v2": "registry.example/shop/payment@sha256:..."}}`. A key without a tag
stands for every tag of its repository; a digest that is written already is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from opslib.core.errors import UsageError
from opslib.core.foreign import read_json
from opslib.core.words import printable
from opslib.kube import Object
from opslib.manifests.model import Manifest
from opslib.manifests.pods import with_containers

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Image:
    """The parts of a reference; the registry is empty where the reference names none (then it is Docker Hub)."""

    registry: str
    repository: str
    tag: str
    digest: str


def parse_image(reference: str) -> Image:
    """Take a reference apart as Docker does: a first part with a dot, a port or `localhost` is a registry."""
    rest, _, digest = reference.partition("@")
    head, slash, tail = rest.partition("/")
    registry = head if slash and (head == "localhost" or any(c in head for c in ".:")) else ""
    path = tail if registry else rest
    last = path.rpartition("/")[2]
    tag = last.partition(":")[2]
    return Image(registry, path.removesuffix(f":{tag}") if tag else path, tag, digest)


def read_images(path: str | Path) -> dict[str, str]:
    """Return the map of references to references with digests. Raises UsageError."""
    try:
        with Path(path).open("rb") as file:
            found = read_json(file.read(_MAX_BYTES))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the images of {path}: {printable(str(error))}") from error
    images = found.get("images") if isinstance(found, dict) and found.get("schema") == 1 else None
    if not isinstance(images, dict):
        raise UsageError(
            f"{path} holds no images", hint='it is {"schema": 1, "images": {"NAME:TAG": "NAME@sha256:..."}}'
        )
    for written, pinned_to in images.items():
        if not isinstance(pinned_to, str) or not _DIGEST.fullmatch(parse_image(pinned_to).digest):
            raise UsageError(f"{path}: {printable(written)} has no digest", hint="sha256: and 64 hex digits")
    return images


def pinned(manifests: Iterable[Manifest], images: Mapping[str, str]) -> tuple[Manifest, ...]:
    """Return the manifests with their images replaced."""

    def pin(container: Object) -> Object:
        image = container.get("image")
        if not isinstance(image, str) or "@" in image:
            return container
        parts = parse_image(image)
        bare = image.removesuffix(f":{parts.tag}") if parts.tag else image
        return {**container, "image": images.get(image, images.get(bare, image))}

    if not images:
        return tuple(manifests)
    return tuple(replace(m, body=with_containers(m.body, pin)) for m in manifests)
