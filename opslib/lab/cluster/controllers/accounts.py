"""What every namespace has from its beginning and gets back when it is deleted: an account for pods, and the cluster's CA."""

from __future__ import annotations

from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.store import Event

ROOT_CA = "kube-root-ca.crt"


class Accounts:
    """Keeps ServiceAccount `default` and ConfigMap `kube-root-ca.crt` in every namespace; `ca_pem` is what it holds."""

    def __init__(self, api: Api, ca_pem: str) -> None:
        self._api = api
        self._ca_pem = ca_pem

    def keys(self, event: Event) -> set[Key]:
        if event.resource == "namespaces":
            return {objects.key_of(event.object)} if event.type == "ADDED" else set()
        namespace, name = objects.key_of(event.object)
        ours = (event.resource, name) in {("serviceaccounts", "default"), ("configmaps", ROOT_CA)}
        return {("", namespace)} if ours and event.type != "ADDED" else set()

    def reconcile(self, key: Key) -> None:
        namespace = objects.find(self._api, "namespaces", *key)
        if namespace is None or objects.is_deleted(namespace):
            return
        if objects.find(self._api, "serviceaccounts", key[1], "default") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self._api.create("serviceaccounts", key[1], account, objects.WRITE)
        data = {"ca.crt": self._ca_pem}
        present = objects.find(self._api, "configmaps", key[1], ROOT_CA)
        if present is None:
            config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROOT_CA}, "data": data}
            self._api.create("configmaps", key[1], config, objects.WRITE)
        elif present.get("data") != data:
            self._api.update("configmaps", key[1], ROOT_CA, present | {"data": data}, objects.WRITE)
