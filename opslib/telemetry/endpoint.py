"""Where a telemetry server is and how it knows us, as an environment says it. Credentials are references, never values."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opslib.core.errors import UsageError, near_names
from opslib.core.settings import SourceSettings, secret_of
from opslib.core.words import printable

OPTIONS = frozenset({"auth", "tenant", "headers", "ca", "cert", "cert_key", "timeout_s"})
_SCHEMES = ("basic", "bearer", "api_key")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how it knows us. `timeout_s` bounds each wait for the network, `deadline_s` a whole answer."""

    kind: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: Path | None = None  # a bundle that is trusted instead of the system's
    cert: Path | None = None  # ours, for mutual TLS
    cert_key: Path | None = None
    timeout_s: float = 10.0
    deadline_s: float = 60.0
    max_bytes: int = 512 * 1024**2


def endpoint(settings: SourceSettings, where: str, own: frozenset[str], origin: Path | None) -> Endpoint:
    """Read where and how to ask. `own` are the backend's own options. Raises UsageError for what cannot be.

    `auth = "env:NAME"` (what it holds: `user:password`, or a whole `Bearer ...`), or `{bearer = "env:NAME"}` with
    `basic`, `bearer` or `api_key`; `tenant` is sent as X-Scope-OrgID; values of `headers` are references too.
    """
    options = settings.options
    unknown = set(options) - OPTIONS - own
    if unknown:
        word = min(unknown)
        raise UsageError(f"{where} has no option {word!r}", hint=near_names(word, OPTIONS | own))
    url = settings.url.rstrip("/")
    if not url.startswith(("http://", "https://")) or "@" in url:
        raise UsageError(
            f"{where} needs a `url` of http or https, without credentials in it",
            hint=f'such as {{kind = "{settings.kind}", url = "https://{settings.kind}.example", auth = "env:NAME"}}',
        )
    timeout_s = options.get("timeout_s", 10.0)
    if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= 600:
        raise UsageError(f"{where}: timeout_s is a number of seconds up to 600", hint="timeout_s = 10")
    ca, cert, cert_key = (_file(options.get(name), where, origin) for name in ("ca", "cert", "cert_key"))
    headers = _headers(options, where, origin)
    return Endpoint(settings.kind, url, headers, ca, cert, cert_key, timeout_s=float(timeout_s))


def _file(value: Any, where: str, origin: Path | None) -> Path | None:
    if value is None:
        return None
    path = Path(str(value)) if origin is None else origin.parent / str(value)
    if not path.is_file():
        raise UsageError(f"{where}: there is no file {path}", hint="a file of PEM text")
    return path


def _headers(options: Mapping[str, Any], where: str, origin: Path | None) -> dict[str, str]:
    given = options.get("headers", {})
    if not isinstance(given, dict):
        raise UsageError(f"{where}: headers is a table", hint='headers = {"X-Team" = "env:TEAM"}')
    headers = {
        str(name): secret_of(str(reference), f"{where}, header {name}", origin=origin)
        for name, reference in given.items()
    }
    if "tenant" in options:
        headers["X-Scope-OrgID"] = str(options["tenant"])
    if "auth" in options:
        headers["Authorization"] = _authorization(options["auth"], f"{where}, auth", origin)
    if not all(value.isprintable() for value in headers.values()):
        raise UsageError(f"{where}: a header holds what no header can", hint="one line of plain text")
    return headers


def _authorization(auth: Any, where: str, origin: Path | None) -> str:
    if isinstance(auth, str):
        secret = secret_of(auth, where, origin=origin)
        whole = secret.partition(" ")[0].lower() in {"basic", "bearer", "apikey"}
        return secret if whole else _basic(secret, where)
    if not isinstance(auth, dict) or len(auth) != 1 or next(iter(auth)) not in _SCHEMES:
        raise UsageError(f"{where} is a reference or a table of one", hint='auth = {bearer = "env:TOKEN"}')
    ((scheme, reference),) = auth.items()
    secret = secret_of(str(reference), where, origin=origin)
    if scheme == "basic":
        return _basic(secret, where)
    return f"{'Bearer' if scheme == 'bearer' else 'ApiKey'} {secret}"


def _basic(secret: str, where: str) -> str:
    user, colon, password = secret.partition(":")
    if not colon:
        raise UsageError(f"{where}: what is behind it is no user:password", hint="or name its scheme")
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def tls_context(where: Endpoint) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=where.ca)
        if where.cert is not None:
            context.load_cert_chain(where.cert, where.cert_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{where.kind} at {where.url}: cannot use its certificates: {printable(str(error))}",
            hint="ca, cert and cert_key are files of PEM text",
        ) from error
    return context
