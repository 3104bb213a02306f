"""Images: a reference stands for a command of this machine; nothing is downloaded, and what is not registered fails.

`images.json` in the state folder adds to what the code registers: `{"REPOSITORY": {"command": [...], "args": [...],
"env": {...}, "tags": ["1.0"], "username": "...", "password": "..."}}`; without `tags` every tag is there, with
`username` only a pod with the right pull secret has it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opslib.core.errors import LabError

SHOP_REGISTRY = "localhost:5000/shop"
SHOP_TAGS = ("1.4.0", "1.4.1", "1.5.0")


@dataclass(frozen=True, slots=True)
class Image:
    """What a repository's images run: `command` is the entrypoint, `args` the default arguments."""

    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    username: str = ""
    password: str = ""


class PullError(Exception):
    """An image that cannot be had; the text is the container runtime's."""


class Images:
    """All images that this cluster can run."""

    def __init__(self, images: Mapping[str, Image] | None = None) -> None:
        self._images = dict(images or {})
        self._present: set[str] = set()

    @classmethod
    def load(cls, state: Path) -> Images:
        """Return the shop's images and those of `images.json`. Raises LabError for a file that is not as it must be."""
        images = cls(_shop())
        path = state / "images.json"
        try:
            table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            for repository, entry in table.items():
                images.register(repository, _image(entry))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise LabError(f"{path} cannot be used: {error}", hint="see `opslib.lab.cluster`") from error
        return images

    def register(self, repository: str, image: Image) -> None:
        self._images[repository] = image

    def is_present(self, reference: str) -> bool:
        return reference in self._present

    def pull(self, reference: str, secrets: Iterable[Mapping[str, Any]]) -> Image:
        """Return the image, which is on the node from then on. Raises PullError."""
        repository, tag = split(reference)
        image = self._images.get(repository)
        failed = f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}"'
        if image is None or (image.tags and tag not in image.tags):
            raise PullError(f"rpc error: code = NotFound desc = {failed}: {reference}: not found")
        if image.username and (image.username, image.password) not in _credentials(repository, secrets):
            refused = "pull access denied, repository does not exist or may require authorization"
            text = f"{failed}: {refused}: authorization failed: no basic auth credentials"
            raise PullError(f"rpc error: code = Unknown desc = {text}")
        self._present.add(reference)
        return image


def split(reference: str) -> tuple[str, str]:
    """Return repository and tag; without a tag, latest."""
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    repository, _, tag = last.partition(":")
    return f"{head}/{repository}".lstrip("/"), tag or "latest"


def image_id(reference: str) -> str:
    """Return an ID such as a registry's digest makes: the same for the same reference."""
    repository, _ = split(reference)
    return f"{repository}@sha256:{hashlib.sha256(reference.encode()).hexdigest()}"


def _shop() -> dict[str, Image]:
    command = (sys.executable, "-m", "opslib.lab.shop")
    services = ("storefront", "order", "payment", "risk")
    return {f"{SHOP_REGISTRY}/{name}": Image(command, (name,), tags=SHOP_TAGS) for name in services}


def _image(entry: Mapping[str, Any]) -> Image:
    lists = {name: tuple(map(str, entry.get(name, ()))) for name in ("command", "args", "tags")}
    env = {str(name): str(value) for name, value in entry.get("env", {}).items()}
    if not lists["command"]:
        raise ValueError("an image needs a command")
    return Image(**lists, env=env, username=entry.get("username", ""), password=entry.get("password", ""))


def _credentials(repository: str, secrets: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    registry = repository.partition("/")[0]
    found = set()
    for secret in secrets:
        try:
            config = json.loads(base64.b64decode((secret.get("data") or {}).get(".dockerconfigjson", "")))
            for server, entry in config.get("auths", {}).items():
                if server.removeprefix("https://").removeprefix("http://").partition("/")[0] == registry:
                    auth = base64.b64decode(entry.get("auth", "")).decode().partition(":")
                    found.add((entry.get("username", auth[0]), entry.get("password", auth[2])))
        except (ValueError, AttributeError, binascii.Error):
            continue  # a secret that cannot be read gives no access
    return found
