"""Where the telemetry servers are that a lab sends to beside its capture, as a file of JSON says it.

Keys are servers, `jaeger`, `prometheus`, `elasticsearch` and `rsyslog`, also with a variant behind a dash; what else
the file says of them is left alone. Each may be absent, not all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslib.core.errors import UsageError
from opslib.core.foreign import read_json

_HINT = (
    '{"jaeger": {"url": "http://127.0.0.1:16686", "otlp": "http://127.0.0.1:4318"}, "prometheus": {"url": "...", '
    '"scrape": "FOLDER"}, "elasticsearch": {"url": "..."}, "rsyslog": {"folder": "FOLDER"}}'
)


@dataclass(frozen=True, slots=True)
class Servers:
    """URLs, and the folders for log files and for Prometheus' file of targets; "" for what there is not."""

    jaeger: str = ""
    otlp: str = ""
    prometheus: str = ""
    scrape: str = ""
    elasticsearch: str = ""
    logs: str = ""


def read_servers(path: Path) -> Servers:
    """Read the file. Raises UsageError."""
    try:
        given = read_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}", hint=f"a file such as {_HINT}") from error
    if not isinstance(given, dict) or not all(isinstance(said, dict) for said in given.values()):
        raise UsageError(f"{path} does not say where servers are", hint=f"such as {_HINT}")
    jaeger, prometheus, store, shipper = (
        _server(given, name) for name in ("jaeger", "prometheus", "elasticsearch", "rsyslog")
    )
    found = Servers(
        jaeger=_url(jaeger, "url", path),
        otlp=_url(jaeger, "otlp", path),
        prometheus=_url(prometheus, "url", path),
        scrape=_folder(prometheus, "scrape", path),
        elasticsearch=_url(store, "url", path),
        logs=_folder(shipper, "folder", path),
    )
    if bool(found.jaeger) != bool(found.otlp) or bool(found.elasticsearch) != bool(found.logs):
        raise UsageError(
            f"{path}: jaeger needs `url` and `otlp`; elasticsearch needs `url`, and rsyslog its `folder`",
            hint=f"such as {_HINT}",
        )
    if found == Servers():
        raise UsageError(f"{path} names no server", hint=f"such as {_HINT}")
    return found


def _server(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what is said of a server, of several variants of the last by name."""
    variants = sorted(key for key in given if key.startswith(f"{name}-"))
    found: Mapping[str, Any] = given.get(name) or (given[variants[-1]] if variants else {})
    return found


def _url(said: Mapping[str, Any], key: str, path: Path) -> str:
    url = said.get(key, "")
    if url and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        raise UsageError(f"{path}: `{key}` is no url", hint=f"such as {_HINT}")
    return str(url).rstrip("/")


def _folder(said: Mapping[str, Any], key: str, path: Path) -> str:
    folder = said.get(key, "")
    if not isinstance(folder, str) or "\0" in folder:
        raise UsageError(f"{path}: `{key}` is no folder", hint=f"such as {_HINT}")
    return str((path.parent / folder).absolute()) if folder else ""
