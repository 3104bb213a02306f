"""The shop's own manifests, what a lab adds to them, and a client that applies both as kubectl would.

The manifests are applied as they are, by the field manager that a runbook of the kit has too. What the lab adds, where
telemetry goes and the token for control calls, are objects of its own: whoever applies the manifests leaves them alone.
"""

from __future__ import annotations

import base64
import copy
import http.client
import json
import ssl
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from opslib.core.errors import LabError

Document = dict[str, Any]
MANAGER, LAB_MANAGER = "opslib", "opslib-lab"
_TIMEOUT_S = 10.0
_NOT_FOUND = 404


def shop_documents() -> list[Document]:
    """Return the shop's objects in order."""
    files = sorted((resources.files("opslib.lab") / "manifests").iterdir(), key=lambda file: file.name)
    texts = [file.read_text(encoding="utf-8") for file in files if file.name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def additions(namespace: str, config: Mapping[str, str], control_token: str) -> list[Document]:
    """Return what a lab adds, which pods of the shop read where it is there: `config`, and the token."""
    token = base64.b64encode(control_token.encode()).decode()
    return [
        _object("ConfigMap", "shop-telemetry", namespace, dict(config)),
        _object("Secret", "shop-control", namespace, {"CONTROL_TOKEN": token}),
    ]


def _object(kind: str, name: str, namespace: str, data: Mapping[str, str]) -> Document:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "data": dict(data),
    }


def second_release(
    documents: Iterable[Document], service: str, version: str, knobs: Mapping[str, float]
) -> list[Document]:
    """Return a Service and a Deployment of one replica, `SERVICE-canary`, of another version of a service."""
    name = f"{service}-canary"
    made = []
    for original in documents:
        if original["kind"] in {"Service", "Deployment"} and original["metadata"]["name"] == service:
            document = copy.deepcopy(original)
            labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": service}
            document["metadata"] |= {"name": name, "labels": {**document["metadata"]["labels"], **labels}}
            if document["kind"] == "Service":
                document["spec"]["selector"] = {"app.kubernetes.io/name": name}
            else:
                _release(document["spec"], labels, version, knobs)
            made.append(document)
    return made


def _release(spec: Document, labels: Mapping[str, str], version: str, knobs: Mapping[str, float]) -> None:
    spec |= {
        "replicas": 1,
        "selector": {"matchLabels": {"app.kubernetes.io/name": labels["app.kubernetes.io/name"]}},
    }
    metadata = spec["template"]["metadata"]
    metadata["labels"] = {**metadata["labels"], **labels, "app.kubernetes.io/version": version}
    (container,) = spec["template"]["spec"]["containers"]
    container["image"] = f"{container['image'].rpartition(':')[0]}:{version}"
    container["env"].append({"name": "KNOBS", "value": json.dumps(dict(knobs))})
    spec["template"]["spec"].pop("affinity", None)  # which asks for the other release


class Client:
    """Applies and deletes objects of one cluster, over one connection at a time."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._host = cluster["server"].removeprefix("https://")
        self._context = ssl.create_default_context(cadata=authority)
        self._token = config["users"][0]["user"]["token"]

    def apply(self, documents: Iterable[Document], manager: str = MANAGER) -> None:
        """Apply objects one after the other, as their owner. Raises LabError for what is refused."""
        for document in documents:
            path = f"{path_of(document)}?fieldManager={manager}&force=true"
            self._call("PATCH", path, document, "application/apply-patch+yaml")

    def delete(self, documents: Iterable[Document]) -> None:
        """Delete objects, also such as are gone already. Raises LabError for what is refused."""
        for document in documents:
            self._call("DELETE", path_of(document), None, "application/json", gone_is_fine=True)

    def _call(
        self, method: str, path: str, body: Document | None, content_type: str, *, gone_is_fine: bool = False
    ) -> None:
        connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the lab's cluster does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status >= 300 and not (gone_is_fine and answer.status == _NOT_FOUND):
            raise LabError(f"the lab's cluster refused {method} {path.partition('?')[0]}: {text[:300]}")


def path_of(document: Document) -> str:
    """Return an object's path in the API."""
    version, metadata = document["apiVersion"], document["metadata"]
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    kind = document["kind"].lower()
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return f"{'/apis' if '/' in version else '/api'}/{version}{namespace}/{plural}/{metadata['name']}"
