"""Two clusters behind one interface: what a test asks of Kubernetes, over plain HTTP, so that it sees every byte."""

import base64
import json
import ssl
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import yaml

IMAGE = "localhost:5000/python:3.11"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
GROUPS = {
    "deployments": "apis/apps/v1",
    "ingresses": "apis/networking.k8s.io/v1",
    "replicasets": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "customresourcedefinitions": "apis/apiextensions.k8s.io/v1",
    "horizontalpodautoscalers": "apis/autoscaling/v2",
}


class Server(Protocol):
    """An API server that a test may kill; it comes back where it was, with what it had."""

    def kill(self) -> None: ...

    def start(self) -> object: ...


class AnswerError(AssertionError):
    """An answer with an error, where the test wanted none."""


@dataclass
class Cluster:
    """Where a kubeconfig leads. `name` is practice or real, `node` the root of its node's files where that is here.

    `server` is there where it is ours to kill.
    """

    name: str
    kubeconfig: Path
    node: Path | None = None
    server: Server | None = None
    _host: str = ""
    _context: ssl.SSLContext | None = field(default=None, repr=False)
    _no_one: ssl.SSLContext | None = field(default=None, repr=False)  # of a client that shows no certificate
    _token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._host = urlsplit(cluster["server"]).netloc
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        self._no_one = ssl.create_default_context(cadata=authority)
        self._token = user.get("token", "")
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile("wb") as both:
                both.write(base64.b64decode(user["client-certificate-data"]))
                both.write(base64.b64decode(user["client-key-data"]))
                both.flush()
                self._context.load_cert_chain(both.name)

    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        token: str = "",
    ) -> tuple[HTTPSConnection, HTTPResponse]:
        context = self._no_one if token else self._context
        connection = HTTPSConnection(self._host, context=context, timeout=60)
        sent = {"Content-Type": content_type}
        if token or self._token:
            sent["Authorization"] = f"Bearer {token or self._token}"
        connection.request(method, f"/{path}", None if body is None else json.dumps(body), sent)
        return connection, connection.getresponse()

    def call(self, method: str, path: str, body: Any = None, **how: str) -> tuple[int, Any]:
        """Return the status and the answer's JSON."""
        connection, answer = self.open(method, path, body, **how)
        try:
            text = answer.read().decode()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text


@dataclass
class Namespace:
    """A namespace of one test: objects by plural and name."""

    cluster: Cluster
    name: str

    def path(self, plural: str, name: str = "", subresource: str = "", **query: str) -> str:
        parts = [GROUPS.get(plural, "api/v1"), "namespaces", self.name, plural, name, subresource]
        return "/".join(p for p in parts if p) + (f"?{urlencode(query)}" if query else "")

    def ask(self, method: str, path: str, body: Any = None, **how: str) -> Any:
        """Call, and return the answer. Raises AnswerError for an error."""
        status, answer = self.cluster.call(method, path, body, **how)
        if status >= 400:
            raise AnswerError(f"{method} {path}: {answer}")
        return answer

    def create(self, plural: str, document: dict[str, Any], **query: str) -> Any:
        return self.ask("POST", self.path(plural, **query), document)

    def get(self, plural: str, name: str) -> Any:
        return self.ask("GET", self.path(plural, name))

    def items(self, plural: str, **query: str) -> list[Any]:
        return self.ask("GET", self.path(plural, **query))["items"]

    def patch(
        self, plural: str, name: str, change: Any, kind: str = STRATEGIC, subresource: str = "", **query: str
    ) -> Any:
        return self.ask("PATCH", self.path(plural, name, subresource, **query), change, content_type=kind)

    def delete(self, plural: str, name: str, **options: Any) -> Any:
        return self.ask("DELETE", self.path(plural, name), options or None)

    def refusal(self, method: str, path: str, body: Any = None, **how: str) -> dict[str, Any]:
        """Return the Status of a call that must fail."""
        status, answer = self.cluster.call(method, path, body, **how)
        assert status >= 400, answer
        assert answer["kind"] == "Status"
        assert answer["code"] == status
        return answer

    def pods(self, app: str = "") -> list[Any]:
        return self.items("pods", **({"labelSelector": f"app={app}"} if app else {}))

    def ready(self, app: str = "") -> list[Any]:
        return [p for p in self.pods(app) if is_ready(p) and "deletionTimestamp" not in p["metadata"]]

    def events(self, kind: str, name: str = "") -> list[Any]:
        """Return events of one kind of object, in the order in which they first came."""
        selector = f"involvedObject.kind={kind}" + (f",involvedObject.name={name}" if name else "")
        return sorted(
            self.items("events", fieldSelector=selector), key=lambda e: int(e["metadata"]["resourceVersion"])
        )

    @contextmanager
    def watched(self, plural: str) -> Iterator[list[Any]]:
        """Collect what a watch tells, from now on."""
        told: list[Any] = []
        at = self.ask("GET", self.path(plural))["metadata"]["resourceVersion"]
        connection, answer = self.cluster.open(
            "GET", self.path(plural, watch="true", resourceVersion=at, timeoutSeconds="240")
        )

        def read() -> None:
            try:
                for line in answer:
                    told.append(json.loads(line))  # noqa: PERF401 - it is read while it grows
            except (OSError, HTTPException, ValueError):
                return  # closed from outside

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            if connection.sock:
                connection.sock.shutdown(2)
            thread.join(10)
            connection.close()


def is_ready(pod: Any) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def until(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Wait for something to be true, and return it."""
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.1)
    return found


@contextmanager
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    made = Namespace(cluster, f"conformance-{uuid.uuid4().hex[:8]}")
    made.ask("POST", "api/v1/namespaces", {"metadata": {"name": made.name}})
    until(
        lambda: cluster.call("GET", made.path("serviceaccounts", "default"))[0] == 200
    )  # pods are refused before
    yield made
    cluster.call("DELETE", f"api/v1/namespaces/{made.name}")
