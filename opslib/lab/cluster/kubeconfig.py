"""The file by which kubectl and clients find the cluster, and the secrets that last as long as its state folder."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

NAME = "opslib-practice"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a cluster keeps over restarts: its administrator's token, the key of its tokens, its port (0: none yet)."""

    admin_token: str
    key: bytes
    port: int

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Read it, or make a new one where there is none."""
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            return cls(known["admin_token"], bytes.fromhex(known["key"]), int(known["port"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(secrets.token_urlsafe(32), secrets.token_bytes(32), 0)

    def write(self, path: Path, port: int) -> None:
        known = {"admin_token": self.admin_token, "key": self.key.hex(), "port": port}
        write_private(path, json.dumps(known))


def kubeconfig(server: str, authority_pem: bytes, token: str) -> str:
    """Return a kubeconfig for the administrator, as JSON, which is YAML too."""
    authority = base64.b64encode(authority_pem).decode()
    context = {"cluster": NAME, "user": NAME, "namespace": "default"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": NAME, "context": context}],
        "current-context": NAME,
    }
    return json.dumps(content, indent=1) + "\n"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
