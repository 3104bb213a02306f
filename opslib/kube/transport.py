"""The one importer of `kubernetes`: it reads kubeconfigs and signs requests; the bytes go over its urllib3 pool.

The client's own layers are left out: typed models refuse unknown fields, and no call of theirs has a time-out.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from opslib.core.errors import ClusterError, UsageError
from opslib.core.words import printable
from opslib.kube.wire import MAX_ANSWER_BYTES, MAX_LINE_BYTES, Request, Response

CONNECT_TIMEOUT_S = 5.0
POOL = 48  # connections that are kept: 32 calls in flight, and watches
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def from_kubeconfig(files: str, context: str) -> tuple[PoolTransport, str]:
    """Return a transport by a kubeconfig (several as KUBECONFIG has them) and the context's namespace.

    Raises:
        UsageError: no such file, no such context, or the file is no kubeconfig.
    """
    found = _configuration()
    try:
        config.load_kube_config(files, context or None, found, persist_config=False)
        contexts, current = config.list_kube_config_contexts(files)
    except Exception as error:  # a kubeconfig fails in whatever way its reader stumbles over it
        raise UsageError(
            f"cannot use the kubeconfig {files}: {printable(str(error))}",
            hint="`kubectl config get-contexts` lists what there is; set kube_context and kubeconfig",
        ) from error
    chosen = next((c for c in contexts if c["name"] == context), current) if context else current
    return PoolTransport(found), str(chosen["context"].get("namespace") or "default")


def in_cluster() -> tuple[PoolTransport, str] | None:
    """Return a transport by the service account of the pod that we run in; None where it is no pod."""
    if not _IN_CLUSTER.exists():
        return None
    found = _configuration()
    try:
        config.load_incluster_config(found)
        namespace = (_IN_CLUSTER.parent / "namespace").read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError, ValueError) as error:  # a missing file, or one that is no text
        raise UsageError(
            f"cannot use the service account: {error}", hint="set kube_context or kubeconfig"
        ) from error
    return PoolTransport(found), namespace


def _configuration() -> Any:
    found = client.Configuration()
    found.connection_pool_maxsize = POOL
    return found


class PoolTransport:
    """Sends over one pool of connections; safe to share between threads."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._pool = client.ApiClient(configuration).rest_client.pool_manager
        self._credentials = threading.Lock()  # a hook may run a program to renew them

    @property
    def host(self) -> str:
        return str(self._configuration.host)

    def send(self, request: Request) -> Response:
        answer = self._open(request)
        with _as_cluster_error(self.host, request):
            body = answer.read(MAX_ANSWER_BYTES + 1, decode_content=True)
            if len(body) > MAX_ANSWER_BYTES:
                answer.close()
                raise ClusterError(f"{self.host} answered more than {MAX_ANSWER_BYTES // 1024**2} MiB")
            answer.release_conn()
        return _response(answer, body)

    @contextmanager
    def stream(self, request: Request) -> Iterator[tuple[Response, Iterator[bytes]]]:
        answer = self._open(request)
        try:
            with _as_cluster_error(self.host, request):
                body = b"" if answer.status == 200 else answer.read(MAX_LINE_BYTES)
            yield _response(answer, body), self._lines(answer, request)
        finally:
            answer.close()

    def _lines(self, answer: Any, request: Request) -> Iterator[bytes]:
        rest = b""
        chunks = answer.stream(2**16, decode_content=True)
        while True:
            with _as_cluster_error(self.host, request):
                chunk = next(chunks, None)
            if chunk is None:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > MAX_LINE_BYTES:
                raise ClusterError(f"{self.host} sent a line of more than {MAX_LINE_BYTES // 1024**2} MiB")

    def _open(self, request: Request) -> Any:
        query = f"?{urlencode(request.query)}" if request.query else ""
        headers = {"Accept": "application/json", "User-Agent": "opslib", **self._signature()}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        with _as_cluster_error(self.host, request):
            return self._pool.request(
                request.method,
                f"{self.host}{request.path}{query}",
                body=None if request.body is None else json.dumps(request.body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(
                    connect=min(CONNECT_TIMEOUT_S, request.timeout_s), read=request.timeout_s
                ),
                preload_content=False,
                retries=False,
                redirect=False,
            )

    def _signature(self) -> dict[str, str]:
        with self._credentials:
            settings = self._configuration.auth_settings()
        return {a["key"]: a["value"] for a in settings.values() if a["in"] == "header" and a["value"]}


def _response(answer: Any, body: bytes) -> Response:
    return Response(answer.status, {k.lower(): v for k, v in answer.headers.items()}, body)


@contextmanager
def _as_cluster_error(host: str, request: Request) -> Iterator[None]:
    """Say in our words why there is no whole answer."""
    try:
        yield
    except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError) as error:
        raise ClusterError(
            f"cannot connect to the API server {host}",
            hint="is it running, and is it reachable from here? `kubectl version` asks the same address",
            sent=False,
        ) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise ClusterError(
            f"the API server {host} did not answer {request.method} {request.path} within {request.timeout_s:g} s",
            hint="it is overloaded or cut off; what was asked may have been done",
        ) from error
    except urllib3.exceptions.SSLError as error:
        raise ClusterError(
            f"no trusted connection to the API server {host}: {printable(str(error))}",
            hint="the kubeconfig names another authority than the one that signed the server's certificate",
            sent=False,
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterError(
            f"the answer of the API server {host} broke off: {printable(str(error))}",
            hint="what was asked may have been done",
        ) from error
