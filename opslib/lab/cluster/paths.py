"""What a request is about: its path, method and parameters as a verb on a resource. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opslib.lab.cluster.access import Ask
from opslib.lab.cluster.resources import Resource, Resources
from opslib.lab.cluster.watches import truth

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
_NAMESPACE_PARTS = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Target:
    """One resource, or an object of it, or a part of that; `version` is the one that the client speaks."""

    resource: Resource
    version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.resource.group}/{self.version}" if self.resource.group else self.version

    def ask(self, verb: str, query: Mapping[str, str]) -> Ask:
        """Return what is to be allowed; a list of one name asks for that name only."""
        name = self.name
        for term in query.get("fieldSelector", "").split(","):
            if not name and term.startswith("metadata.name="):
                name = term.removeprefix("metadata.name=").lstrip("=")
        res = self.resource
        return Ask(verb, res.group, res.plural, self.subresource, self.namespace, name)


def group_of(path: str) -> tuple[str, str, list[str]] | None:
    """Split a path into group, version and the rest; None where it is no path of the API."""
    parts = [part for part in path.split("/") if part]
    if parts[:2] == ["api", "v1"]:
        return "", "v1", parts[2:]
    if parts[:1] == ["apis"] and len(parts) >= 3:
        return parts[1], parts[2], parts[3:]
    return None


def target_of(resources: Resources, group: str, version: str, rest: Sequence[str]) -> Target | None:
    """Return what a path within a group names, None where there is no such resource."""
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in _NAMESPACE_PARTS:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *more = (*rest, "", "", "")[: max(len(rest), 3)]
    resource = resources.of(group, version, plural)
    if resource is None or more or (namespace and not resource.namespaced):
        return None
    if resource.namespaced and name and not namespace:
        return None
    return Target(resource, version, namespace, name, subresource)


def verb_of(method: str, target: Target, query: Mapping[str, str]) -> str:
    """Return Kubernetes' verb of a request, "" where the path has no such method."""
    verb, watching = _VERBS.get(method, ""), truth(query.get("watch", ""))
    if verb == "get" and target.name:
        return "" if watching and not target.subresource else verb
    if verb == "get":
        return "watch" if watching else "list"
    whole_cluster = target.resource.namespaced and not target.namespace
    if verb == "create":
        return "" if whole_cluster or bool(target.name) != bool(target.subresource) else verb
    if not target.name:
        return "deletecollection" if verb == "delete" and not whole_cluster else ""
    return verb
