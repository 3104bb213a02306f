"""What there is: versions, groups and resources; one answer per group."""

from __future__ import annotations

from collections.abc import Iterable

from opslib.lab.cluster.options import Object
from opslib.lab.cluster.resources import Resource, Resources

MAJOR, MINOR, GIT_VERSION = "1", "34", "v1.34.2+opslib-practice"
# subresource -> (group, version, kind, verbs); "" stands for the resource's own
PARTS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "status": ("", "", "", ("get", "patch", "update")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "log": ("", "", "", ("get",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}


def version() -> Object:
    """Return the answer to /version; it says that this is a cluster to practise on."""
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": "practice",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "none",
        "platform": "practice/opslib",
    }


def core_versions() -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups(resources: Resources) -> Object:
    """Return all groups but the core one, with their versions."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(g, v) for g, v in _by_group(resources)],
    }


def group(resources: Resources, name: str) -> Object | None:
    """Return one group, None where there is none of this name."""
    found = [_group(g, v) for g, v in _by_group(resources) if g == name]
    return {"kind": "APIGroup", "apiVersion": "v1", **found[0]} if found else None


def _by_group(resources: Resources) -> list[tuple[str, list[str]]]:
    found: dict[str, dict[str, None]] = {}
    for resource in resources:
        if resource.group:
            found.setdefault(resource.group, {}).update(dict.fromkeys(resource.versions))
    return [(name, list(versions)) for name, versions in found.items()]


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _served(resources: Iterable[Resource], group_name: str, api_version: str) -> list[Resource]:
    return [r for r in resources if r.group == group_name and api_version in r.versions]


def resource_list(resources: Resources, group_name: str, api_version: str) -> Object | None:
    """Return the resources of a group's version, None where there is no such version."""
    found = _served(resources, group_name, api_version)
    if not found:
        return None
    listed = [entry for resource in found for entry in _entries(resource)]
    name = f"{group_name}/{api_version}" if group_name else api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}


def _entries(resource: Resource) -> list[Object]:
    common = {"namespaced": resource.namespaced}
    named = _names(resource)
    entries: list[Object] = [
        {
            "name": resource.plural,
            "singularName": resource.singular,
            **common,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
            **named,
        }
    ]
    for part in resource.subresources:
        part_group, part_version, kind, verbs = PARTS[part]
        where = {"group": part_group, "version": part_version} if part_version else {}
        name = {"name": f"{resource.plural}/{part}", "singularName": ""}
        entries.append({**name, **common, **where, "kind": kind or resource.kind, "verbs": list(verbs)})
    return entries


def _names(resource: Resource) -> dict[str, list[str]]:
    names = {"shortNames": list(resource.short_names), "categories": list(resource.categories)}
    return {key: value for key, value in names.items() if value}
