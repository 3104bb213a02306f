"""The least OpenAPI v3 that clients validate by: which kinds there are and which parameters their writes take.

Fields are not described: validation is the server's, and `kubectl explain KIND.FIELD` finds nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable

from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource, Resources

_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string"}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]
_ANSWERS = {"200": {"description": "OK"}}


def index(resources: Resources) -> Object:
    """Return which documents there are: one per group and version."""
    paths = dict.fromkeys(_path(r, version) for r in resources for version in r.versions)
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}


def document(resources: Resources, path: str) -> Object | None:
    """Return the document of one group and version (`api/v1`, `apis/apps/v1`), None where there is none."""
    version = path.rpartition("/")[2]
    found = [r for r in resources if version in r.versions and _path(r, version) == path]
    if not found:
        return None
    return {
        "openapi": "3.0.0",
        "info": {"title": "practice cluster", "version": version},
        "components": {"schemas": {f"{r.group}.{version}.{r.kind}": _schema(r, version) for r in found}},
        "paths": {url: item for r in found for url, item in _paths(r, version, path)},
    }


def _path(resource: Resource, version: str) -> str:
    return f"apis/{resource.group}/{version}" if resource.group else f"api/{version}"


def _kind(resource: Resource, version: str) -> dict[str, str]:
    return {"group": resource.group, "version": version, "kind": resource.kind}


def _schema(resource: Resource, version: str) -> Object:
    return {"type": "object", "x-kubernetes-group-version-kind": [_kind(resource, version)]}


def _paths(resource: Resource, version: str, path: str) -> Iterable[tuple[str, Object]]:
    scope = "namespaces/{namespace}/" if resource.namespaced else ""
    base = f"/{path}/{scope}{resource.plural}"
    yield base, {"post": _operation(resource, version, "post")}
    named = {verb: _operation(resource, version, verb) for verb in ("get", "put", "patch", "delete")}
    yield f"{base}/{{name}}", named


def _operation(resource: Resource, version: str, action: str) -> Object:
    return {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _kind(resource, version),
        "parameters": _PARAMETERS,
        "responses": _ANSWERS,
    }
