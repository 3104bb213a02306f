"""Writes to parts of objects that are actions: evict a pod, make a token of a service account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opslib.lab.cluster import statuses
from opslib.lab.cluster.access import Tokens
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.decode import decode
from opslib.lab.cluster.discovery import PARTS
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import DeleteOptions, Object
from opslib.lab.cluster.parameters import delete_options
from opslib.lab.cluster.paths import Target
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.schema import schema_of

Evict = Callable[[Api, str, str, DeleteOptions], Object]  # raises StatusError 429 where a budget forbids it

_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_HOUR_S = 3600
_SHORTEST_S = 600


def act(api: Api, tokens: Tokens, evict: Evict, target: Target, obj: Object) -> Object:
    """Do what a POST to `pods/eviction` or `serviceaccounts/token` asks for."""
    namespace, name, part = target.namespace, target.name, target.subresource
    group, version, kind, _ = PARTS[part]
    asked = Resource(group, version, kind, part)
    obj, _ = decode(schema_of(asked), asked, obj)
    if part == "eviction":
        evict(api, namespace, name, delete_options({}, obj.get("deleteOptions")))
    elif part == "token":
        return _token(api, tokens, obj, namespace, name)
    else:
        raise statuses.method_not_allowed()
    return _SUCCESS


def _token(api: Api, tokens: Tokens, obj: Object, namespace: str, name: str) -> Object:
    account = api.get("serviceaccounts", namespace, name)
    spec: dict[str, Any] = obj.get("spec") or {}
    expires_s = max(spec.get("expirationSeconds") or _HOUR_S, _SHORTEST_S)
    bound = spec.get("boundObjectRef") or {}
    pod = api.get("pods", namespace, str(bound.get("name", ""))) if bound.get("kind") == "Pod" else None
    audience = next(iter(spec.get("audiences") or ()), "")
    token = tokens.issue(namespace, account, pod=pod, audience=audience, expires_s=expires_s)
    now_ns = api.clock.now_ns()
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": stamp(now_ns)},
        "spec": {**spec, "expirationSeconds": expires_s},
        "status": {"token": token, "expirationTimestamp": stamp(now_ns + expires_s * 1_000_000_000)},
    }
