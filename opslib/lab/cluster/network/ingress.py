"""Ingress: requests from outside go by host and path to Services, as a usual controller sends them.

The longest path wins, Exact before Prefix, a host before a wildcard before none. Nothing that matches: 404; a Service
without ready endpoints: 503; an endpoint that breaks off: the next one, where that does no harm, else 502.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opslib.lab.cluster.api import Api
from opslib.lab.cluster.network.relay import Hop, Policy, Refused, Request
from opslib.lab.cluster.network.services import Key
from opslib.lab.cluster.options import Object

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One path of one Ingress; host "" is any."""

    host: str
    path: str
    exact: bool
    service: Key
    port: str | int

    def matches(self, host: str, path: str) -> bool:
        if self.host.startswith("*."):
            first, _, rest = host.partition(".")
            if not first or rest != self.host[2:]:
                return False
        elif self.host not in {"", host}:
            return False
        if self.exact:
            return path == self.path
        stem = self.path.rstrip("/")
        return path == stem or path.startswith(f"{stem}/")

    @property
    def rank(self) -> tuple[Any, ...]:
        """What is more particular is greater."""
        return bool(self.host), not self.host.startswith("*"), len(self.host), len(self.path), self.exact


def rules(ingress: Object) -> Iterator[Rule]:
    """Yield the rules of an Ingress; its default backend is the least of them."""
    namespace, spec = ingress["metadata"]["namespace"], ingress["spec"]
    if service := (spec.get("defaultBackend") or {}).get("service"):
        yield Rule("", "/", exact=False, **_backend(namespace, service))
    for rule in spec.get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            if service := path["backend"].get("service"):
                exact = path.get("pathType") == "Exact"
                target = _backend(namespace, service)
                yield Rule(rule.get("host") or "", path.get("path") or "/", exact=exact, **target)


def _backend(namespace: str, service: Object) -> dict[str, Any]:
    port = service.get("port") or {}
    return {"service": (namespace, service["name"]), "port": port.get("number") or port.get("name") or 80}


def controller(api: Api) -> Policy:
    """Return how requests from outside are routed."""

    def route(request: Request) -> Hop:
        host = request.header("host").partition(":")[0].lower()
        path = request.target.partition("?")[0]
        every = (rule for ingress in api.list("ingresses.networking.k8s.io") for rule in rules(ingress))
        matching = [rule for rule in every if rule.matches(host, path)]
        if not matching:
            raise Refused("404 Not Found", "no Ingress has a rule for this host and path")
        best = max(matching, key=lambda rule: rule.rank)
        return Hop(best.service, best.port, request)

    return Policy(route, _ATTEMPTS, hides_failure=True)
